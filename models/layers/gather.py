"""What all processes of a training have, in each of them."""

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch import distributed as dist


def shared() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gathered(rows: Tensor) -> Tensor:
    """Rows [B, ...] of all processes, in their order, [P * B, ...]; gradients find their way back, any number of times.

    All must have equally many rows.
    """
    return cast(Tensor, _Gather.apply(rows)) if shared() else rows


def own_rows(everyone: Tensor, count: int) -> Tensor:
    """The ``count`` rows of this process among those of all [P * count, ...]."""
    return everyone[dist.get_rank() * count :][:count] if shared() else everyone


def marks(names: Sequence[str]) -> Tensor:
    """A number for each name, int64 [B], the same in every process."""
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests])


class _Gather(torch.autograd.Function):
    # torch.distributed.nn has one whose gradient gloo computes by a scatter for every process.
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # noqa: ANN401
        # As a function of its own it has a gradient, too, which R1 asks for.
        return cast(Tensor, _Collect.apply(upstream))


class _Collect(torch.autograd.Function):
    """This process' rows of the sum over all processes."""

    @staticmethod
    def forward(ctx: Any, everyone: Tensor) -> Tensor:  # noqa: ANN401
        total = everyone.contiguous().clone()
        dist.all_reduce(total)
        return own_rows(total, len(total) // dist.get_world_size())

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # noqa: ANN401
        return cast(Tensor, _Gather.apply(upstream))
