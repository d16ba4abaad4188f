"""Similarities between meshes and one target (Umeyama 1991)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dubbench.face3d.regions import Vertices

Floats = NDArray[np.float64]


class Similarities(NamedTuple):
    """N similarities x to ``scale * rotation @ x + shift``.

    Attributes:
        rotation: [N, 3, 3].
        shift: [N, 3].
        scale: [N].
    """

    rotation: Floats
    shift: Floats
    scale: Floats


def similar(meshes: Vertices, target: Vertices, stable: NDArray[np.bool_] | slice) -> Vertices:
    """Bring meshes [N, V, 3] to ``target`` [V, 3] by similarities.

    Args:
        meshes: [N, V, 3].
        target: [V, 3].
        stable: which vertices decide: bool [V], or a stretch of them.
    """
    found = _nearest(meshes[:, stable], np.broadcast_to(target[stable], meshes[:, stable].shape))
    return np.asarray(found.scale[:, None, None] * (meshes @ found.rotation.transpose(0, 2, 1)) + found.shift[:, None])


def placed(target: Vertices, meshes: Vertices) -> Similarities:
    """The similarities that bring ``target`` [V, 3] nearest to each of the meshes [N, V, 3]."""
    return _nearest(np.broadcast_to(target, meshes.shape), meshes)


def _nearest(start: Vertices, aim: Vertices) -> Similarities:
    """From points [N, V, 3] to points [N, V, 3]."""
    centre, middle = start.mean(1, keepdims=True), aim.mean(1, keepdims=True)
    moved, fixed = start - centre, aim - middle
    u, s, vt = np.linalg.svd(np.einsum("nvi,nvj->nij", fixed, moved))
    sign = np.ones_like(s)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    scale = (s * sign).sum(1) / np.square(moved).sum((1, 2))
    rotation = (u * sign[:, None]) @ vt
    shift = middle[:, 0] - scale[:, None] * (rotation @ centre.transpose(0, 2, 1))[..., 0]
    return Similarities(rotation, shift, scale)
