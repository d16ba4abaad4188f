"""Between a source frame and its aligned square: one resampling each way."""

from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Pixel = TypeVar("Pixel", np.uint8, np.float32)

BORDERS = {"black": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}


def warp(
    image: NDArray[np.uint8],
    transform: NDArray[np.float64],
    size: int,
    border: Literal["black", "reflect"] = "black",
) -> NDArray[np.uint8]:
    """Sample a square from an image.

    Bilinear where it enlarges; where it shrinks, several samples a pixel are averaged.

    Args:
        image: uint8 [H, W, 3].
        transform: [2, 3] from (u, v, 1), 0..size continuous, to landmark coordinates of the image (pixel indices).
        size: side of the square in pixels.
        border: what lies beyond the image.

    Returns:
        uint8 [size, size, 3].
    """
    finer = max(1, round(_scale(transform)))
    step = np.array([[1 / finer, 0, 0.5 / finer], [0, 1 / finer, 0.5 / finer], [0, 0, 1]])
    fine = cv2.warpAffine(
        image,
        transform @ step,
        (size * finer, size * finer),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=BORDERS[border],
    )
    return np.asarray(fine if finer == 1 else cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def paste(
    source: NDArray[np.uint8],
    aligned: NDArray[np.uint8],
    transform: NDArray[np.float64],
    mask: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Put an aligned square back into its source frame; pixels outside the mask stay as they are.

    Args:
        source: uint8 [H, W, 3].
        aligned: uint8 [s, s, 3].
        transform: [2, 3] from (u, v, 1), 0..s continuous, to landmark coordinates of the source.
        mask: float32 [s, s] in [0, 1], 1 where the aligned square is shown.

    Returns:
        uint8 [H, W, 3], a new array.
    """
    result = source.copy()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return result
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    corners = np.array([[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]) @ transform.T
    x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int) + 2, [source.shape[1], source.shape[0]])
    if x0 >= x1 or y0 >= y1:
        return result
    side = len(aligned)
    shrunk = min(side, max(1, round(side * _scale(transform))))
    to_source = transform * np.array([side / shrunk, side / shrunk, 1])
    to_aligned = np.linalg.inv(np.vstack([to_source, [0, 0, 1]]))[:2]
    # From pixel indices of the box to pixel indices of the shrunk square.
    to_aligned[:, 2] += to_aligned[:, :2] @ [x0, y0] - 0.5
    box = result[y0:y1, x0:x1]
    face = _placed(aligned, shrunk, to_aligned, box.shape[:2], cv2.BORDER_REPLICATE)
    alpha = _placed(mask, shrunk, to_aligned, box.shape[:2], cv2.BORDER_CONSTANT)
    box[...] = cv2.blendLinear(face, box, alpha, 1 - alpha)
    return result


def _placed(
    image: NDArray[Pixel], side: int, to_image: NDArray[np.float64], shape: tuple[int, ...], border: int
) -> NDArray[Pixel]:
    """Shrink a square to ``side`` by area averaging, then warp it into a box of [h, w]."""
    square = image if side == len(image) else cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(square, to_image, shape[::-1], flags=flags, borderMode=border), image.dtype)


def _scale(transform: NDArray[np.float64]) -> float:
    """Source pixels to one aligned pixel."""
    return float(np.hypot(transform[0, 0], transform[1, 0]))
