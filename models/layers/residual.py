"""A pre-activation residual block that does not depend on the size of a batch."""

import math

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two pre-activated convolutions beside a shortcut.

    Group norms, as nothing is said: they do not depend on the batch, in which a source and a reference differ much, and
    leave colours, which are differences between channels, in the features.

    Args:
        inputs: channels.
        outputs: channels.
        stride: 2 halves the resolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.first_norm, self.second_norm = group_norm(inputs), group_norm(outputs)
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if stride > 1 or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        y = self.first(F.silu(self.first_norm(x)))
        y = self.second(F.silu(self.second_norm(y)))
        if self.skip is not None:
            x = self.skip(F.avg_pool2d(x, self.stride) if self.stride > 1 else x)
        total: Tensor = x + y
        return total


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm of 32 groups, or of as many as divide the channels."""
    return nn.GroupNorm(math.gcd(32, channels), channels)
