"""The low-pass filter of StyleGAN2's convolutions that change the resolution (Karras et al., 2020)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dubbench.models.layers.constants import constant


def blur(x: Tensor, stride: int = 1, gain: float = 1.0, padding: int = 2) -> Tensor:
    """Filter [N, C, H, W] with the [1, 3, 3, 1] kernel; ``stride`` 2 and ``padding`` 1 halve the size."""
    tap = constant((0.125, 0.375, 0.375, 0.125), x)
    kernel = (torch.outer(tap, tap) * gain).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])
