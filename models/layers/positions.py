"""Positions in time."""

import math

import torch
from torch import Tensor


def positional_encoding(frames: int, width: int) -> Tensor:
    """Sinusoids of time [frames, width] (Vaswani et al. 2017, 3.5); any length, nothing to learn."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(frames)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width]
