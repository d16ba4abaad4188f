"""Which frames a target is drawn from: Algorithm 1's part for inference (3.2).

Training's part, faces from a small window around the target and lips from anywhere, is `Window`'s rule ``adjacent``.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.face3d.model import LinearFaceModel

Frames = NDArray[np.int64]
# iBUG's inner lips: each upper point with the lower one below it.
UPPER, LOWER = (61, 62, 63), (67, 66, 65)


def mouth_opening(face: LinearFaceModel, shape: Tensor, expression: Tensor) -> Tensor:
    """Mean distance of the inner lips of canonical geometries, those of {alpha, beta, 0} (3.2), in model units.

    Args:
        face: the face model.
        shape: [T, S].
        expression: [T, E].

    Returns:
        [T].
    """
    chosen = face.landmarks[torch.tensor([*UPPER, *LOWER])]
    # Six vertices of a clip of any length, and not the whole face of each frame.
    bases = torch.cat([face.shape_basis, face.expression_basis])[:, chosen]
    lips = face.mean[chosen] + torch.einsum("tn,nvc->tvc", torch.cat([shape, expression], 1).float(), bases)
    distances: Tensor = torch.linalg.vector_norm(lips[:, :3] - lips[:, 3:], dim=-1)
    return distances.mean(1)


def nearest(frame: int, allowed: Frames, count: int) -> Frames:
    """Face references: the ``count`` allowed frames nearest to ``frame``, all of them where there are fewer.

    Of all frames of a clip these are the i-centred ones, moved inwards at its ends. They contain the target itself
    where a protocol allows it, as in the paper.

    Args:
        frame: i.
        allowed: frame numbers, ascending and without repetition.
        count: N_f.

    Returns:
        int64 [min(count, len(allowed))], ascending.
    """
    order = np.argsort(np.abs(allowed - frame), kind="stable")
    return np.asarray(np.sort(allowed[order[:count]]))


def by_opening(openings: NDArray[np.float32], allowed: Frames, count: int) -> Frames:
    """Lip references: uniformly from the allowed frames as sorted by how far the mouth is open.

    Args:
        openings: of each allowed frame, [N].
        allowed: frame numbers [N].
        count: N_l.

    Returns:
        int64 [min(count, N)], the least open first; the first and the last of the sorted are among two or more.
    """
    sorted_frames = allowed[np.argsort(openings, kind="stable")]
    total = len(sorted_frames)
    if count >= total:
        return sorted_frames
    if count == 1:
        return sorted_frames[[total // 2]]
    return np.asarray(sorted_frames[np.arange(count) * (total - 1) // (count - 1)])


def at_random(seed: int, allowed: Frames, count: int) -> Frames:
    """References without the selection strategy (Table 4): ``count`` allowed frames, ascending, the same for a seed."""
    drawn = np.random.default_rng(seed).choice(allowed, min(count, len(allowed)), replace=False)
    return np.asarray(np.sort(drawn))
