"""From a method's aligned frames to finished segments of the video, in the source's own samples."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip
from dubbench.dubbing.work import WorkFolder
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import native_references
from dubbench.face.warp import placed
from dubbench.media.container import Image
from dubbench.media.planes import Layout, Planes, paint, read_planes
from dubbench.media.segments import PlaneWriter, Stored
from dubbench.models.base import DubbingModel

SEGMENT = 96  # frames; a multiple of the methods' batches, so that going on draws nothing twice
# Of the aligned square's side: half of how far beyond what a method changed, and beyond its region, it is pasted.
DRAWN_FADE, REGION_FADE = 64, 32
MARK_ROWS = 32  # of the picture's height
MARGIN = 0.5  # of the mark's own height
Tell = Callable[[int], None]
Painting = tuple[Image, NDArray[np.float32], int, int]


class SegmentWriter:
    """Dubs a clip and pastes it into its source frames.

    Args:
        model: makes aligned frames.
        clip: as long as the result, with its speech.
        video: the source.
        layout: of its planes.
        stored: as `mirrored` gave it.
        crf: constant rate factor.
        mark: as `drawn_text` gives it, for every frame, or None.
        precision: of autocast, or None.
    """

    def __init__(
        self,
        model: DubbingModel,
        clip: PreparedClip,
        video: Path,
        *,
        layout: Layout,
        stored: "Mirror | None",
        crf: int,
        mark: Painting | None,
        precision: torch.dtype | None,
    ) -> None:
        self._model, self._clip, self._video, self._layout, self._stored = model, clip, video, layout, stored
        self._crf, self._mark, self._precision = crf, mark, precision
        self._mask = model.paste_mask()
        transforms = clip.transforms() * np.array([clip.info.size / len(self._mask)] * 2 + [1.0])
        self._transforms = _stored(transforms, clip, layout)
        self._detected = clip.detected()

    def write(self, work: WorkFolder, tell: Tell) -> list[Path]:
        """Write the segments that are not there yet.

        Args:
            work: folder for them.
            tell: gets the number of frames done since it was told last.

        Returns:
            All of them in order.
        """
        total = len(self._clip)
        paths = [work.path(f"segment-{number:05d}.mp4") for number in range(-(-total // SEGMENT))]
        finished = next((number for number, path in enumerate(paths) if not path.is_file()), len(paths))
        start = finished * SEGMENT
        tell(min(start, total))
        if finished == len(paths):
            return paths
        frames = self._frames(start)
        for path in paths[finished:]:
            with PlaneWriter(path, self._layout, self._crf) as writer:
                for planes in islice(frames, SEGMENT):
                    writer.write(planes)
                    tell(1)
        return paths

    def _frames(self, start: int) -> Iterator[Planes]:
        """Finished frames from ``start`` on."""
        model, clip = self._model, self._clip
        references = references_of(model, clip)
        made = model.dub(clip, clip.speech(), references, self._precision, start=start)
        own = islice(clip.stream(len(self._mask)), start, None)
        sources = self._sources(start)
        for number in range(start, len(clip)):
            planes, aligned, before = next(sources), next(made), next(own)
            if self._detected[number]:
                region = model.paste_region(clip.aligned_points([number], len(before))[0], len(before))
                mask = self._mask * changed(before, aligned, region)
                shape = self._layout.height, self._layout.width
                face, alpha, (x, y) = placed(aligned, self._transforms[number], mask, shape)
                if alpha.size:
                    paint(planes, self._layout, face, alpha, x=x, y=y)
            if self._mark is not None:
                paint(planes, self._layout, *self._mark)
            yield planes

    def _sources(self, start: int) -> Iterator[Planes]:
        """The source's frames from ``start`` on; what it shows once more comes from the mirror."""
        total = len(self._clip)
        plain = total if self._stored is None else self._stored.begins
        yield from islice(read_planes(self._video, self._layout), start, max(plain, start))
        if self._stored is not None:
            with Stored(self._stored.path) as stored:
                for number in self._stored.order[max(start - plain, 0) :]:
                    yield stored.planes(number)


