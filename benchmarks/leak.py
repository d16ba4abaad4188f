"""How much of a mouth methods are told without speech: what a network can read, not hear.

    python -m benchmarks.leak prepared/ffhq prepared/upper

For each method and each prepared folder: R2 of the mouth's opening, each clip's mean removed, predicted by ridge
regression from all that the method is told when it dubs but speech (`benchmarks.told`). 0: it is told nothing of the
mouth, and has to listen; 1: it need not listen at all. The opening is the distance of the inner lips over that of the
outer eye corners. Each clip is cut into four stretches, and each stretch predicted from the others of its clip, but
for the frames next to it, and from other stretches of the other clips. The strength of the ridge, and how much what is
told of a whole window counts beside what is told of single frames, are chosen within those others.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.told import TOLD
from dubbench.datamodules.batch import Batch, Window
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.coefficients import face_model
from dubbench.datamodules.windows import Place, WindowDataset, read_windows
from dubbench.face.opening import mouth_opening
from dubbench.training.build import build_model

PARTS, GAP = 4, 5
COMPONENTS = 40
RIDGES = 10.0 ** np.arange(-4, 3)  # of the variance of a kind of input
WEIGHTS = (0.0, 0.1, 1.0)  # of what is told of whole windows, beside 1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """What a method is told of N frames, and how far their mouths are open.

    Attributes:
        frames: [N, D], of each kind of input told of frames its first components, their variances adding up to 1.
        windows: [N, E], of each kind told of windows.
        opening: [N], each clip's mean removed.
        clip: [N] number of the clip.
        frame: [N] number of the frame in it.
        part: [N] which part is held out together with it: another stretch of the next clip, since clips of a corpus
            may all begin and end in silence.
    """

    frames: Floats
    windows: Floats
    opening: Floats
    clip: NDArray[np.int64]
    frame: NDArray[np.int64]
    part: NDArray[np.int64]


def places(root: Path, window: Window, clips: Sequence[str]) -> Iterator[Place]:
    """Windows that cover the clips, each with what `WindowDataset` draws beside the target frames."""
    manifest = read_manifest(root).set_index("clip")
    for split in sorted(set(manifest.loc[list(clips), "split"])):
        data = WindowDataset(root, window, split, length=1)
        starts = [int(manifest.loc[name, "frames"]) - window.frames + 1 for name in data.clips]
        # As many windows as there are places for one: each place once, in order.
        data.length, first = sum(starts), 0
        for name, count in zip(data.clips, starts, strict=True):
            if name in clips:
                yield from (data[first + start] for start in [*range(0, count - 1, window.frames), count - 1])
            first += count


def read(root: Path, method: str, clips: Sequence[str]) -> Inputs:
    """Read what a method is told of the clips; frames without a face are left out."""
    window = build_model(f"{method}_tiny", [], "leak").window
    shown = replace(window, pictures=None, mel=None)
    face = face_model(root, window.geometry) if window.geometry else None
    openings = {name: _opening(PreparedClip(root, name)) for name in clips}
    rows: dict[tuple[int, int], list[Floats]] = {}
    single = 0
    for place in places(root, window, clips):
        name = place.clip.info.clip
        batch: Batch = read_windows([place], shown)
        told = TOLD[method](batch, face)
        single = len(told.frames)
        for k, frame in enumerate(batch.indices[0].tolist()):
            if np.isfinite(openings[name][frame]):
                own = [each[0, k] for each in told.frames] + [each[0] for each in told.windows]
                rows.setdefault((clips.index(name), frame), [each.double().numpy() for each in own])
    keys = sorted(rows)
    clip, frame = (np.array(column) for column in zip(*keys, strict=True))
    opening = np.array([openings[clips[number]][at] for number, at in keys])
    kinds = [np.stack(kind) for kind in zip(*(rows[key] for key in keys), strict=True)]
    stretch = np.concatenate([np.arange(n) * PARTS // n for n in np.unique(clip, return_counts=True)[1]])
    return Inputs(
        frames=np.concatenate([_components(_centred(kind, clip)) for kind in kinds[:single]], 1),
        windows=np.concatenate([_components(kind) for kind in kinds[single:]], 1),
        opening=_centred(opening[:, None], clip)[:, 0],
        clip=clip,
        frame=frame,
        part=(stretch + clip) % PARTS,
    )


def _opening(clip: PreparedClip) -> Floats:
    points = clip.points()
    return np.array(mouth_opening(points, points, clip.detected()), float)


def _centred(rows: Floats, clip: NDArray[np.int64]) -> Floats:
    """Rows less the mean of their clip's."""
    numbers, which = np.unique(clip, return_inverse=True)
    means = np.stack([rows[clip == number].mean(0) for number in numbers])
    return np.asarray(rows - means[which])


