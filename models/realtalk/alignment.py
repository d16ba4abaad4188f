"""How RealTalk's FIA module takes over the reference's texture (3.2): attention, and Table 7's two substitutes for it.

Each module has `prepare`, what is done once a reference, and `forward`, what is done each frame. M references serve N
frames, M dividing N, each reference the N / M neighbours that follow one another. What comes out is added to the
frame's own features.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d  # type: ignore[import-untyped]  # torchvision has no types

from dubbench.models.layers.positions import positional_encoding

AlignmentKind = Literal["attention", "flow", "deformation"]
OFFSET_GROUPS = 8  # as in EDVR's alignment
TAPS = 9  # of a 3 x 3 convolution


class ReferenceModule(nn.Module):
    """What all three have in common."""

    def prepare(self, reference: Tensor) -> Tensor:
        """What `forward` needs of reference features [M, C, H, W]: M rows, here the features as they are."""
        return reference


class ReferenceAttention(ReferenceModule):
    """Cross-attention of a frame's positions over the reference's: the paper's own choice.

    3.2 names neither norms nor positions: layer norms before the projections, and sinusoids of the place in queries and
    keys, without which the same place of the reference has no way to stand out.

    Args:
        channels: C of both features, divisible by 4 and by ``heads``.
        side: of both features.
        heads: attention heads.
    """

    positions: Tensor

    def __init__(self, channels: int, side: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm, self.source_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        self.register_buffer("positions", _grid_positions(side, channels), persistent=False)

    def prepare(self, reference: Tensor) -> Tensor:
        """Keys and values [M, 2, heads, H*W, C / heads] of reference features [M, C, H, W]."""
        tokens = self.source_norm(_tokens(reference))
        keys, values = self.key(tokens + self.positions), self.value(tokens)
        return torch.stack([_heads(keys, self.heads), _heads(values, self.heads)], 1)

    def forward(self, x: Tensor, prepared: Tensor) -> Tensor:
        """Update features [N, C, H, W] by what `prepare` gave."""
        tokens = _tokens(x)
        queries = self.query(self.query_norm(tokens) + self.positions)
        # Frames that share their reference stand in a row, so that nothing is repeated for them.
        queries = queries.reshape(prepared.shape[0], -1, queries.shape[-1])
        keys, values = prepared.unbind(1)
        attended = F.scaled_dot_product_attention(_heads(queries, self.heads), keys, values)
        attended = attended.transpose(1, 2).reshape(tokens.shape)
        added: Tensor = self.out(attended)
        # Back to channels first in name; in memory the channels stay last.
        return x + added.transpose(1, 2).reshape(x.shape)


class ReferenceFlow(ReferenceModule):
    """The reference's features moved by a predicted flow.

    Table 7 says no more than "flow": here one of a pixel's own, from two convolutions over both features, at each of
    the two scales.

    Args:
        channels: C of both features.
        side: of both features.
    """

    grid: Tensor

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.flow = nn.Conv2d(channels, 2, 3, padding=1)
        self.out = nn.Conv2d(channels, channels, 1)
        _zero(self.flow)  # training starts from the same place of the reference
        centres = (torch.arange(side) + 0.5) * 2 / side - 1
        self.register_buffer("grid", torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1), persistent=False)

    def forward(self, x: Tensor, prepared: Tensor) -> Tensor:
        """Update features [N, C, H, W] by the reference's [M, C, H, W]."""
        reference = _shared(prepared, x.shape[0])
        flow = self.flow(F.silu(self.join(torch.cat([x, reference], 1)))).permute(0, 2, 3, 1)
        # Sides of the picture are 2 long for grid_sample. A bfloat16 place is wrong by a whole feature.
        places = self.grid + flow.float()
        moved = F.grid_sample(reference.float(), places, padding_mode="border", align_corners=False)
        added: Tensor = self.out(moved.to(x.dtype))
        return x + added


class ReferenceDeformation(ReferenceModule):
    """The reference's features through a deformable convolution whose offsets both features tell.

    Table 7 says no more than "deformation": here the alignment of EDVR (Wang et al. 2019, eqs. 2 and 3) at each of the
    two scales, with modulated offsets (Zhu et al. 2019).

    Args:
        channels: C of both features, divisible by 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.refine = nn.Conv2d(channels, channels, 3, padding=1)
        self.offsets = nn.Conv2d(channels, 3 * TAPS * OFFSET_GROUPS, 3, padding=1)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        _zero(self.offsets)

    def forward(self, x: Tensor, prepared: Tensor) -> Tensor:
        """Update features [N, C, H, W] by the reference's [M, C, H, W]."""
        reference = _shared(prepared, x.shape[0])
        hidden = F.silu(self.refine(F.silu(self.join(torch.cat([x, reference], 1)))))
        predicted = self.offsets(hidden).float()
        offsets, modulation = predicted.split([2 * TAPS * OFFSET_GROUPS, TAPS * OFFSET_GROUPS], 1)
        weight, bias = self.convolution.weight.float(), self.convolution.bias
        with torch.autocast(x.device.type, enabled=False):
            moved = deform_conv2d(reference.float(), offsets, weight, bias, padding=1, mask=modulation.sigmoid())
        added: Tensor = moved.to(x.dtype)
        return x + added


def reference_module(kind: AlignmentKind, channels: int, side: int, heads: int) -> ReferenceModule:
    """A reference module by its name."""
    if kind == "attention":
        return ReferenceAttention(channels, side, heads)
    return ReferenceFlow(channels, side) if kind == "flow" else ReferenceDeformation(channels)


def _grid_positions(side: int, channels: int) -> Tensor:
    """Sinusoids [side * side, channels], half of the channels for the row and half for the column."""
    axis = positional_encoding(side, channels // 2)
    rows, columns = axis[:, None].expand(-1, side, -1), axis[None].expand(side, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)


def _tokens(x: Tensor) -> Tensor:
    """Features [N, C, H, W] as tokens [N, H*W, C]; no copy where channels are last in memory."""
    return x.flatten(2).transpose(1, 2)


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """Tokens [N, K, C] split: [N, heads, K, C / heads]."""
    return tokens.view(*tokens.shape[:2], heads, -1).transpose(1, 2)


def _shared(features: Tensor, frames: int) -> Tensor:
    """Features [M, C, H, W] for N frames, each repeated for the neighbours that it serves."""
    repeated = features[:, None].expand(-1, frames // features.shape[0], -1, -1, -1).flatten(0, 1)
    return repeated.contiguous(memory_format=torch.channels_last)


def _zero(convolution: nn.Conv2d) -> None:
    nn.init.zeros_(convolution.weight)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
