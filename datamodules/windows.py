"""Training examples: which stretch of which clip, with which references, and reading just that."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dubbench.datamodules.batch import SAMPLES_PER_FRAME, Batch, Mel, Window
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.coefficients import read_geometry_windows, with_geometry
from dubbench.datamodules.face_crops import FaceCrops, face_crops
from dubbench.datamodules.mel import clip_windows, context
from dubbench.datamodules.quality import good_enough
from dubbench.errors import DubbenchError
from dubbench.face.crops import FACE_SCALES, cut_faces
from dubbench.media.container import Image

Indices = NDArray[np.int64]
LEVELS = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)


class Place(NamedTuple):
    """Where a window lies.

    Attributes:
        clip: its clip.
        start: first target frame.
        references: reference frames, int64 [R].
        scale: of its face crops.
        style: style frames, int64, as many as the clip has and ``style_frames`` of the window at most.
    """

    clip: PreparedClip
    start: int
    references: Indices
    scale: float = FACE_SCALES[0]
    style: Indices = np.empty(0, np.int64)


class WindowDataset(Dataset[Place]):
    """Windows of one split, ``length`` an epoch; window i of epoch e depends on seed, e and i alone.

    All the places where a window can start are laid end to end and cut into ``length`` equal stretches; window i starts
    somewhere in stretch i. So every epoch goes over the whole split evenly, each frame as likely as any other.

    Attributes:
        clips: ids of the clips that windows are drawn from.
        short: ids of the clips left out because they have fewer frames than a window.
    """

    def __init__(
        self,
        root: Path | str,
        window: Window,
        split: str,
        length: int,
        seed: int = 0,
        speakers: Sequence[str] | None = None,
        part: tuple[float, float] = (0.0, 1.0),
        min_quality: float | None = None,
    ) -> None:
        """Look up the clips of a prepared folder; nothing else is opened yet.

        Args:
            root: prepared folder.
            window: what one example holds.
            split: ``train``, ``val`` or ``test``.
            length: windows an epoch, at least 1.
            seed: of all draws.
            speakers: only these, or None for all.
            part: begin and end, shares of every clip, of the stretch that windows and references come from.
            min_quality: only clips with this quality in the manifest or more, see `good_enough`; None for all.

        Raises:
            DubbenchError: if the folder is not prepared, no clip of the split and speakers holds a window or has the
                geometry asked for, a speaker is unknown, or ``length`` or ``seed`` is too small.
        """
        self.root, self.window, self.length, self.seed = Path(root), window, length, seed
        if length < 1 or seed < 0:
            raise DubbenchError(
                f"{length} windows with seed {seed} cannot be drawn; take at least 1 and a seed from 0 on"
            )
        chosen = good_enough(self.root, _clips(self.root, split, speakers), min_quality)
        if window.geometry:
            chosen = with_geometry(self.root, chosen, window.geometry)
        self.part = part
        lengths = np.array([last - first for first, last in map(self._stretch, chosen["frames"])])
        fits = lengths >= window.frames
        self.clips = [str(clip) for clip in chosen.loc[fits, "clip"]]
        self.short = [str(clip) for clip in chosen.loc[~fits, "clip"]]
        if not self.clips:
            raise DubbenchError(
                f"split {split} of {root} has no clip of {window.frames} frames or more, the longest has "
                f"{lengths.max()}; take longer clips or a model with a shorter window"
            )
        self._flawless = chosen.loc[fits, "detected"].to_numpy() >= 1
        self._ends = np.cumsum(lengths[fits] - window.frames + 1)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: int | tuple[int, int]) -> Place:
        """Draw window i of epoch 0, or of epoch e for the key (e, i); reads no pictures and no speech."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        return self.draw(epoch, index, self.length)

    @property
    def places(self) -> int:
        """How many places there are where a window can start."""
        return int(self._ends[-1])

    def draw(self, epoch: int, index: int, length: int) -> Place:
        """Draw window ``index`` of the ``length`` of an epoch; reads no pictures and no speech."""
        if not 0 <= index < length:
            raise IndexError(f"window {index} of {length}")
        random = np.random.default_rng((self.seed, epoch, index))
        first = index * self.places // length
        position = int(random.integers(first, max((index + 1) * self.places // length, first + 1)))
        number = int(np.searchsorted(self._ends, position, side="right"))
        starts = int(self._ends[number] - (self._ends[number - 1] if number else 0))
        clip = PreparedClip(self.root, self.clips[number])
        usable = np.ones(len(clip), dtype=bool) if self._flawless[number] else clip.detected()
        begin, end = self._stretch(len(clip))
        wanted = position - int(self._ends[number]) + starts
        start = _start(usable[begin:end], self.window.frames, wanted)
        references = reference_frames(self.window, start, usable[begin:end], random)
        style = style_frames(self.window, start, usable[begin:end])
        place = Place(clip, begin + start, begin + references, style=begin + style)
        # Only face crops draw a scale, and last, so that no other window's draws change.
        return place._replace(scale=random.uniform(*FACE_SCALES)) if self.window.crop == "face" else place

    def _stretch(self, frames: int) -> tuple[int, int]:
        """Begin and end of what is used of a clip."""
        begin, end = (round(share * frames) for share in self.part)
        return begin, end

    def collate(self, places: Sequence[Place]) -> Batch:
        """Read windows into one batch, in their order."""
        return read_windows(places, self.window)


def _clips(root: Path, split: str, speakers: Sequence[str] | None) -> pd.DataFrame:
    """The manifest's rows of one split and some speakers."""
    rows = read_manifest(root)
    if speakers is not None:
        known = sorted(rows["speaker"].unique())
        if unknown := sorted(set(speakers) - set(known)):
            some = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise DubbenchError(f"{root} has no clip of speaker {', '.join(unknown)}; there are {some or 'none'}")
        rows = rows[rows["speaker"].isin(speakers)]
    chosen: pd.DataFrame = rows[rows["split"] == split]
    if chosen.empty:
        counts = rows["split"].value_counts().sort_index().items()
        there = ", ".join(f"{name} {count}" for name, count in counts) or "none"
        whose = "" if speakers is None else f" of speaker {', '.join(speakers)}"
        raise DubbenchError(
            f"split {split} of {root} has no clip{whose} (there are: {there}); prepare with another --split"
        )
    return chosen


def _start(usable: NDArray[np.bool_], frames: int, wanted: int) -> int:
    """The start that lies among those without an unusable frame where ``wanted`` lies among all."""
    starts = len(usable) - frames + 1
    clean = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(usable, frames).all(axis=1))
    return int(clean[wanted * len(clean) // starts]) if len(clean) else wanted


def reference_frames(window: Window, start: int, usable: NDArray[np.bool_], random: np.random.Generator) -> Indices:
    """Draw the reference frames of the window that starts at ``start``: int64 [R].

    ``random`` draws from the whole clip but for the target frames: a reference that shows the answer teaches a network
    to copy instead of listening. Only a clip that is nothing but the window falls back to them. No frame comes twice
    where there are enough. Frames without a found face are taken only where there are no others.

    ``adjacent`` likewise leaves out the pictured target frames alone, first among the frames within ``reach`` of the
    middle one, then in the whole clip. PersonaTalk 3.2 does not say whether its window holds the target itself.

    ``history`` begins with the first frame that has a face, also where it is a target frame: RealTalk 4.1 takes a
    clip's first frame as its identity whatever is dubbed. The others are drawn as by ``random``.
    """
    if window.reference_rule == "first":
        return np.minimum(np.arange(window.references), len(usable) - 1)
    outside = np.ones(len(usable), dtype=bool)
    if window.reference_rule in ("random", "history"):
        outside[start : start + window.frames] = False
        # argmax of a clip without any face is its first frame.
        identity = [int(usable.argmax())] if window.reference_rule == "history" else []
        drawn = _draw(outside, usable, window.references - len(identity), random)
        return np.array([*identity, *drawn], dtype=np.int64)
    outside[start : start + window.frames][window.pictured] = False
    middle = start + (window.frames - 1) // 2
    first = max(middle - window.reach, 0)
    around = slice(first, middle + window.reach + 1)
    near = first + _draw(outside[around], usable[around], window.face_references, random)
    return np.concatenate([near, _draw(outside, usable, window.references - window.face_references, random)])


def style_frames(window: Window, start: int, usable: NDArray[np.bool_]) -> Indices:
    """The style frames of the window that starts at ``start``, int64, ascending and at most ``style_frames``.

    All of the clip but the targets, thinned evenly; chosen among as references are. Nothing is drawn: what of them
    is looked at, a method draws itself.
    """
    if not window.style_frames:
        return np.empty(0, np.int64)
    outside = np.ones(len(usable), dtype=bool)
    outside[start : start + window.frames] = False
    return thinned(_pool(outside, usable), window.style_frames)


def thinned(frames: Indices, most: int) -> Indices:
    """Every k-th of ``frames`` from the first on, k the least that leaves no more than ``most``."""
    return frames[:: max(1, -(-len(frames) // most))]


def _draw(outside: NDArray[np.bool_], usable: NDArray[np.bool_], count: int, random: np.random.Generator) -> Indices:
    """Draw ``count`` places from `_pool`."""
    pool = _pool(outside, usable)
    return random.choice(pool, count, replace=len(pool) < count)


def _pool(outside: NDArray[np.bool_], usable: NDArray[np.bool_]) -> Indices:
    """Frames outside the targets with a face, or the best ones that there are."""
    pools = (np.flatnonzero(pool) for pool in (outside & usable, outside, usable, ~outside))
    return next(pool for pool in pools if len(pool))


def read_windows(places: Sequence[Place], window: Window) -> Batch:
    """Read windows into one batch, in their order.

    Each video is opened once and only the frames that the batch holds are decoded; the speech is read once, and no
    further than the features look.

    Raises:
        DubbenchError: if the window asks for geometry that the prepared folder or a clip does not have.
    """
    count, shape = len(places), window.picture_shape
    pictured, references_pictured = range(window.frames)[window.pictured], window.references_pictured
    # Pictures go straight into the batch: joining them afterwards would touch each of its megabytes twice.
    frames = torch.empty(count, len(pictured), 3, *shape)
    references = torch.empty(count, references_pictured.stop, 3, *shape)
    numbers, points, steady, waveforms, mels = [], [], [], [], []
    for row, (clip, start, reference, scale, _) in enumerate(places):
        stop = start + window.frames
        shown = [*(start + k for k in pictured), *reference[references_pictured].tolist()]
        wanted = [*range(start, stop), *reference.tolist()]
        if window.crop == "face":
            crops = face_crops(clip, shown, window.size, scale)
            pixels, marks = _faces(clip, shown, crops, window.size), crops.points
            steady.append(torch.from_numpy(crops.steady[: len(pictured)]))
        else:
            pixels, marks = _frames(clip, shown, window.size), _marks(clip, shown, window.size)
        _fill(frames[row], pixels[: len(pictured)])
        _fill(references[row], pixels[len(pictured) :])
        numbers.append(torch.tensor(wanted))
        points.append(torch.from_numpy(marks))
        waveform, mel = _speech(clip, window.mel, start, stop)
        waveforms.append(waveform)
        if mel is not None:
            mels.append(mel)
    indices, reference_indices = _parted(numbers, window.frames)
    target_points, reference_points = _parted(points, len(pictured))
    geometry = read_geometry_windows(
        [place.clip for place in places], torch.stack(numbers), [place.style for place in places], window
    )
    return Batch(
        frames=frames,
        references=references,
        mel=torch.stack(mels) if mels else None,
        waveform=torch.stack(waveforms),
        points=target_points,
        reference_points=reference_points,
        indices=indices,
        reference_indices=reference_indices,
        speakers=[place.clip.info.speaker for place in places],
        clips=[place.clip.info.clip for place in places],
        steady_points=torch.stack(steady) if steady else None,
        picture_indices=None if window.pictures is None else indices[:, window.pictured].contiguous(),
        **geometry,
    )


def _frames(clip: PreparedClip, shown: Sequence[int], size: int) -> Image:
    """Aligned frames uint8 [N, size, size, 3]; a video of which nothing is shown is not even opened."""
    return clip.frames(shown, size) if shown else np.empty((0, size, size, 3), np.uint8)


def _marks(clip: PreparedClip, shown: Sequence[int], size: int) -> NDArray[np.float32]:
    """Landmarks [N, 68, 2] of the same frames; a track of which nothing is wanted is not opened either."""
    return clip.aligned_points(shown, size) if shown else np.empty((0, 68, 2), np.float32)


def _faces(clip: PreparedClip, shown: Sequence[int], crops: FaceCrops, mouth: int) -> Image:
    """Face crops uint8 [N, H, W, 3] of the frames ``shown``."""
    # Straight from the prepared pixels: frames shrunk first would be resampled twice.
    return cut_faces(_frames(clip, shown, clip.info.size), crops.boxes, mouth)


def _fill(images: Tensor, pixels: NDArray[np.uint8]) -> None:
    """Write uint8 [N, H, W, 3] into float32 [N, 3, H, W] as values in [-1, 1]; the table touches each value once."""
    for image, planes in zip(pixels, images.numpy(), strict=True):
        for channel, plane in enumerate(cv2.split(image)):
            cv2.LUT(plane, LEVELS, dst=planes[channel])


def _parted(rows: Sequence[Tensor], frames: int) -> tuple[Tensor, Tensor]:
    """Rows [T + R, ...] as targets [B, T, ...] and references [B, R, ...]."""
    stacked = torch.stack(list(rows))
    return stacked[:, :frames].contiguous(), stacked[:, frames:].contiguous()


def _speech(clip: PreparedClip, mel: Mel | None, start: int, stop: int) -> tuple[Tensor, Tensor | None]:
    """Waveform [T * 640] of the frames ``start`` to ``stop - 1`` and their mel windows, from one read."""
    first, last = start, stop
    if mel is not None:
        begin, end = context(mel, start, stop)
        first = min(start, max(begin // SAMPLES_PER_FRAME, 0))
        last = max(stop, min(-(-end // SAMPLES_PER_FRAME), len(clip)))
    speech = torch.from_numpy(clip.speech(first, last - first))
    waveform = speech[(start - first) * SAMPLES_PER_FRAME :][: (stop - start) * SAMPLES_PER_FRAME]
    return waveform, None if mel is None else clip_windows(
        speech, mel, start=start, stop=stop, first=first * SAMPLES_PER_FRAME
    )
