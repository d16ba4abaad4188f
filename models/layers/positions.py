"""Positions in time."""

import math

import torch
from torch import Tensor


def positional_encoding(frames: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Sinusoids of time [frames, width] (Vaswani et al. 2017, 3.5); any length, nothing to learn."""
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width))
    angles = torch.arange(frames, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]
