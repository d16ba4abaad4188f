"""Fitting a linear face model to the landmarks of a clip (PersonaTalk 3.1)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dubbench.face3d.energy import Energy, FitOptions, State
from dubbench.face3d.first_guess import Coefficients, first_guess
from dubbench.face3d.head import frames_with_face, seated
from dubbench.face3d.model import LinearFaceModel, project
from dubbench.face3d.regions import OUTER_EYES

HALVINGS = 6
# Relative decrease of the energy at which more steps change nothing that could be seen.
SETTLED = 1e-4


@dataclass(frozen=True)
class Fit:
    """What was fitted, float32: shape [T, S], expression [T, E], pose [T, 6], and error [T].

    The shape is one and the same in all frames. The error is the mean distance of the 68 projected points to the
    landmarks over the outer-eye distance, NaN for frames in which no face was found.
    """

    shape: Tensor
    expression: Tensor
    pose: Tensor
    error: Tensor


@torch.no_grad()
def fit(
    model: LinearFaceModel,
    points: Tensor,
    detected: Tensor,
    head: Tensor,
    mesh: Tensor | None = None,
    options: FitOptions | None = None,
    guess: Coefficients | None = None,
) -> Fit:
    """Fit a clip: the pose is the head's, and under it shape and expression bring the face to its landmarks.

    Frames without a face have no landmark term: they start between their neighbours and are held there by the others.

    Args:
        model: the face model.
        points: [T, 68, 2] landmarks in pixels of the aligned square at 256.
        detected: bool [T], whether the frame has landmarks of its own.
        head: [T, 6] poses of the head there, see `dubbench.face3d.head`.
        mesh: [T, 468 or 478, 3] of the detector, likewise; enters with a model of that mesh.
        options: weights and steps.
        guess: first coefficients of all frames, for example a network's; by default `clip_guess`.

    Raises:
        DubbenchError: if no frame has a face, or landmarks are not finite.
    """
    seen = frames_with_face(points, detected)
    start = guess or clip_guess(model, points, detected, mesh)
    pose = seated(head, start.pose, seen)
    if guess is None:
        faces = None if mesh is None else mesh[seen]
        alone = first_guess(model, points[seen], faces, shape=start.shape[0], pose=pose[seen])
        start = replace(start, expression=between(alone.expression, seen, len(points)))
    start = replace(start, pose=pose)
    energy = Energy(
        model=model, points=points, mesh=mesh, detected=detected, start=start, options=options or FitOptions()
    )
    found = energy.coefficients(_descend(energy))
    error = reprojection_error(model, found, points).masked_fill(~detected, torch.nan)
    return Fit(found.shape, found.expression, found.pose, error)


def clip_guess(model: LinearFaceModel, points: Tensor, detected: Tensor, mesh: Tensor | None = None) -> Coefficients:
    """`first_guess` with one shape for the clip, the mean of its frames'; frames without a face lie between others.

    Args:
        model: the face model.
        points: [T, 68, 2] at 256.
        detected: bool [T], at least one of them true.
        mesh: [T, 468 or 478, 3] at 256, or None.
    """
    seen = detected.nonzero()[:, 0]
    faces = None if mesh is None else mesh[seen]
    alone = first_guess(model, points[seen], faces)
    guess = first_guess(model, points[seen], faces, alone.shape.mean(0))
    shape, expression, pose = (between(rows, seen, len(points)) for rows in (guess.shape, guess.expression, guess.pose))
    return Coefficients(shape, expression, pose)


def reprojection_error(model: LinearFaceModel, found: Coefficients, points: Tensor) -> Tensor:
    """Mean distance of the 68 projected landmarks to points [T, 68, 2] at 256, over their outer-eye distance: [T]."""
    # The landmarks' rows of the bases alone: all vertices of a long clip would take gigabytes with some models.
    bases = zip((found.shape, found.expression), (model.shape_basis, model.expression_basis), strict=True)
    moved = [torch.einsum("tn,nkc->tkc", rows, basis[:, model.landmarks]) for rows, basis in bases]
    projected = project(model.mean[model.landmarks] + moved[0] + moved[1], found.pose)[..., :2]
    eyes = points[:, OUTER_EYES[0]] - points[:, OUTER_EYES[1]]
    distance: Tensor = torch.linalg.vector_norm(projected - points, dim=-1).mean(-1)
    relative: Tensor = distance / torch.linalg.vector_norm(eyes, dim=-1)
    return relative


def between(rows: Tensor, seen: Tensor, count: int) -> Tensor:
    """Rows [N, C] of the frames ``seen`` [N], ascending, to rows of all frames: linear in between, constant beyond."""
    frames = torch.arange(count, device=rows.device)
    after = torch.searchsorted(seen, frames).clamp_max(len(seen) - 1)
    before = (torch.searchsorted(seen, frames, right=True) - 1).clamp_min(0)
    gap = (seen[after] - seen[before]).clamp_min(1)
    share = ((frames - seen[before]).clamp_min(0) / gap).clamp_max(1).to(rows.dtype)
    return torch.lerp(rows[before], rows[after], share[:, None])


def _descend(energy: Energy) -> State:
    """Step until the energy settles; a step that would raise it is halved."""
    state = energy.start
    value = float(energy.value(state))
    for _ in range(energy.options.steps):
        aim = energy.step(state)
        for halving in range(HALVINGS):
            tried = State(*(torch.lerp(old, new, 0.5**halving) for old, new in zip(state, aim, strict=True)))
            lower = float(energy.value(tried))
            if lower < value:
                break
        else:
            return state
        settled = value - lower < SETTLED * value
        state, value = tried, lower
        if settled:
            return state
    return state