def _components(rows: Floats) -> Floats:
    """The first principal components of rows [N, D], scaled so that all that the rows vary adds up to 1."""
    rows = rows - rows.mean(0)
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    total = np.sqrt(np.square(sizes).sum() / len(rows))
    return np.asarray((left * sizes)[:, :COMPONENTS] / total if total > 1e-9 else rows[:, :0])


def explained(inputs: Inputs) -> float:
    """R2 of the openings as predicted from parts of the clips that they do not lie in."""
    found = np.zeros(len(inputs.opening))
    for part in range(PARTS):
        own = inputs.part == part
        known = ~own & ~_near(inputs, own)
        errors = dict.fromkeys(product(WEIGHTS, RIDGES), 0.0)
        for other in set(range(PARTS)) - {part}:
            asked = known & (inputs.part == other)
            left = known & ~asked & ~_near(inputs, asked)
            for chosen, found_there in _predicted(inputs, left, asked):
                errors[chosen] += float(np.square(found_there - inputs.opening[asked]).sum())
        found[own] = dict(_predicted(inputs, known, own))[min(errors, key=lambda chosen: errors[chosen])]
    return float(1 - np.square(inputs.opening - found).sum() / np.square(inputs.opening).sum())


def _near(inputs: Inputs, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which frames lie beside some of the chosen ones: their mouths stand alike, whatever one is told."""
    near = np.zeros(len(chosen), bool)
    for number in np.unique(inputs.clip):
        of_clip = inputs.clip == number
        frames = inputs.frame[of_clip & chosen]
        distances = np.abs(inputs.frame[of_clip, None] - frames)
        near[of_clip] = (distances <= GAP).any(1)
    return near


def _predicted(
    inputs: Inputs, known: NDArray[np.bool_], asked: NDArray[np.bool_]
) -> Iterator[tuple[tuple[float, float], Floats]]:
    """Openings [n] of the frames asked for, for each weight of what is told of windows and strength of the ridge."""
    opening = inputs.opening[known]
    for weight in WEIGHTS:
        columns = np.concatenate([inputs.frames, weight * inputs.windows], 1)
        columns = columns - columns[known].mean(0)
        values, vectors = np.linalg.eigh(columns[known].T @ columns[known] / len(opening))
        shared = vectors.T @ (columns[known].T @ opening) / len(opening)
        for ridge in RIDGES:
            yield (weight, float(ridge)), opening.mean() + columns[asked] @ (vectors @ (shared / (values + ridge)))


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="+", help="prepared folders, with --geometry mesh")
    parser.add_argument("--methods", nargs="+", choices=TOLD, default=list(TOLD), help="(all)")
    parser.add_argument("--clips", type=int, default=16, help="how many of each, the first by name (%(default)s)")
    options = parser.parse_args(words)
    torch.manual_seed(0)
    print("| " + " | ".join(["told to", *map(str, options.root)]) + " |")
    print("|---" + "|---:" * len(options.root) + "|")
    for method in options.methods:
        cells = []
        for root in options.root:
            clips = sorted(map(str, read_manifest(root)["clip"]))[: options.clips]
            cells.append(f"{explained(read(root, method, clips)):.2f}")
        print(f"| `{method}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
