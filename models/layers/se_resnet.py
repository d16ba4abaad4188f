"""Residual networks with attention, for speech (Chung et al., 2020) and for lips (RADIO supplement A)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
REDUCTION = 8  # of channels to what gates are computed from, as in ResNetSE34L


class SqueezeExcite(nn.Module):
    """Channel gates from the mean of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 4)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Gates [N, C, 1, 1] in (0, 1) of features [N, C, H, W]."""
        gates: Tensor = self.gate(x.mean((2, 3))).sigmoid()
        return gates[:, :, None, None]


class AttentiveBlock(nn.Module):
    """Residual block with gates; instance norm and leaky ReLU are what RADIO's supplement A changes of ResNetSE34L.

    The gates are read before the last norm and applied after it: an instance-normed channel has the same mean in every
    sample, so that gates squeezed after the norm, as in the batch-normed original, would be constants.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, gates: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.InstanceNorm2d(outputs, affine=True)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.InstanceNorm2d(outputs, affine=True)
        self.attention = gates(outputs)
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H/stride, W/stride]."""
        y = self.second(F.leaky_relu(self.first_norm(self.first(x)), SLOPE))
        y = self.second_norm(y) * self.attention(y)
        return F.leaky_relu(y + self.skip(x), SLOPE)


class AttentiveResNet(nn.Module):
    """Stem and four stages, ResNet-34 like.

    Args:
        inputs: input channels.
        widths: channels of the four stages.
        blocks: blocks of the four stages.
        strides: strides of the four stages, along both axes.
        gates: makes what gates a block of so many channels: [N, C, H, W] to factors of a shape that multiplies it.
        stem_stride: of the stem's rows and columns.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        strides: Sequence[int],
        gates: Callable[[int], nn.Module],
        stem_stride: tuple[int, int],
    ) -> None:
        super().__init__()
        # No norm in the stem: it would take the loudness away, and silence is what closed lips look like.
        self.stem = nn.Conv2d(inputs, widths[0], 7, stride=stem_stride, padding=3)
        stages: list[nn.Module] = []
        before = widths[0]
        for width, count, stride in zip(widths, blocks, strides, strict=True):
            stages += [
                AttentiveBlock(before if i == 0 else width, width, stride if i == 0 else 1, gates) for i in range(count)
            ]
            before = width
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, widths[-1], H', W']."""
        features: Tensor = self.stages(F.leaky_relu(self.stem(x), SLOPE))
        return features


class SelfAttentivePooling(nn.Module):
    """Weighted mean over time, the weights learnt (Cai et al., 2018; RADIO 3.1)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, hidden)
        self.context = nn.Parameter(torch.randn(hidden) / hidden**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Pool [N, time, C] to [N, C]."""
        weights = (self.hidden(x).tanh() @ self.context.to(x.dtype)).softmax(1)
        pooled: Tensor = (x * weights[..., None].to(x.dtype)).sum(1)
        return pooled


class SpeechEncoder(nn.Module):
    """ResNet-SE with self-attentive pooling over a mel window (RADIO supplement A, after ResNetSE34L).

    A time step keeps its frequencies side by side, as ResNetSE34V2 does; ResNetSE34L averages them, which a speaker
    survives but a phoneme does not: instance norm leaves nearly the same average for every window.

    Args:
        outputs: width of the speech feature.
        widths: channels of the four stages; ResNetSE34L's are 16, 32, 64, 128.
        blocks: blocks of the four stages; ResNetSE34L's are 3, 4, 6, 3.
        bands: mel bands, a multiple of 8.
        standardised: bring each number of the feature to zero mean and unit deviation over the batch, and over what
            training saw when it is used. Not in the papers. As it starts, the feature is nearly the same for all that
            is said; what draws by it first learns to overlook it, and is long in coming back.
    """

    def __init__(
        self,
        outputs: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        bands: int = 80,
        *,
        standardised: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = AttentiveResNet(1, widths, blocks, strides=(1, 2, 2, 1), gates=SqueezeExcite, stem_stride=(2, 1))
        channels = widths[-1] * bands // 8
        self.pool = SelfAttentivePooling(channels, widths[-1])
        self.out = nn.Linear(channels, outputs)
        self.norm = nn.BatchNorm1d(outputs, affine=False) if standardised else nn.Identity()

    def forward(self, mel: Tensor) -> Tensor:
        """Encode log-mel windows [N, bands, columns] to [N, outputs]."""
        x = self.trunk(mel[:, None])
        feature: Tensor = self.norm(self.out(self.pool(x.flatten(1, 2).transpose(1, 2))))
        return feature
