"""StyleGAN2's residual discriminator with equalised learning rate (Karras et al., 2020)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.errors import DubbenchError
from dubbench.models.layers.blur import blur
from dubbench.models.layers.gather import gathered, own_rows

SLOPE = 0.2
GROUP = 4  # samples over which the minibatch deviation is taken, StyleGAN2's number


class EqualConv(nn.Module):
    """Convolution with unit-variance weights that are scaled when used: every layer learns at one speed."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N, inputs, H, W]; a strided kernel of 3 expects its input blurred and padded to odd size."""
        padding = self.weight.shape[-1] // 2 if self.stride == 1 else 0
        return F.conv2d(x, self.weight * self.scale, self.bias, stride=self.stride, padding=padding)


class EqualLinear(nn.Module):
    """Fully connected layer with unit-variance weights that are scaled when used."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs] to [N, outputs]."""
        return F.linear(x, self.weight * self.scale, self.bias)


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, SLOPE) * math.sqrt(2)


class DownBlock(nn.Module):
    """Residual block that halves the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualConv(inputs, inputs, 3)
        self.second = EqualConv(inputs, outputs, 3, stride=2)
        self.skip = EqualConv(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        down = activate(self.second(blur(activate(self.first(x)))))
        skip: Tensor = self.skip(blur(x, stride=2, padding=1))
        return (down + skip) / math.sqrt(2)


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Append a map with the mean deviation over groups of samples of all processes: [N, C, H, W] to [N, C + 1, H, W].

    The samples of a group lie N / group apart, so that a group mixes clips and not a clip's neighbouring frames.
    """
    everyone = gathered(x.float())
    count = everyone.shape[0]
    size = next(g for g in range(min(group, count), 0, -1) if count % g == 0)
    grouped = everyone.reshape(size, count // size, *x.shape[1:])
    deviation = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    maps = own_rows(deviation.repeat(size), len(x))[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, maps.to(x.dtype)], 1)


class Judgement(NamedTuple):
    """What a discriminator says of N frames.

    Attributes:
        logits: [N], positive for real.
        features: of its layers, from fine to coarse, [N, channels, height, width] each.
    """

    logits: Tensor
    features: list[Tensor]


class Discriminator(nn.Module):
    """Realness logit of a frame.

    Args:
        size: side of the frames; halves once a width.
        widths: channels at size, size/2, ...

    Raises:
        DubbenchError: if nothing is left of the side when it is halved so often.
    """

    def __init__(self, size: int, widths: Sequence[int]) -> None:
        super().__init__()
        if size < 2 ** len(widths):
            raise DubbenchError(
                f"the discriminator's pictures of {size} pixels cannot be halved {len(widths)} times; give fewer "
                "--model.adversarial.widths"
            )
        self.from_rgb = EqualConv(3, widths[0], 1)
        steps = zip(widths, [*widths[1:], widths[-1]], strict=True)
        self.blocks = nn.Sequential(*(DownBlock(a, b) for a, b in steps))
        last, side = widths[-1], size // 2 ** len(widths)
        self.final = EqualConv(last + 1, last, 3)
        self.hidden = EqualLinear(last * side**2, last)
        self.out = EqualLinear(last, 1)

    def forward(self, images: Tensor) -> Judgement:
        """Judge images [N, 3, size, size] in [-1, 1]; the features are the blocks', each of its own sample alone."""
        x = activate(self.from_rgb(images))
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        x = activate(self.final(minibatch_deviation(x, GROUP)))
        logits: Tensor = self.out(activate(self.hidden(x.flatten(1))))
        return Judgement(logits[:, 0], features)
