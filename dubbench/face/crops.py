"""Crops that evaluation looks at, measured on landmarks."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOSE_TOP, NOSE_BASE, MOUTH_LEFT, MOUTH_RIGHT = 29, 33, 48, 54


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
