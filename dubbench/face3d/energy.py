"""The energy of a clip's fit under known poses (PersonaTalk 3.1, equations 1 and 2), and a step down it."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dubbench.face3d.chain import Chain
from dubbench.face3d.first_guess import Coefficients, selected
from dubbench.face3d.model import LinearFaceModel, rotation_matrices

FRAMES_AT_ONCE = 64
# Norms are smoothed below this (outer-eye distances, deviations), where their gradient would jump.
SMOOTHING = 1e-4


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    The paper prints ``laplacian`` only, and no units. Here lengths are in outer-eye distances and coefficients in
    deviations; every term is a mean over frames and points, so that weights hold for any clip.

    Attributes:
        landmark: weight of the distances to the landmarks.
        tempo: weight of L_tempo (equation 1).
        laplacian: lambda in it, of the second differences of the expression.
        expression_bend: their unit: how many of them count as much as one eye distance.
        regular: weight of L_reg (equation 2).
        steps: most steps.
    """

    landmark: float = 1.0
    tempo: float = 0.1
    laplacian: float = 0.2
    expression_bend: float = 0.3
    regular: float = 3e-3
    steps: int = 20


class State(NamedTuple):
    """Shape [S] of the clip; expression of its frames [T, E]."""

    shape: Tensor
    frames: Tensor


class Energy:
    """Landmark term, L_tempo and L_reg of one clip whose poses are known.

    The paper writes a shape for every frame and ties them to their mean. One face is one shape: all are equal here. It
    fits the pose with the rest and smooths it in L_tempo; then it takes part of what the mouth does upon itself, and
    tells it to whoever sees the pose. Here it comes from elsewhere, see `dubbench.face3d.head`.
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
        self.options, self.pose = options, start.pose
        distance = start.pose[:, 5].exp().mean()
        scale = (start.pose[:, 5].exp() / distance)[:, None, None]
        self._rows = scale * rotation_matrices(start.pose[:, :3])[:, :2]
        # What stands where no face was found weighs nothing, but nothing times NaN would be NaN.
        moved = (places - start.pose[:, None, 3:5]) / distance
        self._places = moved.masked_fill(~detected[:, None, None], 0) - model.mean[vertices] @ self._rows.mT
        self._basis = torch.cat([model.expression_basis[:, vertices], model.shape_basis[:, vertices]])
        self.start = State(start.shape.mean(0), start.expression)
        seen = detected.to(places.dtype)
        self._seen = (seen / seen.sum())[:, None] / len(vertices)
        pairs = seen[1:] * seen[:-1]
        self._pairs = (pairs / pairs.sum().clamp_min(1))[:, None] / len(vertices)

    def coefficients(self, state: State) -> Coefficients:
        """The state as coefficients of frames."""
        return Coefficients(state.shape.expand(len(self.pose), -1).clone(), state.frames.clone(), self.pose)

    def value(self, state: State) -> Tensor:
        """The energy."""
        options = self.options
        residual = self._residual(state)
        landmark = (_norm(residual) * self._seen).sum()
        # Equation 1 compares movements from frame to frame: differences of the residual.
        movement = (_norm(residual.diff(dim=0)) * self._pairs).sum()
        bend = movement.new_zeros(())
        if len(state.frames) > 2:
            bend = options.expression_bend * _norm(_laplacian(state.frames)).mean()
        tempo = movement + options.laplacian * bend
        regular = _norm(state.frames - self.start.frames).mean() + _norm(state.shape - self.start.shape)
        return options.landmark * landmark + options.tempo * tempo + options.regular * regular

    def step(self, state: State) -> State:
        """Where the quadratic that lies above the energy and touches it at ``state`` is least.

        Each norm |v| is replaced by (|v|^2 / |v0| + |v0|) / 2 (iteratively reweighted least squares, Weiszfeld 1937).
        """
        system, frames, shape = self._landmark_system(state)
        self._add_bend(system, frames, state.frames)
        offset = state.frames - self.start.frames
        weight = (self.options.regular / len(offset) / _norm(offset))[:, None]
        _diagonal(system.own).add_(weight)
        frames += weight * offset
        away = state.shape - self.start.shape
        tie = self.options.regular / _norm(away)
        _diagonal(system.corner).add_(tie)
        moved, common = system.solve(frames, shape + tie * away)
        return State(state.shape - common, state.frames - moved)

    def _residual(self, state: State) -> Tensor:
        """Projected vertices less their places, in outer-eye distances: [T, K, 2]."""
        both = torch.cat([state.frames, state.shape.expand(len(state.frames), -1)], 1)
        return torch.einsum("tn,nkj->tkj", both, self._basis) @ self._rows.mT - self._places

    def _landmark_system(self, state: State) -> tuple[Chain, Tensor, Tensor]:
        """Landmark term and movement: their system, and their gradient in expression [T, E] and shape [S]."""
        residual = self._residual(state)
        slope = residual.diff(dim=0)
        still = self.options.landmark * self._seen / _norm(residual)
        move = self.options.tempo * self._pairs / _norm(slope)
        after, before = _at_ends(move)
        total = (still + after + before)[..., None, None]
        slope_after, slope_before = _at_ends(move[..., None] * slope)
        pull = (still[..., None] * residual - slope_after + slope_before).flatten(1)
        length, count = state.frames.shape
        system = Chain.zeros(residual, length, count, len(state.shape))
        frames, shape = residual.new_zeros(length, count), residual.new_zeros(len(state.shape))
        for first in range(0, length, FRAMES_AT_ONCE):
            last = min(first + FRAMES_AT_ONCE, length)
            low, high = max(first - 1, 0), min(last + 1, length)
            halo = torch.einsum("tij,nkj->tkin", self._rows[low:high], self._basis)
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

    def _add_bend(self, system: Chain, gradient: Tensor, frames: Tensor) -> None:
        """Second differences of the expression: h |x[t] - 2 x[t + 1] + x[t + 2]|^2."""
        if len(frames) < 3:
            return
        options = self.options
        bend = _laplacian(frames)
        weight = options.tempo * options.laplacian * options.expression_bend / len(bend)
        h = (weight / _norm(bend))[:, None].expand_as(bend)
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


def _laplacian(rows: Tensor) -> Tensor:
    """Second differences over time: [T - 2, C]."""
    return rows[2:] - 2 * rows[1:-1] + rows[:-2]


def _diagonal(blocks: Tensor) -> Tensor:
    return blocks.diagonal(dim1=-2, dim2=-1)
