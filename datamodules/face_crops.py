"""Where a clip's face crops lie, the same in training and when dubbing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip
from dubbench.face.alignment import SMOOTH_BY_DEFAULT, gaussian
from dubbench.face.crops import face_boxes, face_points, face_radius

CLIPS_KEPT = 4096  # whose radius is remembered: a number each
TOGETHER = 64  # frames that are smoothed at once: each is a mean over many


@dataclass(frozen=True)
class FaceCrops:
    """Face crops of N frames.

    Attributes:
        boxes: float64 [N, 2, 3] of `face_boxes`.
        points: float32 [N, 68, 2] landmarks in crop pixels.
        steady: float32 [N, 68, 2] landmarks smoothed over time as the alignment is, in crop pixels: what is told a
            network about where the face is. Of FFHQ's squares, which are not smoothed by default, the same as
            ``points``.
    """

    boxes: NDArray[np.float64]
    points: NDArray[np.float32]
    steady: NDArray[np.float32]


def face_crops(
    clip: PreparedClip, frames: Sequence[int], mouth: int, scale: float, size: int | None = None
) -> FaceCrops:
    """Lay the face crops of some frames of a clip.

    One scale serves all of a clip, that of its largest face: 4.3 of G4G prints the crop's size alone, and DINet takes
    the largest of the frames that it sees at once, which would tell how far the mouth is open. So that the place of the
    crop does not tell it either, it follows smoothed landmarks where the clip's alignment is smoothed.

    Args:
        clip: a prepared clip.
        frames: numbers N.
        mouth: side of the mouth region in crop pixels.
        scale: of `face_radius`.
        size: side of the aligned square, by default the clip's.
    """
    side = size or clip.info.size
    points = clip.aligned_points(frames, side)
    steady = _steady(clip, frames, side) if SMOOTH_BY_DEFAULT[clip.info.align] else points.astype(np.float64)
    boxes = face_boxes(
        steady, scale * _extent(clip.root, clip.info.clip, clip.info.source_sha256, clip.info.align) * side, mouth
    )
    return FaceCrops(boxes, face_points(points, boxes), face_points(steady, boxes))


def _steady(clip: PreparedClip, frames: Sequence[int], side: int) -> NDArray[np.float64]:
    """Landmarks of some frames [N, 68, 2], a Gaussian mean over those of the frames around each."""
    weights = gaussian(SMOOTH_BY_DEFAULT[clip.info.align])
    reach = len(weights) // 2
    means = []
    for start in range(0, len(frames), TOGETHER):
        around = np.asarray(frames[start : start + TOGETHER])[:, None] + np.arange(-reach, reach + 1)
        rows = clip.aligned_points(np.clip(around, 0, len(clip) - 1).ravel().tolist(), side)
        means.append(np.tensordot(rows.reshape(*around.shape, 68, 2), weights, (1, 0)))
    return np.concatenate(means) if means else np.empty((0, 68, 2))


@lru_cache(maxsize=CLIPS_KEPT)
def _extent(root: Path, name: str, source_sha256: str, align: str) -> float:
    """`face_radius` over all frames of a clip that show a face, at scale 1, as a share of the aligned square.

    What the clip was made from and how is part of what is remembered by: it may be prepared anew.
    """
    clip = PreparedClip(root, name)
    seen = np.flatnonzero(clip.detected()).tolist() or None
    return face_radius(clip.aligned_points(seen), 1.0) / clip.info.size
