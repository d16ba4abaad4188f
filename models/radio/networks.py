"""RADIO's generator (3.1, 3.2, supplement A)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.models.layers.attention import LowerHalfViT
from dubbench.models.layers.se_resnet import SpeechEncoder
from dubbench.models.layers.stylegan2 import SLOPE, StyledConv, ToRGB

Variant = Literal["A", "B", "C", "D"]


class Style(NamedTuple):
    """What the generator keeps of M reference frames.

    Attributes:
        images: [M, 3, size, size].
        code: [M, style_dim], f_s; None in variant A.
        features: f_s^1 ... f_s^L, largest first; empty in variant A.
    """

    images: Tensor
    code: Tensor | None
    features: tuple[Tensor, ...]


class ResidualDown(nn.Module):
    """Two 3 x 3 convolutions with a 1 x 1 skip; the second halves the resolution (supplement A)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.second = nn.Conv2d(inputs, outputs, 3, 2, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        y = F.leaky_relu(self.second(F.leaky_relu(self.first(x), SLOPE)), SLOPE)
        skip: Tensor = self.skip(F.avg_pool2d(x, 2))
        return (y + skip) / math.sqrt(2)


class FaceEncoder(nn.Module):
    """E_c and E_s: a convolution, residual down-blocks, a convolution; L = len(widths) + 1 layers."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, widths[0], 3, 1, 1)
        self.blocks = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, SLOPE)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of the L layers of images [N, inputs, H, W], largest first."""
        features = [F.leaky_relu(self.first(x), SLOPE)]
        for block in self.blocks:
            features.append(block(features[-1]))
        return [*features, F.leaky_relu(self.last(features[-1]), SLOPE)]


class DecoderLayer(nn.Module):
    """Styled convolution, residual content, optional fidelity mapping, styled convolution, colours.

    Args:
        inputs: channels of the layer below.
        outputs: channels of this layer and of its content and style features.
        style: width of the W space.
        up: double the resolution.
        fidelity: attention over the style feature, `"add"` for variant C's plain sum, or None.
    """

    def __init__(
        self, inputs: int, outputs: int, style: int, *, up: bool, fidelity: nn.Module | Literal["add"] | None
    ) -> None:
        super().__init__()
        self.first = StyledConv(inputs, outputs, style, up=up)
        self.fidelity = fidelity if isinstance(fidelity, nn.Module) else None
        self.add = fidelity == "add"
        self.second = StyledConv(outputs, outputs, style)
        self.colours = ToRGB(outputs, style)

    def forward(
        self, x: Tensor, w: Tensor, content: Tensor, style: Tensor | None, below: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Features and colours of this layer."""
        x = (self.first(x, w) + content) / math.sqrt(2)
        if self.fidelity is not None:
            x = self.fidelity(x, style)
        elif self.add and style is not None:
            half = x.shape[-2] // 2
            style = style.repeat_interleave(x.shape[0] // style.shape[0], 0)
            x = torch.cat([x[:, :, :half], x[:, :, half:] + style[:, :, half:]], 2)
        x = self.second(x, w)
        return x, self.colours(x, w, below)


class Generator(nn.Module):
    """Masked target, reference and speech to dubbed frames.

    Args:
        size: side of the frames.
        widths: channels at size, size/2, ...; RADIO prints only the last, 512 at 12 x 12.
        style_dim: width of f_s and of f_a.
        speech_widths: channels of the speech encoder's stages.
        speech_blocks: blocks of its stages.
        variant: of Table 2. A: reference beside the target at the input, W is speech alone. B: style modulation.
            C: B and the reference's lower-half features added to the last layers. D: B and attention there.
        vit_blocks: decoder layers with fidelity mapping, counted from the last; n of ViT(n, m).
        vit_layers: attention layers of a block; m of ViT(n, m).
        vit_width: token width.
        vit_heads: attention heads.
    """

    def __init__(
        self,
        size: int,
        widths: Sequence[int],
        style_dim: int,
        speech_widths: Sequence[int],
        speech_blocks: Sequence[int],
        variant: Variant,
        vit_blocks: int,
        vit_layers: int,
        vit_width: int,
        vit_heads: int,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.content_encoder = FaceEncoder(6 if variant == "A" else 3, widths)
        if variant != "A":
            self.style_encoder = FaceEncoder(3, widths)
            self.style_out = nn.Linear(widths[-1], style_dim)
        self.speech_encoder = SpeechEncoder(style_dim, speech_widths, speech_blocks)
        w_dim = style_dim if variant == "A" else 2 * style_dim
        outputs = [widths[-1], *reversed(widths)]
        inputs = [widths[-1], *outputs[:-1]]
        layers = []
        for i, (a, b) in enumerate(zip(inputs, outputs, strict=True)):
            fidelity: nn.Module | Literal["add"] | None = None
            if len(outputs) - i <= vit_blocks and variant in "CD":
                side = size >> (len(outputs) - 1 - i)
                fidelity = (
                    "add"
                    if variant == "C"
                    else LowerHalfViT(b, side, layers=vit_layers, width=vit_width, heads=vit_heads)
                )
            layers.append(DecoderLayer(a, b, w_dim, up=i > 1, fidelity=fidelity))
        self.decoder = nn.ModuleList(layers)

    def forward(self, frames: Tensor, references: Tensor, mel: Tensor) -> Tensor:
        """Dub frames [B, T, 3, H, W] by mel windows [B, T, bands, columns] and references [B, R, 3, H, W].

        R divides T. The lower half of ``frames`` is not looked at. Returns [B, T, 3, H, W], about [-1, 1].
        """
        style = self.encode_style(references.flatten(0, 1))
        return self.render(frames.flatten(0, 1), style, mel.flatten(0, 1)).view_as(frames)

    def encode_style(self, references: Tensor) -> Style:
        """Features of reference frames [M, 3, H, W], all that `render` needs of them."""
        if self.variant == "A":
            return Style(references, None, ())
        features = self.style_encoder(references.contiguous(memory_format=torch.channels_last))
        return Style(references, self.style_out(features[-1].mean((2, 3))), tuple(features))

    def latent(self, style: Style, mel: Tensor) -> Tensor:
        """f_W = {f_s, f_a} [N, 2 * style_dim] (3.1); f_a alone in variant A."""
        speech: Tensor = self.speech_encoder(mel)
        if style.code is None:
            return speech
        code = style.code.repeat_interleave(speech.shape[0] // style.code.shape[0], 0)
        return torch.cat([code, speech], 1)

    def render(self, frames: Tensor, style: Style, mel: Tensor) -> Tensor:
        """Dub frames [N, 3, H, W] by mel windows [N, bands, columns]; each of M styles serves N / M frames."""
        target = mask_lower_half(frames)
        if self.variant == "A":
            target = torch.cat([target, style.images.repeat_interleave(len(target) // len(style.images), 0)], 1)
        content = self.content_encoder(target.contiguous(memory_format=torch.channels_last))
        w = self.latent(style, mel)
        x: Tensor = content[-1]
        colours: Tensor = x.new_zeros(len(x), 3, *x.shape[2:])
        for i, layer in enumerate(self.decoder, 1):
            detail = style.features[-i] if style.features else None
            x, colours = layer(x, w, content=content[-i], style=detail, below=colours)
        return colours


def mask_lower_half(frames: Tensor) -> Tensor:
    """Zero the lower half of [..., H, W]."""
    masked = frames.clone()
    masked[..., frames.shape[-2] // 2 :, :] = 0
    return masked
