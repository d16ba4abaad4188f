"""From faces per frame to one transform per frame, as a chain of generators with bounded look-ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.face import points_68
from dubbench.face.alignment import ALIGNMENTS, smooth
from dubbench.media.container import Image

Mesh = NDArray[np.float32]

FILL_AHEAD = 12
NO_FACE_SHARE = 0.5
TWO_FACES_SHARE = 0.1
SAME_FACE_OVERLAP = 0.5
FOLLOWED_OVERLAP = 0.2


@dataclass
class FilledFrame:
    """A source frame with the face that its clip follows.

    Attributes:
        rgb: uint8 [H, W, 3].
        mesh: float32 [478, 3] in pixels of ``rgb``; of the nearest frame with a face where ``detected`` is False.
        detected: whether the face was found in this frame.
    """

    rgb: Image
    mesh: Mesh
    detected: bool


class FaceChoice:
    """Follows one face through a clip and counts what a policy needs to know."""

    def __init__(self, faces: str) -> None:
        """Take the policy: ``one`` refuses clips that show a second face too often, ``largest`` accepts them."""
        self.faces = faces
        self.frames = self.detected = self.several = 0
        self._last: Mesh | None = None

    def choose(self, found: Sequence[Mesh]) -> Mesh | None:
        """Pick the face that overlaps most with the one before, else the largest.

        Args:
            found: meshes [478, 3] in one frame, largest first.
        """
        self.frames += 1
        if not found:
            return None
        self.detected += 1
        self.several += any(overlap(found[0], other) < SAME_FACE_OVERLAP for other in found[1:])
        last = self._last
        if last is not None and len(found) > 1:
            # max takes the first of equals: without any overlap, the largest.
            self._last = max(found, key=lambda mesh: overlap(mesh, last))
        else:
            self._last = found[0]
        return self._last

    def verdict(self) -> None:
        """Judge the clip after its last frame.

        Raises:
            DubbenchError: if more than half of the frames show no face, or, under ``one``, more than a tenth show two.
        """
        missing = self.frames - self.detected
        if missing > NO_FACE_SHARE * self.frames:
            raise DubbenchError(f"no face in {missing} of {self.frames} frames")
        if self.faces == "one" and self.several > TWO_FACES_SHARE * self.frames:
            raise DubbenchError(
                f"two faces in {self.several} of {self.frames} frames; --faces largest follows the larger one"
            )


class BoxedFace(FaceChoice):
    """Follows the face that a box shows in the first frame with any, and no other, however long it is away."""

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        """Take a box: left, top, width and height in pixels of the frame."""
        super().__init__("largest")
        left, top, width, height = box
        self._box = np.array([[left, top], [left + width, top + height]], np.float32)
        self._words = ",".join(f"{side:g}" for side in box)

    def choose(self, found: Sequence[Mesh]) -> Mesh | None:
        """Pick the face that overlaps most with the box, later with the face before.

        Raises:
            DubbenchError: in the first frame with faces, if none lies in the box.
        """
        self.frames += 1
        if not found:
            return None
        before, least = (self._box, 0.0) if self._last is None else (self._last, FOLLOWED_OVERLAP)
        nearest = max(found, key=lambda mesh: overlap(mesh, before))
        if overlap(nearest, before) > least:
            self._last = nearest
            self.detected += 1
            return nearest
        if self._last is None:
            places = " and ".join(_box_words(mesh) for mesh in found)
            raise DubbenchError(
                f"no face lies in the box {self._words} of frame {self.frames - 1}, the first that shows any: "
                f"give one of theirs, {places}"
            )
        return None


def _box_words(mesh: Mesh) -> str:
    """A face's box as `BoxedFace` takes it."""
    low, size = mesh[:, :2].min(0), np.ptp(mesh[:, :2], axis=0)
    return ",".join(f"{side:.0f}" for side in (*low, *size))


def overlap(mesh: Mesh, other: Mesh) -> float:
    """Intersection over union of the bounding boxes of two meshes [N, 2 or 3]."""
    low = np.maximum(mesh[:, :2].min(0), other[:, :2].min(0))
    high = np.minimum(mesh[:, :2].max(0), other[:, :2].max(0))
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = sum(float(np.prod(np.ptp(box[:, :2], axis=0))) for box in (mesh, other))
    return shared / (areas - shared) if areas > shared else 0.0


def filled(frames: Iterable[tuple[Image, Mesh | None]], again: Callable[[], Iterator[Image]]) -> Iterator[FilledFrame]:
    """Give frames without a face the mesh of the nearest frame with one, the earlier of two.

    Only `FILL_AHEAD` frames are held back: further than that into a gap the face before it stands in. Frames before
    the first face are not held at all but decoded once more when it has come, so memory stays bounded.

    Args:
        frames: images with the chosen mesh [478, 3] or None.
        again: reads the images from the beginning once more.
    """
    last: Mesh | None = None
    gap: deque[Image] = deque()
    leading = passed = 0
    for rgb, mesh in frames:
        if mesh is not None:
            for early in gap if last is not None else islice(again(), leading):
                yield FilledFrame(early, mesh, detected=False)
            gap.clear()
            last, leading, passed = mesh, 0, 0
            yield FilledFrame(rgb, mesh, detected=True)
        elif last is None:
            leading += 1
        else:
            gap.append(rgb)
            # Once the frame waiting longest is no nearer to what may come than to the face before it, it is decided.
            if len(gap) > min(passed, FILL_AHEAD):
                yield FilledFrame(gap.popleft(), last, detected=False)
                passed += 1
    if last is not None:
        for rgb in gap:
            yield FilledFrame(rgb, last, detected=False)


def aligned(
    rows: Iterable[FilledFrame], size: int, align: str, sigma: float
) -> Iterator[tuple[FilledFrame, NDArray[np.float64]]]:
    """Add to every row its transform, smoothed over time.

    Args:
        rows: a clip.
        size: side of the aligned square in pixels.
        align: a name of `ALIGNMENTS`.
        sigma: of the smoothing in frames, 0 for none; rows are held back for its look-ahead.

    Yields:
        The rows with float64 [2, 3] from the aligned square to the source frame.
    """
    waiting: deque[FilledFrame] = deque()

    def transforms() -> Iterator[NDArray[np.float64]]:
        for row in rows:
            waiting.append(row)
            yield ALIGNMENTS[align](points_68(row.mesh), size)

    for transform in smooth(transforms(), sigma):
        yield waiting.popleft(), transform
