"""Named vertex regions of a face, from its mean in model space and the 68 landmarks."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Vertices = NDArray[np.float64]
Indices = NDArray[np.int64]
Regions = dict[str, Indices]

OUTER_LIPS, INNER_LIPS = range(48, 60), range(60, 68)
EYES = (range(36, 42), range(42, 48))
OUTER_EYES = (36, 45)
JAW, NOSE_BASE = range(17), range(31, 36)
# In outer-eye distances: a landmark polygon of few points cuts the rounder region's rim, this takes the rim back in.
MARGIN = 0.03
JAW_WIDTH = 0.08
DEPTH = 0.35
_EYE_RIMS = (
    *(7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246),
    *(249, 263, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466),
)
# Vertices of MediaPipe's mesh that tell how a head moves and not how its mouth stands: the eyes' rims and the root of
# the nose. Forehead, brows and temples it lets nod with the mouth (R2 of the nod alone 0.4 on GRID s1, of these 0.1).
STEADY = np.array([*_EYE_RIMS, 6, 122, 168, 193, 351, 417])


def regions_of(mean: Vertices, landmarks: Indices) -> Regions:
    """Regions by geometry alone, for models without names of their own.

    Lips, inner mouth and eyes are what lies in the landmarks' polygons of the frontal projection; the lower face is all
    below the nose base, the mouth included; the contour is the jaw line, landmark 0 to 16.

    Args:
        mean: [V, 3], model space.
        landmarks: [68].
    """
    points = mean[landmarks]
    lips = within(mean, points[OUTER_LIPS])
    return {
        "lips": lips,
        "inner_mouth": within(mean, points[INNER_LIPS]),
        "lower_face": np.union1d(np.flatnonzero(below_nose(mean, landmarks)), lips),
        "contour": along(mean, points[JAW]),
        "eyes": np.union1d(*(within(mean, points[eye]) for eye in EYES)),
    }


def below_nose(mean: Vertices, landmarks: Indices) -> NDArray[np.bool_]:
    """Whether each vertex of a mean face [V, 3] lies below the base of the nose: [V]."""
    return np.asarray(mean[:, 1] > mean[landmarks[NOSE_BASE], 1].mean())


def within(mean: Vertices, polygon: Vertices) -> Indices:
    """Sorted indices of the vertices in, or within `MARGIN` of, a polygon [N, 3] of the frontal projection."""
    near = mean[:, 2] < polygon[:, 2].max() + DEPTH
    corners = polygon[:, :2].astype(np.float32)
    return np.array([n for n in np.flatnonzero(near) if _inside(corners, mean[n, :2]) >= -MARGIN], np.int64)


def along(mean: Vertices, line: Vertices) -> Indices:
    """Sorted indices of the vertices within `JAW_WIDTH` of a line through [N, 3], in space."""
    start, step = line[:-1], np.diff(line, axis=0)
    position = np.einsum("vsk,sk->vs", mean[:, None] - start, step) / np.square(step).sum(1)
    foot = start + np.clip(position, 0, 1)[..., None] * step
    return np.flatnonzero(np.linalg.norm(mean[:, None] - foot, axis=-1).min(1) <= JAW_WIDTH)


def _inside(corners: NDArray[np.float32], point: NDArray[Any]) -> float:
    """Distance of a point to the rim of a polygon, negative outside."""
    return cv2.pointPolygonTest(corners, (float(point[0]), float(point[1])), True)
