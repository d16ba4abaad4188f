"""RADIO's vision transformer block: a decoder's lower half looks at a reference's lower half (RADIO 3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CrossAttention(nn.Module):
    """Multi-head attention of one token set over another, then an MLP, both residual (RADIO 3.2, eq. 1)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(width)
        self.source_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.source = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        # RADIO 3.2 names an MLP without its width or norm: ViT's own block, four times as wide, pre-norm.
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor, source: Tensor) -> Tensor:
        """Update tokens [N, Q, width] from source tokens [M, K, width], each serving N / M neighbours."""
        q, k, v = self._projected(tokens, source)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(attended)
        widened: Tensor = self.mlp(self.mlp_norm(tokens))
        return tokens + widened

    def weights(self, tokens: Tensor, source: Tensor) -> Tensor:
        """Eq. 1's softmax(Q K^T / sqrt(d_k)) [N, heads, Q, K], which `forward` never holds: its attention is fused."""
        q, k, _ = self._projected(tokens, source)
        return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)

    def _projected(self, tokens: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q, K and V of eq. 1, each [N, heads, tokens, width / heads]."""
        keys, values = self.source(self.source_norm(source)).chunk(2, -1)
        share = tokens.shape[0] // source.shape[0]
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for t in (self.query(self.query_norm(tokens)), keys, values)
        )
        if share > 1:
            k, v = k.repeat_interleave(share, 0), v.repeat_interleave(share, 0)
        return q, k, v


class LowerHalfViT(nn.Module):
    """Fidelity mapping: attention layers from the lower half of f_i over that of a style feature (3.2).

    f_i flows through the decoder; the style feature is the one of E_s that has its size.

    Args:
        channels: channels of both features.
        size: side of both features.
        layers: attention layers m.
        width: token width; RADIO does not print it.
        heads: attention heads, 8 in RADIO.
    """

    def __init__(self, channels: int, size: int, layers: int, width: int, heads: int = 8) -> None:
        super().__init__()
        # 3.2 asks for patches of H_i/32: 6 and 3 pixels at 192 and 96, and so 16 x 32 tokens of a lower half. In the
        # ablations at 96 pixels layer L - 1 has 48, whose 1.5 is no patch: floor, and at least one pixel.
        self.patch = max(1, size // 32)
        self.grid = (size // 2 // self.patch, size // self.patch)
        positions = self.grid[0] * self.grid[1]
        self.embed_query = nn.Conv2d(channels, width, self.patch, self.patch)
        self.embed_source = nn.Conv2d(channels, width, self.patch, self.patch)
        self.query_positions = nn.Parameter(torch.randn(positions, width) * 0.02)
        self.source_positions = nn.Parameter(torch.randn(positions, width) * 0.02)
        self.layers = nn.ModuleList(CrossAttention(width, heads) for _ in range(layers))
        self.unembed = nn.Linear(width, channels * self.patch**2)

    def forward(self, f_i: Tensor, f_s: Tensor) -> Tensor:
        """Refine f_i [N, C, H, W] by E_s's feature f_s [M, C, H, W], M dividing N; the upper half is untouched.

        Tokens are added to the feature and do not replace it, so a narrow token width cannot blur it.
        """
        middle = f_i.shape[-2] // 2
        upper, lower = f_i[:, :, :middle], f_i[:, :, middle:]
        tokens = self.embed_query(lower).flatten(2).transpose(1, 2) + self.query_positions
        source = self.embed_source(f_s[:, :, middle:]).flatten(2).transpose(1, 2) + self.source_positions
        for layer in self.layers:
            tokens = layer(tokens, source)
        return torch.cat([upper, lower + self._pixels(self.unembed(tokens)).to(lower.dtype)], 2)

    def _pixels(self, tokens: Tensor) -> Tensor:
        """Lay tokens [N, positions, patch * patch * C] out as [N, C, H/2, W], channels last in memory."""
        patches = tokens.view(len(tokens), *self.grid, self.patch, self.patch, -1)
        return patches.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
