"""How good a filmed face is to learn from: sharpness, exposure and size of one frame, each a number of its own."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dubbench.media.container import Image

# Side in pixels of the square in which sharpness and exposure are measured, whatever the clip was prepared at.
SIDE = 256
# Length in pixels of the mean that a picture is blurred by once more (Crété et al.; scikit-image has the same).
REBLUR = 11
# Of a pixel's largest channel, where it counts as lost to the dark or to the light: skin burns out in red first, and
# its luma hardly gets there.
DARKEST, BRIGHTEST = 5, 250
# Percentiles of the luma between which the tonal range lies: lashes and glints on glasses shall not make it.
RANGE = (5, 95)
# Side of the square in source pixels that counts half: what most methods work at.
HALF_SIZE = 256.0


def face_area(points: ArrayLike) -> NDArray[np.bool_]:
    """Pixels of a face: bool [SIDE, SIDE], the convex hull of its landmarks.

    Args:
        points: [N, 2] in pixels of the aligned square at `SIDE`; parts of the face may lie outside.
    """
    area = np.zeros((SIDE, SIDE), np.uint8)
    # Clipped where nothing is shown any more: OpenCV's integers are short.
    rounded = np.clip(np.round(np.asarray(points, np.float64)), -4 * SIDE, 5 * SIDE).astype(np.int32)
    cv2.fillConvexPoly(area, cv2.convexHull(rounded), (1,))
    return area.astype(bool)


def measured(frame: Image) -> Image:
    """An aligned frame uint8 [S, S, 3] at the size in which it is measured: uint8 [SIDE, SIDE, 3]."""
    how = cv2.INTER_AREA if len(frame) > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (SIDE, SIDE), interpolation=how), np.uint8)


def luma(picture: Image) -> NDArray[np.float32]:
    """Luma (BT.601) of a picture uint8 [H, W, 3] RGB: float32 [H, W], 0 to 255."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def sharpness(grey: NDArray[np.float32], area: NDArray[np.bool_]) -> float:
    """One minus the blur effect of Crété et al. 2007: the share of its edges that a picture loses if it is blurred.

    What is sharp loses most of its edges by being blurred, what is blurred already hardly any. It is a ratio, so that
    neither contrast nor light changes it. A median of 3 x 3 pixels goes before, without which noise counts as edges.

    Args:
        grey: float32 [H, W], luma from 0 to 255.
        area: bool [H, W], the pixels that count.

    Returns:
        From 0, a picture without edges, to 1; the smaller of what is found along rows and along columns, since motion
        blurs one of them. Real clips have 0.3 to 0.6.
    """
    calm = np.asarray(cv2.medianBlur(grey, 3), np.float32)
    return min(_lost(calm, area, axis) for axis in (0, 1))


def _lost(grey: NDArray[np.float32], area: NDArray[np.bool_], axis: int) -> float:
    """Share of the edges across an axis that a mean over `REBLUR` pixels along it takes away."""
    edges, left = (
        np.abs(cv2.Sobel(picture, cv2.CV_32F, axis, 1 - axis, ksize=3))[area].astype(np.float64)
        for picture in (grey, cv2.blur(grey, (REBLUR, 1) if axis else (1, REBLUR)))
    )
    total = edges.sum()
    return float(np.maximum(edges - left, 0).sum() / total) if total > 0 else 0.0


def exposure(picture: Image, area: NDArray[np.bool_]) -> float:
    """How much of the tonal range a face takes up, without what is lost to light and dark.

    (95th percentile of the luma - 5th) / 255 x (1 - share of pixels whose largest channel is at most 5 or at least
    250). Too little light makes the range narrow, too much burns pixels out and then narrows it, too. The mean luma,
    which skin decides, has no part in it.

    Args:
        picture: uint8 [H, W, 3] RGB.
        area: bool [H, W], the pixels that count; at least one.

    Returns:
        From 0, one flat tone, to 1. Real clips have 0.2 to 0.55.
    """
    low, high = np.percentile(luma(picture)[area], RANGE)
    largest = picture[area].max(1)
    lost = np.mean((largest <= DARKEST) | (largest >= BRIGHTEST))
    return float((high - low) / 255 * (1 - lost))


def face_size(transforms: ArrayLike, size: int) -> NDArray[np.float64]:
    """Side of the aligned square in source pixels, which is about 1.4 times the longer side of a frontal face's box.

    Args:
        transforms: [T, 2, 3] from the aligned square to the source frame.
        size: side of the aligned square in pixels.

    Returns:
        float64 [T]; below ``size``, preparing has enlarged the face.
    """
    linear = np.asarray(transforms, np.float64)[:, :, :2]
    return np.asarray(size * np.sqrt(np.abs(np.linalg.det(linear))))


def combined(sharp: float, exposed: float, size: float) -> float:
    """One number of the three, 0 to 100: 100 x cube root of sharpness x exposure x size / (size + 256).

    A geometric mean, since what is bad in one respect is of no use however good it is in the others.
    """
    return float(100 * np.cbrt(sharp * exposed * size / (size + HALF_SIZE)))