def _stored(transforms: NDArray[np.float64], clip: PreparedClip, layout: Layout) -> NDArray[np.float64]:
    """Maps [T, 2, 3] to the square pixels that are analysed, as maps to those that the video stores."""
    across, down = layout.width / clip.info.source_width, layout.height / clip.info.source_height
    if across == down == 1:
        return transforms
    # Pixel indices: pixel j is centred at j + 0.5.
    centre = np.array([[0, 0, (across - 1) / 2], [0, 0, (down - 1) / 2]])
    return np.asarray(transforms * np.array([[across], [down]]) + centre, np.float64)


class Mirror:
    """Source frames that are shown once more, without loss, and the order they are shown in.

    Attributes:
        path: of the file.
        begins: first frame of the result that is taken from it.
        order: which of its frames the result shows from there on.
    """

    def __init__(self, path: Path, begins: int, order: Sequence[int]) -> None:
        self.path, self.begins, self.order = path, begins, order


def mirrored(video: Path, layout: Layout, order: Sequence[int], *, frames: int, work: WorkFolder) -> Mirror | None:
    """Keep the source frames that are shown once more where they can be read backwards; None if there are none.

    Args:
        video: the source, of which only reading forwards is cheap.
        layout: of its planes.
        order: the source's frame that each frame of the result shows.
        frames: of the source.
        work: folder for them.
    """
    again = order[frames:]
    if not again:
        return None
    path, first = work.path("mirror.mkv"), min(again)
    if not path.is_file():
        with PlaneWriter(path, layout, None) as writer:
            for planes in islice(read_planes(video, layout), first, max(again) + 1):
                writer.write(planes)
    return Mirror(path, frames, [number - first for number in again])


def references_of(model: DubbingModel, clip: PreparedClip) -> list[int]:
    """The frames that a method may look at: its native choice, and the first frame with a face, all with a face."""
    detected = clip.detected()
    native = [number for number in native_references(model, clip) if detected[number]]
    return sorted({int(np.flatnonzero(detected)[0]), *native})


def changed(before: Image, after: Image, region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What part of an aligned frame goes into the video: where a method changed anything, within its region.

    Methods that give the source back outside a mask of their own, as RealTalk and G4G do, leave it as sharp there as it
    was.

    Args:
        before: aligned frame, uint8 [s, s, 3].
        after: what was made of it.
        region: `DubbingModel.paste_region` of the frame, bool [s, s].

    Returns:
        float32 [s, s] in [0, 1].
    """
    side = len(before)
    return _soft((before != after).any(-1), max(side // DRAWN_FADE, 1)) * _soft(region, max(side // REGION_FADE, 1))


def _soft(region: NDArray[np.bool_], reach: int) -> NDArray[np.float32]:
    """1 within a region, falling to 0 over twice the reach beyond."""
    square = 2 * reach + 1, 2 * reach + 1
    spread = cv2.dilate(region.astype(np.float32), np.ones(square, np.uint8))
    # The mean over as wide a square is 1 wherever the spread is 1 all around, and so in all of the region.
    return np.asarray(cv2.blur(spread, square), np.float32).clip(0, 1)


def drawn_text(text: str, width: int, height: int) -> Painting:
    """A visible mark: white letters with a black rim in the lower left corner, as `paint` takes it.

    Raises:
        DubbenchError: if there is nothing in the text that can be drawn.
    """
    if not text.strip() or not text.isascii() or not text.isprintable():
        raise DubbenchError(f"--mark {text!r} cannot be drawn; give plain letters, digits and signs (ASCII)")
    font = cv2.FONT_HERSHEY_SIMPLEX
    (long, tall), below = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(height / MARK_ROWS / tall, 0.9 * width / long)
    thick = max(round(scale * 2), 1)
    rim = 3 * thick
    (long, tall), below = cv2.getTextSize(text, font, scale, thick)
    shape = min(tall + below + 2 * rim, height), min(long + 2 * rim, width)
    alpha, white = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for canvas, stroke in ((alpha, rim), (white, thick)):
        cv2.putText(canvas, text, (rim, tall + rim), font, scale, (255.0,), stroke, cv2.LINE_AA)
    margin = round(MARGIN * tall)
    x, y = min(margin, width - shape[1]), max(height - shape[0] - margin, 0)
    return np.repeat(white[..., None], 3, 2), alpha.astype(np.float32) / 255, x, y
