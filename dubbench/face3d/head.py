"""How a head moves through a clip, told by what bone holds, and the poses of a face that sits on it.

PersonaTalk 3.1, as others, fits pose and expression together to all points. Then the pose carries part of what the
mouth does, and whoever is told it need not listen to the speech. Here nothing that moves with the mouth enters it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.face.alignment import smooth
from dubbench.face.landmarks import MESH_TO_68
from dubbench.face3d.first_guess import rotation_vectors
from dubbench.face3d.model import POSE_SIZE, rotation_matrices
from dubbench.face3d.procrustes import Floats, Similarities, placed, similar
from dubbench.face3d.regions import OUTER_EYES, STEADY

ROUNDS = 3
# Sigmas in frames of Gaussians over time, in the source, where a head moves as it does. The detector lets turn and size
# follow the mouth a little even there: R2 is 0.13 without smoothing, 0.09 with 4, 1, 16, below 0.05 with these. The
# place does not tell (0.00), and must be where the picture is.
TURN, PLACE, SCALE = 8.0, 1.0, 16.0
# Radians. A head that turns less about its mean does not tell how deep the face sits in it.
STILL = 0.02


def frames_with_face(measured: Tensor, detected: Tensor) -> Tensor:
    """Numbers [N] of the frames whose landmarks or meshes, ``measured`` [T, ...], are their own.

    Raises:
        DubbenchError: if there is none, or what was measured is not finite.
    """
    seen = detected.nonzero()[:, 0]
    if not len(seen):
        raise DubbenchError("no frame of the clip shows a face to fit")
    if not bool(torch.isfinite(measured[seen]).all()):
        raise DubbenchError("the clip's landmarks are not finite numbers; prepare it anew")
    return seen


def head_motion(mesh: Tensor, detected: Tensor) -> Tensor:
    """Poses of the head, from the vertices `STEADY` alone, smoothed over time.

    The origin of the head is the mean of its 68 landmarks, its unit the distance of its outer eye corners, both of the
    whole clip. Frames without a face lie between their neighbours.

    Args:
        mesh: [T, 468 or 478, 3] of MediaPipe, source pixels, depth scaled as x.
        detected: bool [T], whether the frame has a mesh of its own.

    Returns:
        float64 [T, 6] as in `dubbench.face3d.model`, but in source pixels.

    Raises:
        DubbenchError: if no frame has a face, or meshes are not finite.
    """
    seen = frames_with_face(mesh, detected)
    count = len(STEADY)
    faces = mesh[seen][:, [*STEADY, *MESH_TO_68]].double().numpy()
    body = faces[len(faces) // 2]
    for _ in range(ROUNDS):
        body = similar(faces, body, slice(count)).mean(0)
    steady, points = body[:count], body[count:]
    left, right = points[list(OUTER_EYES)]
    steady = (steady - points.mean(0)) / np.linalg.norm(right - left)
    return _smoothed(placed(steady, faces[:, :count]), steady.mean(0), seen.numpy(), len(mesh))


def _smoothed(found: Similarities, centre: Floats, seen: NDArray[np.int64], count: int) -> Tensor:
    """Poses [count, 6] of the similarities of the frames ``seen``, the place smoothed where ``centre`` [3] is."""
    rotation = torch.from_numpy(found.rotation)
    usual = _rotation(rotation.sum(0))
    parts = (
        (TURN, rotation_vectors(rotation @ usual.T).numpy()),
        (PLACE, found.shift[:, :2] + found.scale[:, None] * (found.rotation @ centre)[:, :2]),
        (SCALE, np.log(found.scale)[:, None]),
    )
    turn, place, scale = (torch.from_numpy(_steadied(rows, sigma, seen, count)) for sigma, rows in parts)
    rotation = rotation_matrices(turn) @ usual
    shift = place - scale.exp() * (rotation @ torch.from_numpy(centre))[:, :2]
    return torch.cat([rotation_vectors(rotation), shift, scale], 1)


def _steadied(rows: Floats, sigma: float, seen: NDArray[np.int64], count: int) -> Floats:
    """Rows [N, C] of the frames ``seen`` as smoothed rows [count, C] of all frames."""
    filled = np.stack([np.interp(np.arange(count), seen, column) for column in rows.T], 1)
    return np.stack(list(smooth(filled, sigma)))


def _rotation(matrix: Tensor) -> Tensor:
    """The rotation [3, 3] nearest to a matrix."""
    u, _, vt = torch.linalg.svd(matrix)
    sign = torch.ones_like(u[0])
    sign[2] = torch.linalg.det(u @ vt).sign()
    rotation: Tensor = u * sign @ vt
    return rotation


def in_square(poses: Tensor, transforms: NDArray[np.float64], size: int) -> Tensor:
    """Poses in source pixels as poses in the aligned square at `POSE_SIZE`.

    Args:
        poses: float64 [T, 6].
        transforms: [T, 2, 3] from the aligned square to the source, similarities.
        size: side of that square in pixels.
    """
    linear, shift = (torch.from_numpy(part) for part in (transforms[..., :2], transforms[..., 2]))
    scale = torch.linalg.det(linear).sqrt()
    turn = torch.eye(3, dtype=torch.float64).repeat(len(poses), 1, 1)
    turn[:, :2, :2] = linear.mT / scale[:, None, None]
    rotation = rotation_vectors(turn @ rotation_matrices(poses[:, :3]))
    place = torch.linalg.solve(linear, poses[:, 3:5] - shift) * (POSE_SIZE / size)
    return torch.cat([rotation, place, poses[:, 5:] + torch.log(POSE_SIZE / size / scale)[:, None]], 1)


def seated(head: Tensor, poses: Tensor, seen: Tensor) -> Tensor:
    """Poses [T, 6] of a face that sits still on a moving head, as near as can be to given ones.

    The given ones may hang on the mouth. How the face sits is one and the same in all frames, so that no frame's pose
    tells of its own mouth.

    Args:
        head: [T, 6] poses of the head.
        poses: [T, 6] poses of the face.
        seen: int64 [N], the frames whose poses count.
    """
    turn, other = rotation_matrices(head[:, :3]), rotation_matrices(poses[:, :3])
    scale, rows = head[:, 5:].exp(), turn[:, :2]
    aim = ((poses[:, 3:5] - head[:, 3:5]) / scale)[..., None]
    normal = (rows.mT @ rows)[seen].mean(0) + STILL**2 * torch.eye(3, dtype=head.dtype, device=head.device)
    place = torch.linalg.solve(normal, (rows.mT @ aim)[seen].mean(0))
    shift = head[:, 3:5] + scale * (rows @ place)[..., 0]
    larger = (poses - head)[seen, 5].mean()
    sits = _rotation((turn.mT @ other)[seen].sum(0))
    return torch.cat([rotation_vectors(turn @ sits), shift, head[:, 5:] + larger], 1)
