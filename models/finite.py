"""Weights that are numbers."""

from collections.abc import Mapping

import torch
from torch import Tensor


def not_finite(state: Mapping[str, Tensor]) -> str:
    """Name of the first tensor of a state that holds NaN or infinity; empty where none does.

    A device is waited for once.

    Args:
        state: as ``state_dict`` gives it.
    """
    floating = {name: value for name, value in state.items() if value.is_floating_point() and value.numel()}
    if not floating:
        return ""
    good = torch.stack([torch.isfinite(value.detach()).all() for value in floating.values()]).tolist()
    return next((name for name, fine in zip(floating, good, strict=True) if not fine), "")
