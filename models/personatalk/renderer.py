"""PersonaTalk's dual-attention face renderer (3.2)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
PEAK = 25.0  # logit of a position with itself before training
# One over the share of a frame's tokens that lips take in training, at most: with every lip mask another number of
# tokens, a device would be waited for and a compiled graph be made anew each step. Lips of an aligned face take a
# tenth, wide open; of more than a quarter, as many tokens count, evenly spread.
CROWD = 4


class Tokens(NamedTuple):
    """Reference tokens that an attention layer looks at, for M samples of K tokens.

    Attributes:
        keys: [M, K, C] geometry with its position.
        values: [M, K, C] texture.
        valid: bool [M, K], False for padding; None where all count.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None = None


class TextureAttention(nn.Module):
    """Eq. 3: textures at the places of the references whose geometry corresponds to the target's.

    One head, and no projection of values or output: what comes out is a mix of reference textures, "sampled" as 3.2
    has it. 3.2 prints no projections of queries and keys either; they start as identities here.

    Args:
        channels: C.
        side: tokens along one side of a frame.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Linear(channels, channels, bias=False) for _ in range(2))
        # 3.2: learnable embeddings, start unsaid. Sinusoids let training begin from "the same place of the references";
        # from random ones it begins from the mean of all tokens, and is long in leaving it.
        self.query_positions = nn.Parameter(sinusoids(channels, side))
        self.key_positions = nn.Parameter(sinusoids(channels, side))
        for projection in (self.query, self.key):
            nn.init.eye_(projection.weight)

    def queries(self, geometry: Tensor) -> Tensor:
        """Target geometries [..., H*W, C] with positions, projected."""
        projected: Tensor = self.query(geometry + self.query_positions)
        return projected

    def keys(self, geometry: Tensor) -> Tensor:
        """Reference geometries [..., H*W, C] with positions, projected."""
        projected: Tensor = self.key(geometry + self.key_positions)
        return projected

    def forward(self, queries: Tensor, source: Tokens) -> Tensor:
        """Textures [N, Q, C] of queries [N, Q, C]; the N / M neighbours share a sample of the source.

        Scores are never held as a whole: the attention is fused on every device.
        """
        samples = len(source.keys)
        # Queries that share their source stand in a row, so that nothing is repeated for them.
        shared = queries.reshape(samples, 1, -1, queries.shape[-1])
        mask = None if source.valid is None else source.valid[:, None, None]
        keys, values = source.keys[:, None], source.values[:, None].to(source.keys.dtype)
        sampled = F.scaled_dot_product_attention(shared.to(keys.dtype), keys, values, attn_mask=mask)
        return sampled.reshape(*queries.shape[:2], -1)


class DualAttentionRenderer(nn.Module):
    """Draws target frames from geometry and reference frames: E_geo, E_tex, Dual-Attention (eq. 4), D_tex.

    Args:
        size: side of the frames, divisible by 4.
        channels: C of the latent space; not printed.
        blocks: residual blocks at 1/4 of the resolution before the decoder's two layers, 0 in the paper.
        face_attention: False leaves Lip-Attention alone to draw the whole frame, from the lip references.
        lip_attention: False leaves Face-Attention alone to draw the whole frame, from the face references.
    """

    def __init__(
        self, size: int, channels: int, blocks: int = 0, face_attention: bool = True, lip_attention: bool = True
    ) -> None:
        super().__init__()
        self.side = size // 4
        self.geometry_encoder, self.texture_encoder = _encoder(channels), _encoder(channels)
        # "A single cross-attention layer" (4.4) comes in two rows of Table 4 with different scores. What can differ is
        # the layer that is left, and with it the references that it was made for.
        self.face = TextureAttention(channels, self.side) if face_attention else None
        self.lip = TextureAttention(channels, self.side) if lip_attention else None
        self.decoder = Decoder(channels, blocks)

    def encode(self, images: Tensor, pncc: Tensor) -> tuple[Tensor, Tensor]:
        """Geometry and texture tokens, both [..., H*W/16, C], of frames and their PNCC [..., 3, H, W]."""
        return _tokens(self.geometry_encoder, pncc), _tokens(self.texture_encoder, images)

    def face_source(self, geometry: Tensor, texture: Tensor) -> Tokens:
        """What Face-Attention sees of references' tokens [M, R, H*W/16, C]."""
        assert self.face is not None
        return Tokens(self.face.keys(geometry).flatten(1, 2), texture.flatten(1, 2))

    def lip_source(self, geometry: Tensor, texture: Tensor, lips: Tensor) -> Tokens:
        """What Lip-Attention sees of references' tokens [M, R, H*W/16, C]: those in the lip masks [M, R, 1, H, W].

        25 references of 64 x 64 tokens are 102,400, and their lips about a tenth of that. As the only layer, it sees
        all of them.
        """
        assert self.lip is not None
        keys, values = self.lip.keys(geometry).flatten(1, 2), texture.flatten(1, 2)
        if self.face is None:
            return Tokens(keys, values)
        inside = self.token_mask(lips).flatten(1)
        # Where no reference shows its lips, all of them are looked at: attention over nothing has no value.
        order, valid = self._front(inside | ~inside.any(1, keepdim=True))
        everything = not self.training and bool(valid.all())
        return Tokens(_take(keys, order), _take(values, order), None if everything else valid)

    def token_mask(self, lips: Tensor) -> Tensor:
        """M^l: tokens that touch the lip mask [..., 1, H, W], bool [..., H*W/16]."""
        pooled = F.max_pool2d(lips.flatten(0, -4).float(), 4) > 0.5
        return pooled.reshape(*lips.shape[:-3], -1)

    def render(self, pncc: Tensor, lips: Tensor, face: Tokens | None, lip: Tokens | None) -> Tensor:
        """Draw frames [N, 3, H, W] in about [-1, 1].

        Args:
            pncc: target geometries [N, 3, H, W] in [0, 1].
            lips: their lip masks [N, 1, H, W].
            face: `face_source` of the M samples, M dividing N; unused without Face-Attention.
            lip: `lip_source`, likewise.
        """
        geometry = _tokens(self.geometry_encoder, pncc)
        sampled = None
        if self.face is not None and face is not None:
            sampled = self.face(self.face.queries(geometry), face)
        if self.lip is not None and lip is not None:
            queries = self.lip.queries(geometry)
            sampled = self.lip(queries, lip) if sampled is None else self._fuse(sampled, queries, lips, lip)
        assert sampled is not None
        latent = sampled.transpose(1, 2).reshape(len(pncc), -1, self.side, self.side)
        frames: Tensor = self.decoder(latent, pncc)
        return frames

    def forward(
        self,
        pncc: Tensor,
        lips: Tensor,
        references: Tensor,
        reference_pncc: Tensor,
        reference_lips: Tensor,
        face_references: int,
    ) -> Tensor:
        """Draw P frames of each of B examples from R references, of which the first ``face_references`` are the face's.

        Args:
            pncc: [B, P, 3, H, W] in [0, 1].
            lips: [B, P, 1, H, W] in {0, 1}.
            references: [B, R, 3, H, W] in [-1, 1].
            reference_pncc: [B, R, 3, H, W].
            reference_lips: [B, R, 1, H, W].
            face_references: N_f, the rest are the lips'.

        Returns:
            [B, P, 3, H, W].
        """
        of_face, of_lips = slice(None, face_references), slice(face_references, None)
        geometry, texture = self.encode(references, reference_pncc)
        face = self.face_source(geometry[:, of_face], texture[:, of_face]) if self.face else None
        lip = None
        if self.lip:
            lip = self.lip_source(geometry[:, of_lips], texture[:, of_lips], reference_lips[:, of_lips])
        frames = self.render(pncc.flatten(0, 1), lips.flatten(0, 1), face, lip)
        return frames.view(pncc.shape)

    def _fuse(self, face: Tensor, queries: Tensor, lips: Tensor, lip: Tokens) -> Tensor:
        """Eq. 4: Lip-Attention inside M^l, Face-Attention outside; only queries inside M^l are computed."""
        assert self.lip is not None
        inside = self.token_mask(lips)
        order, valid = self._front(inside)
        if not order.shape[1]:
            return face
        sampled = self.lip(_take(queries, order), lip).to(face.dtype)
        fused = torch.where(valid[..., None], sampled, _take(face, order))
        return face.scatter(1, order[..., None].expand_as(fused), fused)

    def _front(self, keep: Tensor) -> tuple[Tensor, Tensor]:
        """Places of a mask's True first: indices [N, M] and which of them are True.

        M is the most that a row of [N, K] has, or in training one in `CROWD`, whatever the mask.
        """
        if not self.training:
            most = int(keep.sum(1).max()) if len(keep) else 0
            order = keep.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        else:
            turn = torch.arange(keep.shape[1], device=keep.device) % CROWD
            order = torch.where(keep, turn, CROWD).argsort(dim=1, stable=True)[:, : keep.shape[1] // CROWD]
        return order, keep.gather(1, order)


class Decoder(nn.Module):
    """D_tex: the sampled latent and the target's PNCC beside it, through two upsampling convolutions.

    Args:
        channels: C of the latent.
        blocks: residual blocks before them.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        inner = channels // 2
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels + 3, channels, 3, padding=1),
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.first = nn.Conv2d(channels + 3, 4 * inner, 3, padding=1)
        self.second = nn.Conv2d(inner, 4 * 3, 3, padding=1)

    def forward(self, latent: Tensor, pncc: Tensor) -> Tensor:
        """Frames [N, 3, H, W] of latents [N, C, H/4, W/4] and PNCC [N, 3, H, W]."""
        geometry = F.interpolate(pncc.to(latent.dtype), size=latent.shape[-2:], mode="area")
        for block in self.blocks:
            latent = latent + block(torch.cat([latent, geometry], 1))
        hidden = F.pixel_shuffle(self.first(torch.cat([latent, geometry], 1)), 2)
        return F.pixel_shuffle(self.second(F.leaky_relu(hidden, SLOPE)), 2)


def sinusoids(channels: int, side: int) -> Tensor:
    """Positions [side * side, channels] whose scaled product is `PEAK` with itself and falls with the distance.

    Half of the channels tell x and half y, as sines and cosines of frequencies from half a turn a side to a quarter
    turn a token.
    """
    count = channels // 4
    frequencies = torch.logspace(math.log10(math.pi / side), math.log10(math.pi / 2), count)
    angles = torch.arange(side)[:, None] * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], 1)
    rows = axis[:, None].expand(side, side, -1)
    grid = torch.cat([rows.transpose(0, 1), rows], -1).reshape(side * side, -1)
    padded = F.pad(grid, (0, channels - grid.shape[-1]))
    return padded * math.sqrt(PEAK * math.sqrt(channels) / (2 * count))


def _encoder(channels: int) -> nn.Sequential:
    """Two downsampling convolutions, [N, 3, H, W] to [N, C, H/4, W/4]."""
    return nn.Sequential(
        nn.Conv2d(3, channels // 2, 4, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(channels // 2, channels, 4, stride=2, padding=1),
    )


def _tokens(encoder: nn.Module, images: Tensor) -> Tensor:
    """Latents of images [..., 3, H, W] as tokens [..., H*W/16, C]."""
    latent: Tensor = encoder(images.flatten(0, -4))
    return latent.flatten(2).transpose(1, 2).reshape(*images.shape[:-3], -1, latent.shape[1])


def _take(tokens: Tensor, order: Tensor) -> Tensor:
    """Tokens [N, K, C] at places [N, M]."""
    return tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[-1]))
