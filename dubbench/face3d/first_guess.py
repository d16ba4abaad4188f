"""A face model's coefficients for single frames, in closed form: pose, then ridge least squares, in turn."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dubbench.face3d.model import LinearFaceModel, project, rotation_matrices

ROUNDS = 4
FRAMES_AT_ONCE = 64
# Ridge in squared outer-eye distances a point: a coefficient of one deviation weighs as much as this residual.
RIDGE = 1e-5
EVERY = 3


@dataclass(frozen=True)
class Coefficients:
    """Of frames: shape [T, S], expression [T, E], pose [T, 6]."""

    shape: Tensor
    expression: Tensor
    pose: Tensor


def selected(model: LinearFaceModel, points: Tensor, mesh: Tensor | None) -> tuple[Tensor, Tensor]:
    """Vertices that have a measured place, and their places: int64 [K], [T, K, 2].

    That is the paper's KP: the 68 landmarks, and where the model is of the detector's own mesh every `EVERY`-th of its
    vertices too; its bases leave the others no freedom of their own.
    """
    if mesh is None or model.source != "mesh":
        return model.landmarks, points
    more = torch.arange(0, len(model.mean), EVERY, device=points.device)
    vertices = torch.unique(torch.cat([model.landmarks, more]))
    return vertices, mesh[:, vertices, :2]


def first_guess(
    model: LinearFaceModel,
    points: Tensor,
    mesh: Tensor | None = None,
    shape: Tensor | None = None,
    pose: Tensor | None = None,
) -> Coefficients:
    """Coefficients of frames, each by itself; PersonaTalk takes them from a network, see `d3dfr`.

    Pose comes from the weak-perspective least squares of all points on the present face (POS, DeMenthon and Davis 1995,
    its scaled rows made orthonormal); given the pose, the coefficients from ridge least squares; four rounds of both.

    Args:
        model: the face model.
        points: [T, 68, 2] landmarks, pixels of the aligned square at 256.
        mesh: [T, 468, 3] or None; the detector's mesh there.
        shape: [S] or [T, S] held fixed, or None to solve for it too.
        pose: [T, 6] held fixed, or None to solve for it too.
    """
    vertices, places = selected(model, points, mesh)
    mean = model.mean[vertices]
    free = model.expression_basis[:, vertices]
    if shape is None:
        free = torch.cat([model.shape_basis[:, vertices], free])
        fixed = mean.expand(len(places), -1, -1)
    else:
        fixed = mean + torch.einsum("...s,svk->...vk", shape, model.shape_basis[:, vertices])
        fixed = fixed.expand(len(places), -1, -1)
    parts = [
        _solve(free, fixed[some], places[some], None if pose is None else pose[some])
        for some in torch.split(torch.arange(len(places), device=places.device), FRAMES_AT_ONCE)
    ]
    coefficients, pose = (torch.cat(part) for part in zip(*parts, strict=True))
    if shape is None:
        count = len(model.shape_basis)
        return Coefficients(coefficients[:, :count], coefficients[:, count:], pose)
    return Coefficients(shape.expand(len(places), -1), coefficients, pose)


def _solve(basis: Tensor, fixed: Tensor, places: Tensor, held: Tensor | None) -> tuple[Tensor, Tensor]:
    """Coefficients [T, N] of a basis [N, K, 3] on top of ``fixed`` [T, K, 3], and pose [T, 6], unless it is held."""
    coefficients = fixed.new_zeros(len(fixed), len(basis))
    pose = weak_perspective(fixed, places) if held is None else held
    ridge = RIDGE * basis.shape[1] * torch.eye(len(basis), dtype=fixed.dtype, device=fixed.device)
    for _ in range(ROUNDS if held is None else 1):
        scale = pose[:, 5].exp()[:, None, None]
        rows = rotation_matrices(pose[:, :3])[:, :2]
        residual = (places - project(fixed, pose)[..., :2]) / scale
        design = torch.einsum("tij,nkj->tkin", rows, basis).flatten(1, 2)
        normal = design.transpose(1, 2) @ design + ridge
        coefficients = torch.linalg.solve(normal, torch.einsum("tmn,tm->tn", design, residual.flatten(1)))
        if held is None:
            pose = weak_perspective(fixed + torch.einsum("tn,nkj->tkj", coefficients, basis), places)
    return coefficients, pose


def weak_perspective(vertices: Tensor, places: Tensor) -> Tensor:
    """Pose [T, 6] that brings vertices [T, K, 3] nearest to places [T, K, 2], pixels at 256."""
    centre, aim = vertices.mean(1, keepdim=True), places.mean(1, keepdim=True)
    moved, fixed = vertices - centre, places - aim
    normal = moved.transpose(1, 2) @ moved
    affine = torch.linalg.solve(normal, moved.transpose(1, 2) @ fixed).transpose(1, 2)
    u, s, vt = torch.linalg.svd(affine, full_matrices=False)
    scale = s.mean(-1)
    rows = u @ vt
    rotation = torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
    turned = scale[:, None, None] * (rows @ centre.transpose(1, 2))
    shift = aim[:, 0] - turned[..., 0]
    return torch.cat([rotation_vectors(rotation), shift, scale.log()[:, None]], 1)


def rotation_vectors(matrices: Tensor) -> Tensor:
    """Rotation vectors [..., 3] of matrices [..., 3, 3], by way of quaternions; stable at any angle below pi."""
    m = matrices
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)
    real = (1 + trace).clamp_min(1e-12).sqrt() / 2
    axis = torch.stack([m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1) / (
        4 * real[..., None]
    )
    length = axis.norm(dim=-1)
    angle = 2 * torch.atan2(length, real)
    factor = torch.where(length > 1e-6, angle / length.clamp_min(1e-6), 2 / real)
    return axis * factor[..., None]
