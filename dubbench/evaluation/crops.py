"""Where a frame is looked at: the protocol's crop, the mouth in it, and the aligned frame of landmark distances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dubbench.datamodules.clip import ClipInfo, PreparedClip
from dubbench.face.alignment import ffhq_transform
from dubbench.face.crops import nose_crop
from dubbench.face.landmarks import Face

ALIGNED = 256
MOUTH = slice(48, 68)
MOUTH_MARGIN = 0.25


@dataclass(frozen=True)
class Geometry:
    """Where n ground-truth frames are looked at; predictions are looked at in the same places.

    Attributes:
        aligned: [n, 2, 3] from the clip's aligned square to the source frame.
        crop: [n, 2, 3] from the protocol's crop to the source frame.
        mouth: [n, 4] integers x0, y0, x1, y1: the mouth's box in the crop.
        source_points: [n, 68, 2] landmarks in the source frame.
        points: [n, 68, 2] landmarks in the aligned frame of 256 pixels.
        detected: [n] whether the landmarks were found in the frame itself.
        to_256: [n, 2, 3] from the source frame to the aligned frame of 256 pixels.
    """

    aligned: NDArray[np.float64]
    crop: NDArray[np.float64]
    mouth: NDArray[np.int64]
    source_points: NDArray[np.float64]
    points: NDArray[np.float64]
    detected: NDArray[np.bool_]
    to_256: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        transforms: ArrayLike,
        side: int,
        source_points: ArrayLike,
        detected: ArrayLike,
        size: int,
        measured: ArrayLike | None = None,
    ) -> "Geometry":
        """Derive crops and mouths from aligned squares and landmarks.

        Args:
            transforms: [n, 2, 3] from the aligned square to the source frame.
            side: of that square in pixels.
            source_points: [n, 68, 2] landmarks in the source frame.
            detected: [n] whether they were found in the frame itself.
            size: side of the protocol's crop in pixels.
            measured: [n, 2, 3] of `ffhq_squares`, where ``transforms`` are no such: metrics look at the same places
                however a clip was prepared.
        """
        aligned, source_points = np.asarray(transforms, np.float64), np.asarray(source_points, np.float64)
        from_256 = aligned * [side / ALIGNED, side / ALIGNED, 1.0] if measured is None else np.asarray(measured)
        to_256 = np.stack([np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2] for matrix in from_256])
        points = mapped(to_256, source_points)
        boxes = [nose_box(frame, size) for frame in points]
        crop = np.stack(
            [matrix @ np.vstack([box, [0, 0, 1]]) for matrix, (box, _) in zip(from_256, boxes, strict=True)]
        )
        mouth = np.stack([mouth_box for _, mouth_box in boxes])
        return cls(
            aligned=aligned,
            crop=crop,
            mouth=mouth,
            source_points=source_points,
            points=points,
            detected=np.asarray(detected, bool),
            to_256=to_256,
        )

    @classmethod
    def of_clip(cls, clip: PreparedClip, indices: Sequence[int], size: int) -> "Geometry":
        """Read what a clip's track says of some source frames; ``size`` is the side of the protocol's crop."""
        points = clip.points(indices)
        return cls.of(
            clip.transforms(indices),
            clip.info.size,
            source_points=points,
            detected=clip.detected(indices),
            size=size,
            measured=None if measurable(clip.info) else ffhq_squares(points),
        )


def measurable(info: ClipInfo) -> bool:
    """Whether a clip's own squares are those that metrics look at: FFHQ's, each of its own frame."""
    return info.align == "ffhq" and not info.smooth


def ffhq_squares(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """FFHQ's aligned squares of 256 pixels of faces [n, 68, 2]: [n, 2, 3] from the square to where the faces are."""
    return np.stack([ffhq_transform(face, ALIGNED) for face in points])


def measured_points(clip: PreparedClip) -> NDArray[np.float64]:
    """Landmarks [n, 68, 2] of a clip's frames with a face, in the squares that metrics look at."""
    seen = np.flatnonzero(clip.detected()).tolist()
    return Geometry.of_clip(clip, seen, ALIGNED).points


def mapped(transforms: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Send points [n, k, 2] through affine maps [n, 2, 3]."""
    return np.asarray(np.einsum("nij,nkj->nki", transforms[..., :2], points) + transforms[:, None, :, 2])


def nose_box(points: NDArray[np.float64], size: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The nose crop and the mouth's box in it.

    The mouth's box is that of the landmarks 48 to 67, widened by a quarter of its width left and right and of its
    height above and below, rounded outwards and cut at the crop's border.

    Args:
        points: [68, 2] ground-truth landmarks in an aligned space.
        size: side of the crop in pixels.

    Returns:
        [2, 3] from crop pixels (continuous) to that space, and int64 [4]: x0, y0, x1, y1 in crop pixels.
    """
    centre, radius = nose_crop(points)
    scale = 2 * radius / size
    corner = centre - radius
    box = np.array([[scale, 0.0, corner[0]], [0.0, scale, corner[1]]])
    mouth = (points[MOUTH] - corner) / scale
    low, high = mouth.min(axis=0), mouth.max(axis=0)
    margin = MOUTH_MARGIN * (high - low)
    outer = np.concatenate([np.floor(low - margin), np.ceil(high + margin)])
    return box, np.clip(outer, 0, size).astype(np.int64)


def nearest_face(faces: Sequence[Face], truth: NDArray[np.float64]) -> Face | None:
    """Of the faces found in a frame, take the one nearest to the ground truth's.

    Args:
        faces: in the frame's pixels.
        truth: [68, 2] landmarks of the ground truth in that frame's pixels.

    Returns:
        One of them; None without a face, or where the nearest is so far away (a face's size, from middle to middle)
        that it is somebody else's.
    """
    centre, reach = truth.mean(axis=0), np.ptp(truth, axis=0).max()

    def distance(face: Face) -> float:
        return float(np.linalg.norm(face.points.astype(np.float64).mean(axis=0) - centre))

    nearest = min(faces, key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) <= reach else None


def aligned_faces(own: Sequence[Face | None], geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bring detected landmarks into the aligned frame of 256 pixels.

    Args:
        own: for the first frames of ``geometry``, the face in source pixels, or None without one.
        geometry: of those frames.

    Returns:
        [n, 68, 2], zero where there is no face; and bool [n], whether prediction and ground truth both have one.
    """
    count = len(own)
    found = np.array([face is not None for face in own], bool) & geometry.detected[:count]
    faces = np.stack([np.zeros((68, 2)) if face is None else face.points.astype(np.float64) for face in own])
    return np.where(found[:, None, None], mapped(geometry.to_256[:count], faces), 0.0), found
