"""The energy of a clip's fit (PersonaTalk 3.1, equations 1 and 2), and the linear system of a step down it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dubbench.face3d.chain import Chain
from dubbench.face3d.first_guess import Coefficients, selected
from dubbench.face3d.model import LinearFaceModel, project, rotation_jacobian, rotation_matrices

POSE = 6
FRAMES_AT_ONCE = 64
# Norms are smoothed below this (outer-eye distances, radians, deviations), where their gradient would jump.
SMOOTHING = 1e-4


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    The paper prints ``laplacian`` only, and no units. Here lengths are in outer-eye distances, rotations in radians and
    coefficients in deviations; every term is a mean over frames and points, so that weights hold for any clip.

    Attributes:
        landmark: weight of the distances to the landmarks.
        tempo: weight of L_tempo (equation 1).
        laplacian: lambda in it, of the second differences of pose and expression.
        pose_bend: unit of the pose's second differences: how many of them count as much as one eye distance.
        expression_bend: likewise of the expression's. A unit of pose moves points by about one eye distance, a
            deviation of expression by some hundredths, and noise in either is to cost about the same.
        regular: weight of L_reg (equation 2).
        pose_steps: most steps on the pose alone.
        steps: most steps on everything after that.
    """

    landmark: float = 1.0
    tempo: float = 0.1
    laplacian: float = 0.2
    pose_bend: float = 10.0
    expression_bend: float = 0.3
    regular: float = 3e-3
    pose_steps: int = 4
    steps: int = 20


class State(NamedTuple):
    """Shape [S] of the clip; pose in units of `Energy.unit` and expression of its frames [T, 6 + E]."""

    shape: Tensor
    frames: Tensor


