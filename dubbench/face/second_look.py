"""Faces that the detector misses in a whole frame, looked for in parts of it."""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mesh = NDArray[np.float32]
Corners = NDArray[np.float32]
"""Of a box, [2, 2]: left and top, right and bottom, in pixels."""
Part = tuple[int, int, int]  # left, top, side in pixels

# The detector sees its picture at 128 px, and faces from a tenth of that on up to two thirds.
FINEST = 440
# Of a part's side, in pixels: beyond it the detector sees no more, and the mesh comes from a square of the face's own.
LARGEST = 8192
SHARED = 0.25
AROUND = 3.0
SMALLEST = 40.0
SAME_FACE = 0.3
FOLLOWED = 0.1
PATIENCE = 25
PAUSE = 12


class SecondLook:
    """Looks for the faces of a clip where the first look, at whole frames, finds none.

    MediaPipe's meshes hang on a detector for near faces: it misses what is lower than a twelfth of the frame's longer
    side (about 150 px in 1920), and what fills the frame to its edges. Parts of the frame are shown to the same
    detector: around the faces of the frames before, else from the frame with a black border around it, twice as wide,
    through overlapping squares down to 440 px, in which faces of 60 px are found. A face that turns up is looked at
    once more in a square of its own, which gives its mesh and confirms it.

    The whole frame is searched at most every second while faces are followed, for others, and every `PAUSE` frames
    while there are none.

    Args:
        find: gives the meshes [478, 3] of the faces in a picture, in its pixels.
        most: how many faces to look for.
    """

    def __init__(self, find: Callable[[Image], list[Mesh]], most: int) -> None:
        self._find, self._most = find, most
        self.reset()

    def reset(self, place: Corners | None = None) -> None:
        """Begin another clip, in which the face at a place is wanted, whatever others there are; see `beside`."""
        self._last: list[Mesh] = []
        self._unseen = self._rest = 0
        self._place, self._missed = place, 0

    def follow(self, faces: Sequence[Mesh]) -> None:
        """Take what the first look found, which is followed where that loses it."""
        self._last, self._unseen, self._rest = list(faces), 0, PATIENCE

    def beside(self, rgb: Image, faces: Sequence[Mesh], place: Corners | None = None) -> list[Mesh]:
        """What was found in the next frame, and the face at the wanted place, looked for there if it is not among it.

        The place follows its face, unless another is given. While nothing is there, every frame is searched at first,
        then one in `PAUSE`.
        """
        place = self._place if place is None else place
        if place is None:
            return list(faces)
        there = max(faces, key=lambda face: overlap(face, place), default=None)
        if there is not None and overlap(there, place) > FOLLOWED:
            found = [*faces]
        else:
            due = self._missed < PATIENCE or self._missed % PAUSE == 0
            there = self._nearest(rgb, place, FOLLOWED) if due else None
            found = [*faces] if there is None else [*faces[: self._most - 1], there]
        self._missed += 1
        if there is not None:
            self._place, self._missed = np.stack([there[:, :2].min(0), there[:, :2].max(0)]), 0
        return found

    def faces(self, rgb: Image) -> list[Mesh]:
        """Faces of the next frame, [478, 3] each in its pixels, in which the first look found none."""
        found: list[Mesh] = []
        for before in self._last:
            _add(found, self._nearest(rgb, before, FOLLOWED))
        self._rest -= 1
        if self._rest < 0 and len(found) < self._most and (found or not self._last):
            for face in self._searched(rgb):
                _add(found, face)
            self._rest = PATIENCE if found else PAUSE
        del found[self._most :]
        if found:
            self._last, self._unseen = found, 0
        elif self._last:
            self._unseen += 1
            if self._unseen >= PATIENCE:
                self.reset()
        return list(found)

    def _searched(self, rgb: Image) -> list[Mesh]:
        """Faces of the coarsest parts that show any."""
        for parts in _levels(*rgb.shape[:2]):
            found: list[Mesh] = []
            for part in parts:
                for face in self._within(rgb, part):
                    if not any(overlap(face, other) > SAME_FACE for other in found):
                        _add(found, self._nearest(rgb, face, SAME_FACE))
            if found:
                return sorted(found, key=lambda face: -_size(face))
        return []

    def _nearest(self, rgb: Image, face: Mesh | Corners, least: float) -> Mesh | None:
        """The face in the square around another, or a box, that overlaps most with it, if by more than ``least``."""
        side = max(round(AROUND * _size(face)), 1)
        left, top = np.round((face[:, :2].min(0) + face[:, :2].max(0) - side) / 2).astype(int).tolist()
        found = self._within(rgb, (left, top, side))
        nearest = max(found, key=lambda other: overlap(other, face), default=None)
        return nearest if nearest is not None and overlap(nearest, face) > least else None

    def _within(self, rgb: Image, part: Part) -> Iterator[Mesh]:
        square, offset = _cut(rgb, part), np.array([*part[:2], 0], np.float32)
        scale = np.float32(part[2] / len(square))
        faces = (mesh * scale + offset for mesh in self._find(square))
        return (face for face in faces if _size(face) >= SMALLEST)


