"""RADIO's generator (3.1, 3.2, supplement A)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.models.layers.se_resnet import SpeechEncoder
from dubbench.models.radio.stylegan2 import SLOPE, StyledConv, ToRGB
from dubbench.models.radio.vit import LowerHalfViT

Variant = Literal["A", "B", "C", "D"]


class Reference(NamedTuple):
    """What the generator keeps of M reference frames.

    Attributes:
        images: [M, 3, size, size].
        f_s: the style feature [M, style_dim]; None in variant A.
        layers: the style encoder's intermediate features f_s^1 ... f_s^L, largest first; empty in variant A.
    """

    images: Tensor
    f_s: Tensor | None
    layers: tuple[Tensor, ...]


class ResidualDown(nn.Module):
    """Two 3 x 3 convolutions with a 1 x 1 skip; the second halves the resolution (supplement A).

    Sums are divided by the root of two, here and in `DecoderLayer`, as in StyleGAN2: so they keep the variance.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.second = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        y = F.leaky_relu(self.second(F.leaky_relu(self.first(x), SLOPE)), SLOPE)
        skip: Tensor = self.skip(F.avg_pool2d(x, 2))
        return (y + skip) / math.sqrt(2)


class FaceEncoder(nn.Module):
    """Content encoder E_c or style encoder E_s (3.1): a convolution, L - 2 residual down-blocks, a convolution.

    Args:
        inputs: channels of the images.
        widths: channels of the layers but for the last, which has as many as the one before it; L = len(widths) + 1.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(ResidualDown(a, b) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        # Supplement A names no norms, so the weights must keep the variance.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, SLOPE)

    def forward(self, x: Tensor) -> list[Tensor]:
        """f_c^1 ... f_c^L or f_s^1 ... f_s^L of images [N, inputs, H, W], largest first."""
        features = [F.leaky_relu(self.first(x), SLOPE)]
        for block in self.blocks:
            features.append(block(features[-1]))
        return [*features, F.leaky_relu(self.last(features[-1]), SLOPE)]


class DecoderLayer(nn.Module):
    """A layer of G: modulated convolution, residual content, perhaps fidelity mapping, modulated convolution, colours.

    Args:
        inputs: channels of the layer below.
        outputs: channels of this layer and of the encoders' features of its size.
        w_dim: width of f_W.
        up: double the resolution.
        fidelity: attention over E_s's feature, `"add"` for variant C's plain sum, or None for no fidelity mapping.
    """

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, *, up: bool, fidelity: nn.Module | Literal["add"] | None
    ) -> None:
        super().__init__()
        self.first = StyledConv(inputs, outputs, w_dim, up=up)
        self.fidelity = fidelity if isinstance(fidelity, nn.Module) else None
        self.add = fidelity == "add"
        self.second = StyledConv(outputs, outputs, w_dim)
        self.colours = ToRGB(outputs, w_dim)

    def forward(self, x: Tensor, f_w: Tensor, f_c: Tensor, f_s: Tensor | None, below: Tensor) -> tuple[Tensor, Tensor]:
        """Features and colours of this layer.

        Args:
            x: features of the layer below [N, inputs, H, W], or [N, inputs, H / 2, W / 2] with ``up``.
            f_w: f_W [N, w_dim].
            f_c: E_c's feature of this layer's size [N, outputs, H, W]. The encoders count from the largest, the decoder
                from the smallest: layer i has f_c^(L + 1 - i), where 3.2 and 4.4 write f_d^(L - i) beside f_s^i.
            f_s: E_s's likewise [M, outputs, H, W], M dividing N; not looked at without fidelity mapping.
            below: colours of the layers below [N, 3, H, W] or half as large.
        """
        x = (self.first(x, f_w) + f_c) / math.sqrt(2)
        if self.fidelity is not None:
            x = self.fidelity(x, f_s)
        elif self.add and f_s is not None:
            half = x.shape[-2] // 2
            f_s = f_s.repeat_interleave(x.shape[0] // f_s.shape[0], 0)
            x = torch.cat([x[:, :, :half], x[:, :, half:] + f_s[:, :, half:]], 2)
        x = self.second(x, f_w)
        return x, self.colours(x, f_w, below)


class Generator(nn.Module):
    """Masked target, reference and speech to dubbed frames.

    Four of the encoders' six layers halve the resolution (supplement A), and so the decoder's first two are of one
    size: at 192 pixels its L = 6 layers run at 12, 12, 24, 48, 96 and 192. The supplement's remark that the fourth is
    at 12 x 12 (its section D) fits neither 192 nor 96 pixels.

    Args:
        size: side of the frames.
        widths: channels at size, size/2, ...; RADIO prints only the last, 512 at 12 x 12. L = len(widths) + 1.
        style_dim: width of f_s and of f_a.
        speech_widths: channels of the speech encoder's stages.
        speech_blocks: blocks of its stages.
        speech_norm: standardise f_a, see `SpeechEncoder`.
        variant: of Table 2. A: reference beside the target at the input, W is speech alone. B: style modulation.
            C: B and the reference's lower-half features added to the last layers. D: B and attention there, RADIO.
        vit_blocks: decoder layers with fidelity mapping, counted from the last, also of variant C; n of ViT(n, m).
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
        speech_norm: bool,
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
        self.speech_encoder = SpeechEncoder(style_dim, speech_widths, speech_blocks, standardised=speech_norm)
        w_dim = style_dim if variant == "A" else 2 * style_dim  # f_W, 512 and 1024 in the paper (3.1, 4.4)
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
        reference = self.encode_reference(references.flatten(0, 1))
        return self.render(frames.flatten(0, 1), reference, mel.flatten(0, 1)).view_as(frames)

    def encode_reference(self, references: Tensor) -> Reference:
        """E_s of reference frames [M, 3, H, W], all that `render` needs of them."""
        if self.variant == "A":
            return Reference(references, None, ())
        layers = self.style_encoder(references.contiguous(memory_format=torch.channels_last))
        # Global average pooling and a fully connected layer, so that f_s is "sparse" (3.1). Supplement A has them after
        # "four residual-down blocks", while 3.1 makes E_s of L layers as E_c: here they follow the last of these.
        return Reference(references, self.style_out(layers[-1].mean((2, 3))), tuple(layers))

    def f_w(self, reference: Reference, mel: Tensor) -> Tensor:
        """f_W = {f_s, f_a} [N, 2 * style_dim] (3.1); f_a alone in variant A."""
        f_a: Tensor = self.speech_encoder(mel)
        if reference.f_s is None:
            return f_a
        f_s = reference.f_s.repeat_interleave(f_a.shape[0] // reference.f_s.shape[0], 0)
        return torch.cat([f_s, f_a], 1)

    def render(self, frames: Tensor, reference: Reference, mel: Tensor) -> Tensor:
        """Dub frames [N, 3, H, W] by mel windows [N, bands, columns]; each of M references serves N / M frames."""
        target = mask_lower_half(frames)
        if self.variant == "A":
            images = reference.images.repeat_interleave(len(target) // len(reference.images), 0)
            target = torch.cat([target, images], 1)
        content = self.content_encoder(target.contiguous(memory_format=torch.channels_last))
        f_w = self.f_w(reference, mel)
        x: Tensor = content[-1]
        colours: Tensor = x.new_zeros(len(x), 3, *x.shape[2:])
        for i, layer in enumerate(self.decoder, 1):
            f_s = reference.layers[-i] if reference.layers else None
            x, colours = layer(x, f_w, f_c=content[-i], f_s=f_s, below=colours)
        return colours

    def vit_blocks(self) -> dict[int, LowerHalfViT]:
        """ViT blocks by the number of their decoder layer, counted from 1 at the smallest resolution (3.2)."""
        layers = (cast(DecoderLayer, layer).fidelity for layer in self.decoder)
        return {i: layer for i, layer in enumerate(layers, 1) if isinstance(layer, LowerHalfViT)}


def mask_lower_half(frames: Tensor) -> Tensor:
    """Zero the lower half of [..., H, W]."""
    masked = frames.clone()
    masked[..., frames.shape[-2] // 2 :, :] = 0
    return masked
