"""RealTalk's expression-to-face renderer (3.2): shared encoder, facial identity alignment (FIA) modules, blending.

The paper prints no widths, but Table 7 prints sizes for one, two and three residual blocks a module. They differ by
16.7 M parameters, as many as a residual block at each of four stages of 128, 256, 512 and 768 channels has. The 1 x 1
convolutions of the steps up, the attention's inner width C and the width of the MLPs make up the rest: 53.0, 69.8 and
86.6 M in all, and 82.6 and 99.6 M with flow and deformation; Table 7 has 52.53, 69.24, 85.96, 82.94 and 98.79 M.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.errors import DubbenchError
from dubbench.models.layers.residual import ResidualBlock, group_norm
from dubbench.models.realtalk.alignment import ReferenceModule, reference_module
from dubbench.models.realtalk.options import RendererOptions

ALIGNED_STAGES = 2  # the last two of the encoder's: 1/8 and 1/16


class SharedEncoder(nn.Module):
    """SE (eq. 6): d stages of two residual blocks (4.1), the first of which halves the resolution and widens.

    Args:
        stem: channels at full resolution.
        widths: channels at 1/2, 1/4, ... of the resolution.
    """

    def __init__(self, stem: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, stem, 3, padding=1)
        inputs = [stem, *widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(a, b, 2), ResidualBlock(b, b)) for a, b in zip(inputs, widths, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images [N, 3, S, S]: the stem's, then each stage's, F_1 to F_d."""
        features = [self.stem(images.contiguous(memory_format=torch.channels_last))]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class AdaIN(nn.Module):
    """Instance norm whose scale and shift a three-layer MLP of the coefficients gives (3.2, Huang and Belongie 2017).

    Args:
        coefficients: length of their vector.
        hidden: width of the MLP, not printed.
        channels: of the features.
    """

    def __init__(self, coefficients: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.mlp = nn.Sequential(
            nn.Linear(coefficients, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * channels),
        )

    def forward(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Modulate [N, C, H, W] by coefficients [N, coefficients]."""
        scale, shift = self.mlp(coefficients)[..., None, None].chunk(2, 1)
        # A group norm of one channel each: instance_norm would leave the channels-last layout.
        normal = F.group_norm(x, self.channels)
        return torch.addcmul(shift, normal, 1 + scale)


class FacialIdentityAlignment(nn.Module):
    """FIA (eq. 7): AdaIN, residual blocks, and at two scales the reference.

    Args:
        channels: of the features.
        coefficients: length of their vector.
        hidden: width of the MLP.
        blocks: residual blocks.
        reference: module that takes over the reference's texture; None at the scales without one.
    """

    def __init__(
        self, channels: int, coefficients: int, hidden: int, blocks: int, reference: ReferenceModule | None
    ) -> None:
        super().__init__()
        self.modulation = AdaIN(coefficients, hidden, channels)
        self.blocks = nn.Sequential(*(ResidualBlock(channels, channels) for _ in range(blocks)))
        self.reference = reference

    def forward(self, x: Tensor, source: Tensor, coefficients: Tensor, prepared: Tensor | None) -> Tensor:
        """Align features [N, C, H, W].

        Args:
            x: from the module below.
            source: the source's encoder features of the same shape. Eq. 6 extracts them at every scale and eq. 7 names
                only the last. What the mask leaves of the source must reach the output sharp, so they are added, and
                after AdaIN, which would take their mean, the colour, away.
            coefficients: [N, coefficients].
            prepared: what the reference module prepared.
        """
        x = self.blocks(self.modulation(x, coefficients) + source)
        if self.reference is not None:
            x = self.reference(x, prepared)
        return x


class Renderer(nn.Module):
    """Draws frames from masked frames, one reference picture and 3D coefficients.

    Modules stand at 1/16, 1/8, 1/4 and 1/2 of the resolution, and the step up follows each. By 3.2's letter it precedes
    each, and none would stand at 1/16, where 3.2's last paragraph has one of the two attentions.

    Args:
        size: side S of the frames, a multiple of 2 ** d.
        coefficients: length of [shape, expression, pose]: 80 + 64 + 6 in the paper.
        options: of its networks.
        mlp: width of the MLPs of the coefficients; not printed.

    Raises:
        DubbenchError: if the sizes do not go together.
    """

    def __init__(
        self,
        size: int = 256,
        coefficients: int = 150,
        options: RendererOptions | None = None,
        mlp: int = 256,
    ) -> None:
        super().__init__()
        options = options or RendererOptions()
        widths, stem, blocks, heads = options.widths, options.stem, options.blocks, options.heads
        _check(size, widths, heads, options.alignment)
        self.encoder = SharedEncoder(stem, widths)
        modules, steps = [], []
        for level in range(len(widths), 0, -1):
            channels, below = widths[level - 1], widths[level - 2] if level > 1 else stem
            aligned = level > len(widths) - ALIGNED_STAGES
            module = reference_module(options.alignment, channels, size >> level, heads) if aligned else None
            modules.append(FacialIdentityAlignment(channels, coefficients, hidden=mlp, blocks=blocks, reference=module))
            # Before the enlargement a 1 x 1 convolution gives the same as after it, at a quarter of the cost.
            steps.append(nn.Conv2d(channels, below, 1))
        self.alignments, self.steps = nn.ModuleList(modules), nn.ModuleList(steps)
        self.output = nn.Sequential(
            group_norm(stem),
            nn.SiLU(),
            nn.Conv2d(stem, stem, 3, padding=1),
            group_norm(stem),
            nn.SiLU(),
            nn.Conv2d(stem, 3, 3, padding=1),
        )

    def encode_reference(self, reference: Tensor) -> tuple[Tensor, ...]:
        """All that `draw` needs of reference pictures [M, 3, S, S] in [-1, 1]: once a clip.

        Returns:
            A tensor of M rows for 1/16 and one for 1/8 of the resolution.
        """
        return self._prepare(self.encoder(reference))

    def draw(self, masked: Tensor, features: tuple[Tensor, ...], coefficients: Tensor) -> Tensor:
        """F_d, what eq. 8 blends: frames [N, 3, S, S] in [-1, 1].

        Args:
            masked: I_s^m [N, 3, S, S].
            features: of `encode_reference`; each of M references serves N / M neighbours.
            coefficients: [N, coefficients], about unit scale.
        """
        return self._decode(self.encoder(masked), features, coefficients)

    def forward(self, masked: Tensor, reference: Tensor, coefficients: Tensor) -> Tensor:
        """`draw` with reference pictures [M, 3, S, S]; sources and references are encoded as one batch (eq. 6)."""
        count = masked.shape[0]  # `len` would fix the batch in an exported graph
        features = self.encoder(torch.cat([masked, reference]))
        prepared = self._prepare([level[count:] for level in features])
        return self._decode([level[:count] for level in features], prepared, coefficients)

    def _prepare(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        prepared = []
        for module, feature in zip(self.alignments, reversed(features), strict=False):
            reference = cast(FacialIdentityAlignment, module).reference
            if reference is not None:
                prepared.append(reference.prepare(feature))
        return tuple(prepared)

    def _decode(self, source: Sequence[Tensor], prepared: Sequence[Tensor], coefficients: Tensor) -> Tensor:
        x = source[-1]
        for i, (module, step) in enumerate(zip(self.alignments, self.steps, strict=True)):
            x = module(x, source[-1 - i], coefficients, prepared[i] if i < len(prepared) else None)
            x = F.interpolate(step(x), scale_factor=2.0)
        frames: Tensor = self.output(x + source[0])
        return frames.tanh()


def blend(source: Tensor, drawn: Tensor, mask: Tensor) -> Tensor:
    """Eq. 8: the source where the mask is 1, the drawn frame where it is 0.

    Args:
        source: I_s [N, 3, S, S].
        drawn: [N, 3, S, S].
        mask: M [N, 1, S, S] in [0, 1].
    """
    return mask * source + (1 - mask) * drawn


def _check(size: int, widths: Sequence[int], heads: int, alignment: str) -> None:
    step = 2 ** len(widths)
    if len(widths) < ALIGNED_STAGES or size < step or size % step:
        raise DubbenchError(
            f"a renderer of {len(widths)} stages draws no frames of {size} pixels; give a multiple of {step}"
        )
    if alignment == "attention" and any(width % heads or width % 4 for width in widths[-ALIGNED_STAGES:]):
        raise DubbenchError(
            f"widths {list(widths[-ALIGNED_STAGES:])} do not split among {heads} heads; choose multiples"
        )
