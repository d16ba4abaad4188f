"""Adaptive affine transform: each channel of a feature is scaled, rotated and moved for itself (G4G eq. 11)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

PIECE = 512 * 1024  # bytes of grid a thread, which its cache holds
BILINEAR, BORDER = 0, 1  # torch's numbers for them


def adaptive_affine(feature: Tensor, scale: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Sample each channel where its own affine map sends the pixels' places (eq. 11).

    Eq. 11 says which coordinates it maps to which only by their names. As in spatial transformers, and in DINet, which
    it is taken from, an output pixel's place is mapped to the input place that it is read from: a scale below 1
    enlarges. Places are counted from the picture's middle. A rotation turns pixels, also where H and W differ.
    Bilinear; places beyond the border read the border.

    Args:
        feature: [N, C, H, W].
        scale: s [N, C]; 1 keeps the size.
        angle: theta [N, C] in radians.
        shift: t_x, t_y [N, C, 2]; 1 is half of the width or of the height.

    Returns:
        [N, C, H, W] with the type of ``feature``; places are computed in float32 at least.
    """
    count, channels, height, width = feature.shape
    with torch.autocast(feature.device.type, enabled=False):
        exact = torch.promote_types(feature.dtype, torch.float32)
        scale, angle, shift = (parameter.to(exact) for parameter in (scale, angle, shift))
        # Four numbers a channel times four fixed pictures of places: the grid is written once, by one product, and
        # its gradient is one product too.
        numbers = torch.cat([torch.stack([scale * angle.cos(), scale * angle.sin()], -1), shift], -1).flatten(0, 1)
        places = _places(height, width, feature)
        planes = feature.to(exact).reshape(count * channels, 1, height, width)
        if torch.compiler.is_compiling():
            sampled = _sample(planes, numbers @ places)
        else:
            sampled = _Sample.apply(planes, numbers, places)
        return sampled.view_as(feature).to(feature.dtype)


class _Sample(torch.autograd.Function):
    """`_sample` that makes the grid twice and never keeps it: twice the size of what is sampled.

    On a CPU it goes piece by piece, as the grid of all channels would go out to memory and back.
    """

    @staticmethod
    def forward(ctx: Any, planes: Tensor, numbers: Tensor, places: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(planes, numbers, places)
        size = _piece(planes)
        if size >= len(planes):
            return _sample(planes, numbers @ places)
        out = torch.empty_like(planes)
        for start in range(0, len(planes), size):
            part = slice(start, start + size)
            out[part] = _sample(planes[part], numbers[part] @ places)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor, None]:  # noqa: ANN401
        planes, numbers, places = ctx.saved_tensors
        size, (planes_wanted, _, _) = _piece(planes), ctx.needs_input_grad
        by_planes, by_numbers = torch.empty_like(planes) if planes_wanted else planes, torch.empty_like(numbers)
        # Here again, as a training step's backward pass runs under its autocast.
        with torch.autocast(planes.device.type, enabled=False):
            for start in range(0, len(planes), size):
                part = slice(start, start + size)
                grid = (numbers[part] @ places).view(-1, *planes.shape[2:], 2)
                by_part, by_grid = torch.ops.aten.grid_sampler_2d_backward(
                    upstream[part], planes[part], grid, BILINEAR, BORDER, False, (planes_wanted, True)
                )
                if planes_wanted:
                    by_planes[part] = by_part
                torch.mm(by_grid.flatten(1), places.T, out=by_numbers[part])
        return (by_planes if planes_wanted else None), by_numbers, None


def _piece(planes: Tensor) -> int:
    """How many planes are sampled at a time."""
    if planes.device.type != "cpu":
        return len(planes)
    return torch.get_num_threads() * max(PIECE // (planes[0].numel() * 2 * planes.element_size()), 1)


def _places(height: int, width: int, like: Tensor) -> Tensor:
    """What scale * cos, scale * sin, t_x and t_y of eq. 11 are multiplied by: [4, H * W * 2]."""
    exact = torch.promote_types(like.dtype, torch.float32)
    y, x = ((torch.arange(size, device=like.device, dtype=exact) * 2 + 1) / size - 1 for size in (height, width))
    y, x = y[:, None].expand(height, width), x.expand(height, width)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    pairs = ((x, y), (y * (-height / width), x * (width / height)), (one, zero), (zero, one))
    return torch.stack([torch.stack(pair, -1).flatten() for pair in pairs])


def _sample(planes: Tensor, grid: Tensor) -> Tensor:
    grid = grid.view(-1, *planes.shape[2:], 2)
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
