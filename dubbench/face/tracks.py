"""Face tracks through the shots of a video, and the crops of them that SyncNet looks at."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dubbench.errors import DubbenchError

Box = NDArray[np.float64]

CROP_SIDE = 224


@dataclass(frozen=True)
class TrackRules:
    """What makes a track and its crop: the constants of ``run_pipeline.py`` in joonson/syncnet_python.

    Attributes:
        min_track: a track is kept if it has more detections than this; frames filled in between do not count.
        iou: a box continues a track if its overlap with the track's last box is larger than this.
        gap: most frames from one detection to the next; the boxes between them are interpolated.
        min_face: px; a track is kept if the larger of its mean width and mean height is more than this.
        crop_scale: margin of the crop over the half side of the box.
        padding: grey level of what lies beyond the picture.
        median: kernel of the median filter over half sides and centres, in frames, odd.

    Raises:
        DubbenchError: if the kernel is even or longer than the shortest track.
    """

    min_track: int
    iou: float = 0.5
    gap: int = 25
    min_face: float = 100.0
    crop_scale: float = 0.40
    padding: int = 110
    median: int = 13

    def __post_init__(self) -> None:
        if self.median % 2 == 0 or self.median < 1:
            raise DubbenchError(f"the median filter's kernel is {self.median} frames; give an odd number")
        # The filter takes zeros beyond a track's ends, so a track of half a kernel would have boxes of no size.
        if self.min_track < self.median // 2:
            raise DubbenchError(f"min_track is {self.min_track}; a kernel of {self.median} needs {self.median // 2}")


PIPELINE = TrackRules(min_track=100)
# LatentSync's value; sentences of three seconds, as GRID's, would have no track with the official 100.
LANDMARK = TrackRules(min_track=50)


@dataclass(frozen=True)
class FaceTrack:
    """One face through one shot.

    Attributes:
        id: number in order of the start.
        start: its first frame.
        length: frames from the first to the last detection.
        detections: how many of them a detector saw.
        kept: whether it is long and large enough.
        reason: why it was not kept, empty for a kept one.
    """

    id: int
    start: int
    length: int
    detections: int
    kept: bool
    reason: str


class TrackCrops(NamedTuple):
    """Consecutive crops of a track.

    Attributes:
        track: the track's ``id``.
        first: frame of the first crop.
        crops: uint8 [n, 224, 224, 3] BGR, n may be 0.
        ended: the whole track if these are its last crops.
    """

    track: int
    first: int
    crops: NDArray[np.uint8]
    ended: FaceTrack | None = None


class FaceTracks:
    """Joins the boxes of faces into tracks and crops the tracks, while frames come in.

    Tracks, interpolation, smoothing and crop follow ``run_pipeline.py`` of joonson/syncnet_python, on whole videos and
    with its numbers, but in bounded memory: at most ``gap + median // 2`` frames are held, and for each present track
    the crops until it is long enough. It differs in two points: no two boxes of one frame enter the same track (the
    original can do so where they overlap by more than ``iou``, which its detector's suppression excludes), and what a
    crop shows beyond the picture is always ``padding`` (the original wraps or cuts where a face's centre leaves it).

    Args:
        rules: what makes a track.
    """

    def __init__(self, rules: TrackRules) -> None:
        self.rules = rules
        self._frame = 0
        self._images: dict[int, NDArray[np.uint8]] = {}
        self._live: list[_LiveTrack] = []
        self._started = 0
        self._ended: list[FaceTrack] = []

    @property
    def held(self) -> int:
        """Frames that are kept for crops to come."""
        return len(self._images)

    def add(self, image: NDArray[np.uint8], boxes: Sequence[Box], cut: bool = False) -> list[TrackCrops]:
        """Add the next frame.

        Args:
            image: uint8 [H, W, 3] RGB; held by reference until it is cropped, so do not write into it.
            boxes: the faces in it, each (x0, y0, x1, y1) in px; the order decides between boxes that both fit.
            cut: whether the frame starts a new shot, which ends all tracks before it.

        Returns:
            Crops that became ready, of tracks that are already long enough. A track may yet turn out too small: the
            last crops of each carry the verdict.

        Raises:
            DubbenchError: if the image or a box is no such thing.
        """
        faces = [_checked(box, self._frame) for box in boxes]
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DubbenchError(f"frame {self._frame} is {image.dtype} {list(image.shape)}; give RGB uint8 [H, W, 3]")
        ready = self._end(self._live) if cut else []
        self._images[self._frame] = image
        # The original runs over a whole shot for the first track, then over what is left for the second, and so on.
        # A track never starts before an earlier numbered one, so letting them choose in this order frame by frame
        # leaves each the same boxes.
        for track in self._live:
            match = next((i for i, box in enumerate(faces) if overlap(box, track.box) > self.rules.iou), None)
            if match is not None:
                ready += self._crops(track, track.extend(self._frame, faces.pop(match)))
        for box in faces:
            track = _LiveTrack(self._started, self._frame, self.rules)
            self._started += 1
            self._live.append(track)
            ready += self._crops(track, track.extend(self._frame, box))
        ready += self._end([track for track in self._live if self._frame - track.last >= self.rules.gap])
        needed = min((track.cropped for track in self._live), default=self._frame + 1)
        self._images = {frame: picture for frame, picture in self._images.items() if frame >= needed}
        self._frame += 1
        return ready

    def finish(self) -> tuple[list[TrackCrops], list[FaceTrack]]:
        """End the video.

        Returns:
            The remaining crops, and all tracks in order of their start, also those that are not kept.
        """
        ready = self._end(self._live)
        self._images = {}
        return ready, sorted(self._ended, key=lambda track: track.id)

    def _end(self, tracks: Sequence["_LiveTrack"]) -> list[TrackCrops]:
        ready = []
        for track in list(tracks):
            record = track.record()
            if track.qualified:
                first = track.released
                crops = self._crops(track, track.rest())
                ready.append(TrackCrops(track.id, first, crops[0].crops if crops else _stacked([]), record))
            self._ended.append(record)
            self._live.remove(track)
        return ready

    def _crops(self, track: "_LiveTrack", smooth: Iterator[NDArray[np.float64]]) -> list[TrackCrops]:
        for half, x, y in smooth:
            track.waiting.append(
                track_crop(self._images[track.cropped], float(x), y=float(y), half=float(half), rules=self.rules)
            )
            track.cropped += 1
        if not track.qualified or not track.waiting:
            return []
        first, crops = track.released, _stacked(track.waiting)
        track.waiting = []
        return [TrackCrops(track.id, first, crops)]


class _LiveTrack:
    """A track that may go on: its last box, and the window of the median filter."""

    def __init__(self, number: int, start: int, rules: TrackRules) -> None:
        self.id = number
        self.start = start
        self.rules = rules
        self.box: Box = np.empty(0)
        self.last = start
        self.detections = 0
        self.cropped = start
        self.waiting: list[NDArray[np.uint8]] = []
        self._sides = np.zeros(2)
        # Zeros before the first and after the last box, as scipy.signal.medfilt pads.
        self._zeros = [np.zeros(3)] * (rules.median // 2)
        self._window = deque(self._zeros, maxlen=rules.median)

    @property
    def qualified(self) -> bool:
        return self.detections > self.rules.min_track

    @property
    def released(self) -> int:
        """The first frame whose crop was not yet handed out."""
        return self.cropped - len(self.waiting)

    def extend(self, frame: int, box: Box) -> Iterator[NDArray[np.float64]]:
        """Add a detection and fill the frames since the last one; smoothed rows that became ready."""
        frames = np.arange(self.last + 1 if self.detections else frame, frame + 1)
        known, ends = ([self.last, frame], [self.box, box]) if self.detections else ([frame], [box])
        boxes = np.stack([np.interp(frames, known, values) for values in zip(*ends, strict=True)], axis=1)
        self.box, self.last, self.detections = box, frame, self.detections + 1
        sides = boxes[:, 2:] - boxes[:, :2]
        self._sides += sides.sum(0)
        return self._smooth(np.column_stack([sides.max(1) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2]))

    def rest(self) -> Iterator[NDArray[np.float64]]:
        """Smoothed rows of the frames at the end."""
        return self._smooth(self._zeros)

    def _smooth(self, rows: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        for row in rows:
            self._window.append(row)
            if len(self._window) == self.rules.median:
                yield np.sort(np.stack(self._window), axis=0)[self.rules.median // 2]

    def record(self) -> FaceTrack:
        length = self.last - self.start + 1
        side = float(self._sides.max()) / length
        reason = ""
        if not self.qualified:
            reason = f"{self.detections} detections, and more than {self.rules.min_track} are asked for"
        elif not side > self.rules.min_face:
            reason = f"face of {side:.0f} px on average, and more than {self.rules.min_face:g} px are asked for"
        return FaceTrack(
            id=self.id, start=self.start, length=length, detections=self.detections, kept=not reason, reason=reason
        )


def overlap(left: Box, right: Box) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    width, height = np.minimum(left[2:], right[2:]) - np.maximum(left[:2], right[:2])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    areas = float(np.prod(left[2:] - left[:2])) + float(np.prod(right[2:] - right[:2]))
    return shared / (areas - shared)


def track_crop(image: NDArray[np.uint8], x: float, y: float, half: float, rules: TrackRules) -> NDArray[np.uint8]:
    """The square that SyncNet looks at: a box's neighbourhood, the face in its upper part.

    Args:
        image: uint8 [H, W, 3] RGB.
        x: centre of the box in px.
        y: centre of the box in px.
        half: half side of the box in px.
        rules: with the crop's scale and padding.

    Returns:
        uint8 [224, 224, 3] BGR: rows from y - half to y + half (1 + 2 scale), columns x -+ half (1 + scale).
    """
    below, beside = half * (1 + 2 * rules.crop_scale), half * (1 + rules.crop_scale)
    # The original truncates in the coordinates of a picture padded by this much, where they are positive.
    margin = int(below)
    top, bottom = int(y + margin - half) - margin, int(y + margin + below) - margin
    left, right = int(x + margin - beside) - margin, int(x + margin + beside) - margin
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    square = np.full((bottom - top, right - left, 3), rules.padding, np.uint8)
    height, width = image.shape[:2]
    y0, y1 = np.clip([top, bottom], 0, height)
    x0, x1 = np.clip([left, right], 0, width)
    square[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    resized = cv2.resize(square, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(resized, cv2.COLOR_RGB2BGR), np.uint8)


def _checked(box: Box, frame: int) -> Box:
    box = np.asarray(box, np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or not (box[:2] < box[2:]).all():
        raise DubbenchError(f"frame {frame} has the box {box.tolist()}; give finite x0 < x1 and y0 < y1 in px")
    return box


def _stacked(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack(crops) if crops else np.empty((0, CROP_SIDE, CROP_SIDE, 3), np.uint8)
