"""Between a picture and a part of it, as a source frame and its aligned square: one resampling each way."""

from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Pixel = TypeVar("Pixel", np.uint8, np.float32)

BORDERS = {"black": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}


def to_pixel_indices(transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn [..., 2, 3] into a picture's continuous coordinates (pixel j centred at j + 0.5) into one into its indices.

    Aligned squares and crops have continuous coordinates, source frames are measured in pixel indices; `warp` and
    `paste` want the latter of the picture that they read or change.
    """
    return np.asarray(transform - np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5]]))


def warp(
    image: NDArray[Pixel],
    transform: NDArray[np.float64],
    size: int | tuple[int, int],
    border: Literal["black", "reflect"] = "black",
) -> NDArray[Pixel]:
    """Sample a square or rectangle from an image.

    Bilinear where it enlarges; where it shrinks, several samples a pixel are averaged.

    Args:
        image: uint8 or float32 [H, W] or [H, W, 3].
        transform: [2, 3] from (u, v, 1), 0..w and 0..h continuous, to landmark coordinates of the image (pixel
            indices); a similarity.
        size: side of the square in pixels, or height and width.
        border: what lies beyond the image.

    Returns:
        [h, w] or [h, w, 3] of the image's type.
    """
    height, width = (size, size) if isinstance(size, int) else size
    finer = max(1, round(_scale(transform)))
    step = np.array([[1 / finer, 0, 0.5 / finer], [0, 1 / finer, 0.5 / finer], [0, 0, 1]])
    fine = cv2.warpAffine(
        image,
        transform @ step,
        (width * finer, height * finer),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=BORDERS[border],
    )
    whole = fine if finer == 1 else cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(whole, image.dtype)


def paste(
    source: NDArray[np.uint8],
    aligned: NDArray[np.uint8],
    transform: NDArray[np.float64],
    mask: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Put an aligned square or rectangle back into its source frame; pixels outside the mask stay as they are.

    Args:
        source: uint8 [H, W, 3].
        aligned: uint8 [h, w, 3].
        transform: [2, 3] from (u, v, 1), 0..w and 0..h continuous, to landmark coordinates of the source; a similarity.
        mask: float32 [h, w] in [0, 1], 1 where the aligned picture is shown.

    Returns:
        uint8 [H, W, 3], a new array.
    """
    result = source.copy()
    face, alpha, (x, y) = placed(aligned, transform, mask, source.shape[:2])
    if alpha.size:
        box = result[y : y + alpha.shape[0], x : x + alpha.shape[1]]
        box[...] = cv2.blendLinear(face, box, alpha, 1 - alpha)
    return result


def placed(
    aligned: NDArray[np.uint8], transform: NDArray[np.float64], mask: NDArray[np.float32], shape: tuple[int, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], tuple[int, int]]:
    """Bring an aligned square or rectangle to where it belongs in its source frame, as far as its mask reaches.

    Args:
        aligned: as `paste` takes it.
        transform: as `paste` takes it.
        mask: as `paste` takes it.
        shape: height and width of the source frame.

    Returns:
        The picture, uint8 [h, w, 3], and the mask, float32 [h, w], in pixels of the source frame, and column and row of
        their upper left corner; both are empty where the mask reaches no pixel.
    """
    x0, y0, x1, y1 = shown(mask, transform, shape)
    if x0 >= x1 or y0 >= y1:
        return np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32), (0, 0)
    height, width = mask.shape
    scale = _scale(transform)
    shrunk = min(height, max(1, round(height * scale))), min(width, max(1, round(width * scale)))
    # Rounding may shrink the two sides by a little different factors.
    to_source = transform * np.array([width / shrunk[1], height / shrunk[0], 1])
    to_aligned = np.linalg.inv(np.vstack([to_source, [0, 0, 1]]))[:2]
    # From pixel indices of the box to pixel indices of the shrunk picture.
    to_aligned[:, 2] += to_aligned[:, :2] @ [x0, y0] - 0.5
    box = y1 - y0, x1 - x0
    face = _placed(aligned, shrunk, to_image=to_aligned, shape=box, border=cv2.BORDER_REPLICATE)
    return face, _placed(mask, shrunk, to_image=to_aligned, shape=box, border=cv2.BORDER_CONSTANT), (x0, y0)


def shown(
    mask: NDArray[np.float32], transform: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Box of the pixels that a mask can reach: x0, y0, x1, y1, ends excluded, empty where there are none.

    Args:
        mask: [h, w].
        transform: [2, 3] from (u, v, 1), 0..w and 0..h continuous, to pixel indices of the picture behind.
        shape: height and width of that picture.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    corners = np.array([[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]) @ transform.T
    x0, y0 = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0).tolist()
    x1, y1 = np.minimum(np.ceil(corners.max(0)).astype(int) + 2, [shape[1], shape[0]]).tolist()
    return x0, y0, x1, y1


def _placed(
    image: NDArray[Pixel], size: tuple[int, int], to_image: NDArray[np.float64], shape: tuple[int, ...], border: int
) -> NDArray[Pixel]:
    """Shrink a picture to ``size`` (height, width) by area averaging, then warp it into a box of [h, w]."""
    small = image if size == image.shape[:2] else cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, to_image, shape[::-1], flags=flags, borderMode=border), image.dtype)


def _scale(transform: NDArray[np.float64]) -> float:
    """Source pixels to one aligned pixel."""
    return float(np.hypot(transform[0, 0], transform[1, 0]))
