"""Crops that evaluation looks at and methods work in, measured on landmarks."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dubbench.errors import DubbenchError
from dubbench.face.warp import shown, to_pixel_indices, warp

NOSE_TOP, NOSE_BASE, MOUTH_LEFT, MOUTH_RIGHT = 29, 33, 48, 54
# DINet's factors on the radius: drawn between the two in training, the first otherwise.
FACE_SCALES = (1.05, 1.15)


def nose_crop(points: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Square around the lower face (RADIO, supplement B).

    The supplement counts points from 1 and calls the chin, the largest y, its "highest point", as DINet's code does.
    The square may leave the aligned image below; clipping it would change the scale.

    Args:
        points: [68, 2] iBUG landmarks in an aligned space.

    Returns:
        Centre float64 [2] and half side, in the space of the points.
    """
    points = np.asarray(points, np.float64)
    height = points[:, 1].max() - points[NOSE_TOP, 1]
    width = points[MOUTH_RIGHT, 0] - points[MOUTH_LEFT, 0]
    return points[NOSE_BASE].copy(), float(max(height, width))


def crop_shape(mouth: int) -> tuple[int, int]:
    """Height and width of the face crop whose mouth region has ``mouth`` pixels a side: 13/8 and 10/8 of it (DINet).

    Raises:
        DubbenchError: if ``mouth`` is not divisible by 8.
    """
    if mouth < 8 or mouth % 8:
        raise DubbenchError(f"a face crop of {mouth} mouth pixels has no whole sides; take a multiple of 8, as 256")
    return 13 * mouth // 8, 10 * mouth // 8


def mouth_region(mouth: int) -> tuple[slice, slice]:
    """Rows and columns of the mouth region, ``mouth`` pixels each, in the face crop."""
    return slice(mouth // 2, mouth // 2 + mouth), slice(mouth // 8, mouth // 8 + mouth)


def face_radius(points: ArrayLike, scale: float) -> float:
    """Half the side of the mouth region, the largest over frames that share it (DINet).

    DINet cuts landmarks, halves and the result to whole pixels, since it slices its crops; ours is sampled in one warp
    and stays a float.

    Args:
        points: [T, 68, 2] iBUG landmarks in an aligned space, T at least 1.
        scale: how much is added, in `FACE_SCALES`.

    Returns:
        Radius in the space of the points.
    """
    points = np.asarray(points, np.float64)
    heights = points[..., 1].max(1) - points[:, NOSE_TOP, 1]
    widths = points[:, MOUTH_RIGHT, 0] - points[:, MOUTH_LEFT, 0]
    return float(np.maximum(heights, widths).max() * scale / 2)


def face_boxes(points: ArrayLike, radius: float, mouth: int) -> NDArray[np.float64]:
    """Where face crops lie: around landmark 33's column, the mouth region's top at landmark 29 (DINet).

    Args:
        points: [T, 68, 2] iBUG landmarks in an aligned space.
        radius: half the side of the mouth region in that space.
        mouth: side of the mouth region in crop pixels.

    Returns:
        float64 [T, 2, 3] from crop pixels (x, y, 1), continuous from the crop's corner, to that space. A crop may
        leave the aligned square; clipping would change its scale.

    Raises:
        DubbenchError: as `crop_shape`.
    """
    points = np.asarray(points, np.float64)
    _, width = crop_shape(mouth)
    scale = 2 * radius / mouth
    boxes = np.zeros((len(points), 2, 3))
    boxes[:, 0, 0] = boxes[:, 1, 1] = scale
    boxes[:, 0, 2] = points[:, NOSE_BASE, 0] - scale * width / 2
    boxes[:, 1, 2] = points[:, NOSE_TOP, 1] - radius
    return boxes


def face_points(points: ArrayLike, boxes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Bring points [T, K, 2] of the aligned space into crop pixels by `face_boxes` [T, 2, 3]: float32 [T, K, 2]."""
    scales = np.diagonal(boxes, axis1=1, axis2=2)[:, None]
    return np.asarray((np.asarray(points, np.float64) - boxes[:, None, :, 2]) / scales, np.float32)


def cut_faces(frames: NDArray[np.uint8], boxes: NDArray[np.float64], mouth: int) -> NDArray[np.uint8]:
    """Cut face crops out of aligned frames, each in one warp; black lies beyond a frame.

    Args:
        frames: uint8 [N, S, S, 3] aligned frames.
        boxes: [N, 2, 3] by `face_boxes`, of landmarks in the same aligned square.
        mouth: side of the mouth region in crop pixels.

    Returns:
        uint8 [N, H, W, 3], of `crop_shape`.

    Raises:
        DubbenchError: as `crop_shape`.
    """
    shape = crop_shape(mouth)
    crops = np.empty((len(frames), *shape, 3), np.uint8)
    for crop, frame, box in zip(crops, frames, to_pixel_indices(boxes), strict=True):
        crop[...] = warp(frame, box, shape)
    return crops


def paste_face(
    frame: NDArray[np.uint8], crop: NDArray[np.uint8], box: NDArray[np.float64], mask: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Put a face crop back into its aligned frame in one warp; pixels outside the mask stay as they are.

    Args:
        frame: uint8 [S, S, 3] aligned frame.
        crop: uint8 [H, W, 3].
        box: [2, 3], the crop's of `face_boxes`.
        mask: float32 [H, W] in [0, 1], 1 where the crop is shown.

    Returns:
        uint8 [S, S, 3], a new array.
    """
    result = frame.copy()
    x0, y0, x1, y1 = shown(mask, to_pixel_indices(box), frame.shape[:2])
    if x0 >= x1 or y0 >= y1:
        return result
    part = result[y0:y1, x0:x1]
    to_crop = np.linalg.inv(np.vstack([box - [[0, 0, x0], [0, 0, y0]], [0, 0, 1]]))[:2]
    # Samples of a fine crop averaged in each pixel stay sharper than `paste`, which shrinks the crop, then samples it.
    shape = y1 - y0, x1 - x0
    face, alpha = warp(crop, to_pixel_indices(to_crop), shape, "reflect"), warp(mask, to_pixel_indices(to_crop), shape)
    part[...] = cv2.blendLinear(face, part, alpha, 1 - alpha)
    return result
