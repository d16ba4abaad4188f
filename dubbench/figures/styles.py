"""Styles of clips in the plane by t-SNE, a colour a speaker (PersonaTalk 4.5, Figure 5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.core import devices
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.errors import DubbenchError
from dubbench.evaluation import landmark_cache
from dubbench.evaluation.crops import ALIGNED, Geometry, aligned_faces, nearest_face
from dubbench.evaluation.speaking_style import SHORTEST, StyleExpert
from dubbench.face.landmarks import FaceMesh
from dubbench.figures import plotting
from dubbench.figures.shown import refuse_outside, shown
from dubbench.models.base import load_kind
from dubbench.models.style_encoder.module import StyleEncoder, embed
from dubbench.results.rows import GROUND_TRUTH

HALVES = ("first half", "second half")
MARKS = "o^sDPXv*"
FEWEST = 4
PERPLEXITY = 20


@dataclass(frozen=True)
class Point:
    """The style of one stretch of video.

    Attributes:
        style: [D], of length 1.
        speaker: who.
        kind: what the mark tells: the clip's half, or whose video it is.
    """

    style: Tensor
    speaker: str
    kind: str


def prepared_styles(model: StyleEncoder, root: Path, hop: int) -> Iterator[Point]:
    """Styles of a prepared folder's clips from their geometry, first and second halves apart.

    Training may have seen the first halves alone (``--data.holdout``).

    Raises:
        DubbenchError: if a clip has no geometry of the model's face model.
    """
    for row in read_manifest(root).itertuples():
        clip = PreparedClip(root, str(row.clip))
        for kind, part in zip(HALVES, ((0.0, 0.5), (0.5, 1.0)), strict=True):
            yield from _points(embed(model, clip, part, hop=hop), str(row.speaker), kind)


def dubbed_styles(
    expert: StyleExpert, root: Path, results: Sequence[Path], hop: int, video_root: Sequence[Path] = ()
) -> Iterator[Point]:
    """Styles of all videos in results beside those of the clips that they were made from.

    Both come from landmarks alone, fitted in closed form, as ``style_sim`` compares them: a generated video has no
    prepared geometry, and what differs between two fits must be the faces.

    Raises:
        DubbenchError: if the prepared folder has none of the results' clips.
    """
    rows = [row for row in shown(results, roots=video_root) if row.method != GROUND_TRUTH]
    refuse_outside(rows)
    wanted = {clip for row in rows for clip in row.videos}
    speakers = {str(row.clip): str(row.speaker) for row in read_manifest(root).itertuples() if row.clip in wanted}
    if not speakers:
        raise DubbenchError(
            f"{root} has none of the clips of {results[0]}; give the prepared folder they were scored on"
        )
    with FaceMesh() as mesh:
        for name, speaker in speakers.items():
            clip = PreparedClip(root, name)
            own = clip.aligned_points(np.flatnonzero(clip.detected()).tolist(), ALIGNED)
            yield from _points(stretches(expert, own, hop), speaker, GROUND_TRUTH)
            for row in rows:
                if name in row.videos:
                    yield from _points(
                        stretches(expert, _landmarks(row.videos[name], clip, mesh), hop), speaker, row.label
                    )


def _landmarks(video: Path, clip: PreparedClip, mesh: FaceMesh) -> NDArray[np.float64]:
    """Landmarks [n, 68, 2] of the frames with a face, in the clip's aligned square at 256."""
    geometry = Geometry.of_clip(clip, range(len(clip)), ALIGNED)
    frames = zip(landmark_cache.followed(video, mesh), geometry.source_points, strict=False)
    found = [nearest_face(faces, truth) for (_, faces), truth in frames]
    points, seen = aligned_faces(found, geometry)
    return points[seen]


def stretches(expert: StyleExpert, points: NDArray[np.floating[Any]], hop: int) -> Tensor:
    """Styles [n, D] of stretches of the encoder's window, ``hop`` frames apart; of all there is where that is less.

    Args:
        expert: the encoder.
        points: [T, 68, 2] landmarks, aligned pixels at 256.
        hop: frames from one stretch to the next.
    """
    size = min(expert.window, len(points))
    if size < SHORTEST:
        return torch.empty(0, 0)
    starts = range(0, len(points) - size + 1, hop)
    return torch.stack([expert.style(torch.from_numpy(points[start : start + size])) for start in starts])


def _points(styles: Tensor, speaker: str, kind: str) -> Iterator[Point]:
    for style in styles:
        yield Point(nn.functional.normalize(style.float(), dim=0), speaker, kind)


def plane(points: Sequence[Point]) -> NDArray[np.float32]:
    """Where t-SNE puts the styles: [n, 2], the same for the same styles.

    Raises:
        DubbenchError: if there are too few.
    """
    if len(points) < FEWEST:
        raise DubbenchError(
            f"{len(points)} stretches of video are too few for t-SNE; give more clips or a smaller --hop"
        )
    perplexity = min(PERPLEXITY, max(1, (len(points) - 1) // 3))
    tsne = plotting.library("sklearn.manifold").TSNE(random_state=0, perplexity=perplexity)
    return np.asarray(tsne.fit_transform(torch.stack([point.style for point in points]).numpy()), np.float32)


def draw(points: Sequence[Point], positions: NDArray[np.float32], out: Path) -> None:
    """Write the figure: a colour a speaker, a mark a kind."""
    figure = plotting.sheet(7, 5.6)
    axes = figure.add_subplot()
    speakers, kinds = sorted({point.speaker for point in points}), list(dict.fromkeys(point.kind for point in points))
    colours = plotting.library("matplotlib").colormaps["nipy_spectral"]
    marks = {kind: MARKS[k % len(MARKS)] for k, kind in enumerate(kinds)}
    for number, speaker in enumerate(speakers):
        for kind, mark in marks.items():
            chosen = [point.speaker == speaker and point.kind == kind for point in points]
            if any(chosen):
                colour = colours((number + 0.5) / len(speakers))
                axes.scatter(
                    positions[chosen, 0],
                    positions[chosen, 1],
                    s=16,
                    marker=mark,
                    color=[colour],
                    linewidths=0,
                    alpha=0.8,
                )
        axes.scatter([], [], s=30, color=[colours((number + 0.5) / len(speakers))], label=speaker)
    for kind, mark in marks.items():
        axes.scatter([], [], s=30, marker=mark, color="black", label=kind.replace("_", " "))
    axes.set(xticks=[], yticks=[])
    figure.legend(loc="outside right center", fontsize=7, frameon=False)
    plotting.save(figure, out)


def make(
    *,
    results: Sequence[Path],
    style_encoder: Path,
    root: Path,
    hop: int,
    device: str,
    out: Path,
    video_root: Sequence[Path] = (),
) -> None:
    """Write the figure of prepared clips, or of results beside the clips that they were made from.

    Args:
        results: folders that dubbench eval wrote, or none.
        style_encoder: checkpoint.
        root: folder of prepared clips; with geometry, without results.
        hop: frames from one stretch to the next.
        device: name of a device.
        out: PNG.
        video_root: folders outside the results whose videos may be shown.

    Raises:
        DubbenchError: where encoder, clips and results do not go together.
    """
    plotting.refuse(hop < 1 and f"--hop is {hop}; stretches begin 1 frame apart or more")
    where = devices.device(device)
    if results:
        points = list(
            dubbed_styles(StyleExpert(style_encoder, where), root, results=results, hop=hop, video_root=video_root)
        )
    else:
        model = load_kind(StyleEncoder, "style encoder", style_encoder, where)
        points = list(prepared_styles(model, root, hop))
    draw(points, plane(points), out)
