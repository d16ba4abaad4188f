"""Numbers from the host on a device, without the device being waited for.

``torch.tensor(numbers, device=...)`` copies from the host and lets the host wait until all that the device was given
before is done: once a step is enough to lose what the host could have prepared meanwhile.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def constant(numbers: Sequence[float], like: Tensor) -> Tensor:
    """Fixed numbers [N] of the type and on the device of ``like``, made once for each; not to be written to."""
    if torch.compiler.is_compiling():  # a graph keeps its own
        return torch.tensor(numbers, dtype=like.dtype, device=like.device)
    return _made(tuple(numbers), like.dtype, like.device)


def places(numbers: Sequence[int], like: Tensor) -> Tensor:
    """Fixed indices int64 [N] on the device of ``like``, as `constant`; an index by a tuple would be copied each time.

    Where the numbers run without gaps, a slice is better.
    """
    if torch.compiler.is_compiling():
        return torch.tensor(numbers, device=like.device)
    return _made(tuple(numbers), torch.int64, like.device)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Values from the host, other ones each step, on a device that they reach in their turn."""
    held = values.pin_memory() if device.type == "cuda" else values
    # As Lightning: Apple's driver would read what is no longer there.
    return held.to(device, non_blocking=device.type not in ("cpu", "mps"))


@lru_cache(maxsize=256)
def _made(numbers: tuple[float, ...], kind: torch.dtype, device: torch.device) -> Tensor:
    # What inference mode makes could never be learnt through.
    with torch.inference_mode(mode=False):
        return torch.tensor(numbers, dtype=kind, device=device)