def overlap(mesh: Mesh, other: Mesh) -> float:
    """Intersection over union of the bounding boxes of two meshes [N, 2 or 3]."""
    low = np.maximum(mesh[:, :2].min(0), other[:, :2].min(0))
    high = np.minimum(mesh[:, :2].max(0), other[:, :2].max(0))
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = sum(float(np.prod(np.ptp(box[:, :2], axis=0))) for box in (mesh, other))
    return shared / (areas - shared) if areas > shared else 0.0


def _size(face: Mesh | Corners) -> float:
    """The longer side of a face's box in pixels."""
    return float(np.ptp(face[:, :2], axis=0).max())


def _add(found: list[Mesh], face: Mesh | None) -> None:
    if face is not None and not any(overlap(face, other) > SAME_FACE for other in found):
        found.append(face)


def _levels(height: int, width: int) -> Iterator[list[Part]]:
    """Parts of a frame, level by level, those of a level overlapping by a quarter; none too small for a face."""
    side = 2 * max(height, width)
    yield [((width - side) // 2, (height - side) // 2, side)]
    shorter = min(height, width)
    if shorter < SMALLEST:
        return
    steps = max(round(np.log2(shorter / FINEST)), 1) if shorter > FINEST else 0
    for size in np.geomspace(shorter, min(shorter, FINEST), steps + 1).round().astype(int).tolist():
        rows, columns = (_starts(length, size) for length in (height, width))
        yield [(left, top, size) for top in rows for left in columns]


def _starts(length: int, side: int) -> list[int]:
    count = int(np.ceil((length - side) / ((1 - SHARED) * side))) + 1
    return list(np.linspace(0, length - side, count).round().astype(int).tolist())


def _cut(rgb: Image, part: Part) -> Image:
    """A square of a frame, black beyond it, scaled down to `LARGEST`."""
    left, top, side = part
    height, width = rgb.shape[:2]
    (y0, y1), (x0, x1) = np.clip([top, top + side], 0, height), np.clip([left, left + side], 0, width)
    seen = rgb[y0:y1, x0:x1]
    rows, columns = np.array([y0, y1]) - top, np.array([x0, x1]) - left
    if side > LARGEST and seen.size:
        rows, columns = (np.round(ends * (LARGEST / side)).astype(int) for ends in (rows, columns))
        rows[1], columns[1] = (max(stop, start + 1) for start, stop in (rows, columns))
        size = int(columns[1] - columns[0]), int(rows[1] - rows[0])
        seen, side = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.uint8), LARGEST
    square = np.zeros((side, side, 3), np.uint8)
    square[rows[0] : rows[1], columns[0] : columns[1]] = seen
    return square