class Energy:
    """Landmark term, L_tempo and L_reg of one clip.

    The paper writes a shape for every frame and ties them to their mean. One face is one shape: all are equal here.
    """

    def __init__(
        self,
        model: LinearFaceModel,
        points: Tensor,
        mesh: Tensor | None,
        detected: Tensor,
        start: Coefficients,
        options: FitOptions,
    ) -> None:
        vertices, places = selected(model, points, mesh)
        self.options = options
        self.mean = model.mean[vertices]
        self.shape_basis = model.shape_basis[:, vertices]
        self.expression_basis = model.expression_basis[:, vertices]
        self.distance = start.pose[:, 5].exp().mean()
        # What stands where no face was found weighs nothing, but nothing times NaN would be NaN.
        self.places = (places / self.distance).masked_fill(~detected[:, None, None], 0)
        # A turn by a radian, a shift by and a scaling of one outer-eye distance move points about alike.
        self.unit = torch.ones_like(start.pose[0])
        self.unit[3:5] = self.distance
        self.start = State(start.shape.mean(0), torch.cat([start.pose / self.unit, start.expression], 1))
        seen = detected.to(places.dtype)
        self._seen = (seen / seen.sum())[:, None] / len(vertices)
        pairs = seen[1:] * seen[:-1]
        self._pairs = (pairs / pairs.sum().clamp_min(1))[:, None] / len(vertices)

    def coefficients(self, state: State) -> Coefficients:
        """The state as coefficients of frames."""
        pose, expression = state.frames[:, :POSE] * self.unit, state.frames[:, POSE:]
        return Coefficients(state.shape.expand(len(pose), -1).clone(), expression.clone(), pose)

    def value(self, state: State) -> Tensor:
        """The energy."""
        options = self.options
        residual = self._residual(state)
        landmark = (_norm(residual) * self._seen).sum()
        # Equation 1 compares movements from frame to frame: differences of the residual.
        movement = (_norm(residual.diff(dim=0)) * self._pairs).sum()
        bend = movement.new_zeros(())
        if len(state.frames) > 2:
            pose, expression = (_norm(part).mean() for part in _parts(_laplacian(state.frames)))
            bend = options.pose_bend * pose + options.expression_bend * expression
        pose, expression = (_norm(part).mean() for part in _parts(state.frames - self.start.frames))
        pull = pose + expression
        tempo = movement + options.laplacian * bend
        regular = pull + _norm(state.shape - self.start.shape)
        return options.landmark * landmark + options.tempo * tempo + options.regular * regular

    def step(self, state: State, *, pose_only: bool) -> State:
        """Where the quadratic that lies above the energy and touches it at ``state`` is least.

        Each norm |v| is replaced by (|v|^2 / |v0| + |v0|) / 2 (iteratively reweighted least squares, Weiszfeld 1937),
        the projection by its tangent.
        """
        count = POSE if pose_only else state.frames.shape[1]
        system, frames, shape = self._landmark_system(state, count, 0 if pose_only else len(state.shape))
        self._add_bend(system, frames, state.frames[:, :count])
        pull = self.options.regular / len(state.frames)
        offset = state.frames - self.start.frames
        weight = _reweighted(offset, pull, pull)[:, :count]
        _diagonal(system.own).add_(weight)
        frames += weight * offset[:, :count]
        if len(shape):
            away = state.shape - self.start.shape
            tie = self.options.regular / _norm(away)
            _diagonal(system.corner).add_(tie)
            shape += tie * away
        moved, common = system.solve(frames, shape)
        step = torch.nn.functional.pad(moved, (0, state.frames.shape[1] - count))
        return State(state.shape - common if len(shape) else state.shape, state.frames - step)

    def _residual(self, state: State) -> Tensor:
        """Projected vertices less their places, in outer-eye distances: [T, K, 2]."""
        posed = project(self._face(state, slice(None)), state.frames[:, :POSE] * self.unit)
        return posed[..., :2] / self.distance - self.places

    def _face(self, state: State, rows: slice) -> Tensor:
        face = self.mean + torch.einsum("s,svk->vk", state.shape, self.shape_basis)
        return face + torch.einsum("te,evk->tvk", state.frames[rows, POSE:], self.expression_basis)

    def _landmark_system(self, state: State, count: int, shared: int) -> tuple[Chain, Tensor, Tensor]:
        """Landmark term and movement: their system, and their gradient in frames [T, count] and shape [shared]."""
        residual = self._residual(state)
        slope = residual.diff(dim=0)
        still = self.options.landmark * self._seen / _norm(residual)
        move = self.options.tempo * self._pairs / _norm(slope)
        after, before = _at_ends(move)
        total = (still + after + before)[..., None, None]
        slope_after, slope_before = _at_ends(move[..., None] * slope)
        pull = (still[..., None] * residual - slope_after + slope_before).flatten(1)
        length = len(residual)
        system = Chain.zeros(residual, length, count, shared)
        frames, shape = residual.new_zeros(length, count), residual.new_zeros(shared)
        for first in range(0, length, FRAMES_AT_ONCE):
            last = min(first + FRAMES_AT_ONCE, length)
            low, high = max(first - 1, 0), min(last + 1, length)
            halo = self._jacobian(state, slice(low, high), count, shared)
            mine = halo[first - low : last - low]
            # The neighbours' rows, those before the first and after the last frame of the clip weighing nothing.
            ends = (0, 0) * 3 + (int(low == first), int(high == last))
            padded = torch.nn.functional.pad(halo, ends)
            earlier = before[first:last, :, None, None] * padded[: last - first]
            later = after[first:last, :, None, None] * padded[2:]
            turned = mine.flatten(1, 2).mT
            weighted = total[first:last] * mine
            system.own[first:last] = turned[:, :count] @ weighted[..., :count].flatten(1, 2)
            following = turned[:, :count] @ later[..., :count].flatten(1, 2)
            system.next[first : min(last, length - 1)] = -following[: min(last, length - 1) - first]
            products = turned @ (weighted - earlier - later)[..., count:].flatten(1, 2)
            system.shared[first:last] = products[:, :count]
            system.corner += products[:, count:].sum(0)
            gradient = (turned @ pull[first:last, :, None])[..., 0]
            frames[first:last] = gradient[:, :count]
            shape += gradient[:, count:].sum(0)
        return system, frames, shape

    def _jacobian(self, state: State, rows: slice, count: int, shared: int) -> Tensor:
        """Derivatives of the residual of some frames in pose, expression, shape: [T, K, 2, count + shared]."""
        pose = state.frames[rows, :POSE] * self.unit
        scale = (pose[:, 5].exp() / self.distance)[:, None, None]
        rotation = scale * rotation_matrices(pose[:, :3])
        turned = self._face(state, rows) @ rotation.mT
        # A small turn w moves a point x by w x x; the columns of the rotation's Jacobian are such turns.
        axes = rotation_jacobian(pose[:, :3]).mT
        by_turn = torch.linalg.cross(axes[:, None], turned[:, :, None])[..., :2].mT
        by_shift = torch.eye(2, dtype=pose.dtype, device=pose.device).expand(*turned.shape[:2], 2, 2)
        parts = [by_turn, by_shift, turned[..., :2, None]]
        if count > POSE:
            basis = torch.cat([self.expression_basis, self.shape_basis])
            parts.append(torch.einsum("tij,nkj->tkin", rotation[:, :2], basis))
        return torch.cat(parts, -1)

    def _add_bend(self, system: Chain, gradient: Tensor, frames: Tensor) -> None:
        """Second differences of pose and expression: h |x[t] - 2 x[t + 1] + x[t + 2]|^2."""
        if len(frames) < 3:
            return
        options = self.options
        bend = _laplacian(frames)
        weight = options.tempo * options.laplacian / len(bend)
        h = _reweighted(bend, weight * options.pose_bend, weight * options.expression_bend)
        pull = h * bend
        own, following = _diagonal(system.own), _diagonal(system.next)
        for place, factor in enumerate((1, -2, 1)):
            rows = slice(place, place + len(bend))
            own[rows] += factor**2 * h
            gradient[rows] += factor * pull
        following[:-1] -= 2 * h
        following[1:] -= 2 * h
        system.second += h


def _norm(vectors: Tensor) -> Tensor:
    return (vectors.square().sum(-1) + SMOOTHING**2).sqrt()


def _at_ends(pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [T - 1, ...] of pairs as rows [T, ...] of their first and of their second frames, zero for the odd one."""
    flat = (0, 0) * (pairs.ndim - 1)
    return torch.nn.functional.pad(pairs, (*flat, 0, 1)), torch.nn.functional.pad(pairs, (*flat, 1, 0))


def _parts(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Pose and expression, whose norms add up."""
    return rows[:, :POSE], rows[:, POSE:]


def _reweighted(rows: Tensor, pose: float, expression: float) -> Tensor:
    """For each entry, the weight of its part over that part's norm: the shape of ``rows``."""
    weights = (
        (weight / _norm(part))[:, None].expand_as(part)
        for part, weight in zip(_parts(rows), (pose, expression), strict=True)
    )
    return torch.cat(list(weights), 1)


def _laplacian(rows: Tensor) -> Tensor:
    """Second differences over time: [T - 2, C]."""
    return rows[2:] - 2 * rows[1:-1] + rows[:-2]


def _diagonal(blocks: Tensor) -> Tensor:
    return blocks.diagonal(dim1=-2, dim2=-1)
