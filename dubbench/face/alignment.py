"""The square that every method and metric sees a face in: FFHQ's, or one that no mouth moves."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

EYE_SCALE = 2.0
MOUTH_SCALE = 1.8
MOUTH_SHIFT = 0.1
TRUNCATE = 4.0
# Chosen so that faces fill the upper square as much as FFHQ's, and the nose decides of turned heads only.
UPPER_EYE_SCALE, UPPER_NOSE_SCALE, UPPER_SHIFT = 2.2, 2.4, 0.05


def ffhq_quad(points: ArrayLike) -> NDArray[np.float64]:
    """Corners of the aligned square in the source frame, after FFHQ (Karras et al. 2019, appendix C).

    Args:
        points: [68, 2] iBUG landmarks, pixels.

    Returns:
        float64 [4, 2] in the space of the points: north-west, south-west, south-east, north-east.
    """
    centre, x = _centre_and_x(np.asarray(points, np.float64))
    y = _quarter_turn(x)
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def ffhq_transform(points: ArrayLike, size: int) -> NDArray[np.float64]:
    """Similarity transform from the aligned square to the source frame.

    Args:
        points: [68, 2] iBUG landmarks, pixels.
        size: side S of the aligned square in pixels.

    Returns:
        float64 [2, 3] that takes aligned (u, v, 1), 0..S with north-west at the origin, to source coordinates.
    """
    centre, x = _centre_and_x(np.asarray(points, np.float64))
    y = _quarter_turn(x)
    return np.column_stack([2 * x / size, 2 * y / size, centre - x - y])


def upper_transform(points: ArrayLike, size: int) -> NDArray[np.float64]:
    """As `ffhq_transform`, but from eyes and nose alone, so that the square does not tell how the mouth stands.

    The eyes give direction and place; the size hangs on their distance, or, where a head is turned and that is short,
    on the nose's length. Landmark detectors let the eyes tremble with the mouth all the same: smooth it over time, see
    `SMOOTH_BY_DEFAULT`.

    Args:
        points: [68, 2] iBUG landmarks, pixels; those of brows, jaw and mouth are not looked at.
        size: side S of the aligned square in pixels.

    Returns:
        float64 [2, 3] that takes aligned (u, v, 1), 0..S with north-west at the origin, to source coordinates.
    """
    points = np.asarray(points, np.float64)
    left, right, nose = points[36:42].mean(0), points[42:48].mean(0), points[31:36].mean(0)
    eyes, eye_to_eye = (left + right) / 2, right - left
    across = np.hypot(*eye_to_eye)
    x = eye_to_eye / across * max(UPPER_EYE_SCALE * across, UPPER_NOSE_SCALE * np.hypot(*(nose - eyes)))
    y = _quarter_turn(x)
    return np.column_stack([2 * x / size, 2 * y / size, eyes + UPPER_SHIFT * y - x - y])


# By the name of an alignment, what makes the transform of a frame's landmarks to a square of a size.
ALIGNMENTS: Mapping[str, Callable[[ArrayLike, int], NDArray[np.float64]]] = MappingProxyType(
    {"ffhq": ffhq_transform, "upper": upper_transform}
)
# Standard deviation in frames. Measured on GRID s1 and on the demo's corpus by regression of the mouth's opening on
# the upper half of the aligned pictures, clips from other clips: R2 0.51 and 0.23 in FFHQ's squares, 0.14 and 0.00 in
# these; 0.26 on GRID without smoothing, 0.12 with 4 frames, 0.11 with 16, so that what is left is the head's motion.
# benchmarks/leak.py measures it for all that each method is told, and within clips.
SMOOTH_BY_DEFAULT: Mapping[str, float] = MappingProxyType({"ffhq": 0.0, "upper": 8.0})


def smooth(transforms: Iterable[NDArray[np.float64]], sigma: float) -> Iterator[NDArray[np.float64]]:
    """Smooth transforms over time by a Gaussian, streaming.

    An aligning transform is linear in the square's centre and x-vector, so averaging transforms averages those, as
    STIT does (Tzaban et al. 2022). The clip's first and last transform count on beyond its ends.

    Args:
        transforms: float64 [2, 3] a frame.
        sigma: in frames; 0 leaves everything as it is. Look-ahead and memory are 4 sigma.

    Yields:
        float64 [2, 3] a frame.
    """
    weights = gaussian(sigma)
    radius = len(weights) // 2
    if radius == 0:
        yield from transforms
        return
    window: deque[NDArray[np.float64]] = deque(maxlen=2 * radius + 1)
    ahead = 0
    for transform in transforms:
        if not window:
            window.extend([transform] * radius)
        window.append(transform)
        ahead += 1
        if ahead > radius:
            yield np.tensordot(weights, np.stack(window), 1)
    # A clip shorter than the look-ahead has not filled the window yet.
    for _ in range(max(radius - ahead, 0)):
        window.append(window[-1])
    for _ in range(min(radius, ahead)):
        window.append(window[-1])
        yield np.tensordot(weights, np.stack(window), 1)


def gaussian(sigma: float) -> NDArray[np.float64]:
    """Weights of a Gaussian of ``sigma`` frames, cut off at 4 sigma: float64 [2 * radius + 1], their sum 1."""
    radius = int(TRUNCATE * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def _centre_and_x(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    eyes, eye_to_eye = (left + right) / 2, right - left
    eye_to_mouth = (points[48] + points[54]) / 2 - eyes
    x = eye_to_eye - _quarter_turn(eye_to_mouth)
    x *= max(EYE_SCALE * np.hypot(*eye_to_eye), MOUTH_SCALE * np.hypot(*eye_to_mouth)) / np.hypot(*x)
    return eyes + MOUTH_SHIFT * eye_to_mouth, x


def _quarter_turn(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn x right towards y down."""
    return np.array([-vector[1], vector[0]])
