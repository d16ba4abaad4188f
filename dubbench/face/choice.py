"""Which face of a clip is meant: one alone, the largest, or the one in a box."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.face.alignment import ffhq_transform
from dubbench.face.landmarks import Face
from dubbench.face.scenes import THRESHOLD, Cuts, unlikeness
from dubbench.face.second_look import overlap
from dubbench.face.warp import warp

Image = NDArray[np.uint8]
Mesh = NDArray[np.float32]
Box = tuple[float, float, float, float]
Faces = str | Box
"""``one`` or ``largest``, or left, top, width and height in pixels of the face in the first frame with any."""

NO_FACE_SHARE = 0.5
TWO_FACES_SHARE = 0.1
SAME_FACE_OVERLAP = 0.5
FOLLOWED_OVERLAP = 0.2
LOOKS = 64  # px, side of the aligned face whose looks are compared
# Of GRID's and VoxCeleb2's speakers no two are more alike than 14.9; one of them within a shot stays below 21.
ALIKE = 12.0
BOXED_FACES = 8  # that are looked for in a frame, so that the one in the box is among them


class FaceChoice:
    """Follows one face through a clip and counts what a policy needs to know.

    Attributes:
        faces: the policy.
        frames: how many were seen.
        detected: those with the face.
        several: those that showed another face beside it.
        lost: frame from which on another face was in its place to the end; None where there was none.
        place: where the face is at first, left and top, right and bottom, [2, 2]; None where that is not said.
    """

    place: NDArray[np.float32] | None = None

    def __init__(self, faces: str) -> None:
        """Take the policy: ``one`` refuses clips that show a second face too often, ``largest`` accepts them."""
        self.faces = faces
        self.frames = self.detected = self.several = 0
        self.lost: int | None = None
        self._last: Face | None = None
        self._sizes: list[float] = []

    @property
    def size(self) -> float:
        """Median over the frames with the face of the longer side of its box, in pixels; 0 where there is none."""
        return round(float(np.median(self._sizes)), 1) if self._sizes else 0.0

    def choose(self, found: Sequence[Mesh], rgb: Image | None = None) -> Mesh | None:
        """As `pick`, with meshes [478, 3] for faces; gives the chosen one."""
        number = self.pick([Face.of(mesh) for mesh in found], rgb)
        return None if number is None else found[number]

    def pick(self, found: Sequence[Face], rgb: Image | None = None) -> int | None:
        """Pick the face that overlaps most with the one before, else the largest.

        Args:
            found: faces of the next frame, largest first.
            rgb: the frame, uint8 [H, W, 3].

        Returns:
            The face's place among those found, None where it is not among them.
        """
        self.frames += 1
        number = self._followed(found, rgb) if found else None
        if number is not None:
            self._last = found[number]
            self.detected += 1
            self.several += has_others(found, found[number])
            self._sizes.append(found[number].size)
        return number

    def _followed(self, found: Sequence[Face], rgb: Image | None) -> int | None:
        return 0 if self._last is None else _nearest(found, self._last.corners)

    def verdict(self) -> None:
        """Judge the clip after its last frame.

        Raises:
            DubbenchError: if more than half of the frames show no face, or, under ``one``, more than a tenth show two.
        """
        missing = self.frames - self.detected
        if missing > NO_FACE_SHARE * self.frames:
            raise DubbenchError(f"no face in {missing} of {self.frames} frames")
        if self.faces == "one":
            refuse_several(self.several, self.frames)


class BoxedFace(FaceChoice):
    """Follows the face that a box shows in the first frame with any, and no other, however long it is away.

    A face goes on if it lies over the last place and looks as it did there: within a shot, no more unlike than frames
    to both sides of a cut; across a cut, or once another face was there, as one person within a shot. Looks are
    compared as `Cuts` compares pictures, on the aligned face.
    """

    def __init__(self, box: Box) -> None:
        """Take a box: left, top, width and height in pixels of the frame."""
        super().__init__("largest")
        left, top, width, height = box
        self.place = self._box = np.array([[left, top], [left + width, top + height]], np.float32)
        self._words = ",".join(f"{side:g}" for side in box)
        self._cuts = Cuts(shortest=1)
        self._looks: Image | None = None
        self._doubtful = False

    def pick(self, found: Sequence[Face], rgb: Image | None = None) -> int | None:
        """Pick the face that overlaps most with the box, later with the face before.

        Args:
            found: faces of the next frame.
            rgb: the frame, uint8 [H, W, 3]; without it places alone decide.

        Returns:
            The face's place among those found, None where it is not among them.

        Raises:
            DubbenchError: in the first frame with faces, if none lies in the box.
        """
        if rgb is not None and self._cuts.add(rgb):
            self._doubtful = True
        return super().pick(found, rgb)

    def _followed(self, found: Sequence[Face], rgb: Image | None) -> int | None:
        before, least = (self._box, 0.0) if self._last is None else (self._last.corners, FOLLOWED_OVERLAP)
        number = _nearest(found, before)
        nearest = found[number]
        lies_there = overlap(nearest.corners, before) > least
        if self._last is None and not lies_there:
            places = " and ".join(box_words(face.box) for face in found)
            raise DubbenchError(
                f"no face lies in the box {self._words} of frame {self.frames - 1}, the first that shows any: "
                f"give one of theirs, {places}"
            )
        return number if lies_there and (rgb is None or self._is_the_same(nearest, rgb)) else None

    def _is_the_same(self, face: Face, rgb: Image) -> bool:
        looks = warp(rgb, ffhq_transform(face.points, LOOKS), LOOKS)
        limit = ALIKE if self._doubtful else THRESHOLD
        if self._looks is not None and unlikeness(self._looks, looks) >= limit:
            self._doubtful = True
            self.lost = self.frames - 1 if self.lost is None else self.lost
            return False
        self._looks, self._doubtful, self.lost = looks, False, None
        return True


def has_others(found: Sequence[Face], face: Face) -> bool:
    """Whether a frame shows another face beside one; two meshes of one face are one."""
    return any(overlap(face.corners, other.corners) < SAME_FACE_OVERLAP for other in found)


def _nearest(found: Sequence[Face], corners: NDArray[np.float32]) -> int:
    # max takes the first of equals: without any overlap, the largest.
    return max(range(len(found)), key=lambda number: overlap(found[number].corners, corners))


def most_faces(faces: Faces) -> int:
    """How many faces a detector looks for in a frame: a second one must be noticed, and one in a box be among them."""
    return 2 if isinstance(faces, str) else BOXED_FACES


def refuse_several(several: int, frames: int) -> None:
    """Raise `DubbenchError` if so many of a clip's frames show a second face that nobody knows whose clip it is."""
    if several > TWO_FACES_SHARE * frames:
        raise DubbenchError(f"two faces in {several} of {frames} frames; --faces largest follows the larger one")


def choice_of(faces: Faces) -> FaceChoice:
    """Begin a clip under a policy or with a box."""
    return FaceChoice(faces) if isinstance(faces, str) else BoxedFace(faces)


def box_words(box: NDArray[np.float32]) -> str:
    """A box x0, y0, x1, y1 as the options have it: X,Y,W,H."""
    return ",".join(f"{side:.0f}" for side in (*box[:2], *(box[2:] - box[:2])))
