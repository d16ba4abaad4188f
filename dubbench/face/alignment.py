"""FFHQ alignment: the square that every method and metric sees a face in."""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

EYE_SCALE = 2.0
MOUTH_SCALE = 1.8
MOUTH_SHIFT = 0.1
TRUNCATE = 4.0


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
    radius = int(TRUNCATE * sigma + 0.5)
    if radius == 0:
        yield from transforms
        return
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
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
