"""PersonaTalk's style-aware geometry construction (3.1): from speech and style to vertices."""

import torch
from torch import Tensor, nn

from dubbench.media import SAMPLES_PER_FRAME
from dubbench.models.held_face import UNIT
from dubbench.models.layers.positions import positional_encoding


class VertexEncoder(nn.Module):
    """E_vtx: one fully connected layer from L vertices to D."""

    def __init__(self, vertices: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * vertices, width)

    def forward(self, offsets: Tensor) -> Tensor:
        """Encode vertices [..., L, 3], given as what they differ by from the mean face, to [..., D]."""
        encoded: Tensor = self.linear(offsets.flatten(-2) / UNIT)
        return encoded

    def mixed(self, coefficients: Tensor, basis: Tensor) -> Tensor:
        """Encode the vertices of coefficients [..., E] on a basis [E, L, 3] to [..., D].

        The layer is linear: the directions of the basis are encoded, and not hundreds of frames of a clip.
        """
        directions = nn.functional.linear(basis.flatten(-2) / UNIT, self.linear.weight)
        return coefficients.to(directions) @ directions + self.linear.bias


class StyleInjection(nn.Module):
    """The cross-attention that injects style into the audio features (3.1, eq. 3), and an MLP.

    Read literally, the one style token is the query, so that one token comes out and time is lost. Here each frame
    asks, by the style plus its place in time; and audio features have a residual path, being what is stylised.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query_norm, self.source_norm, self.mlp_norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, speech: Tensor, style: Tensor) -> Tensor:
        """Stylised features [B, T, D] of audio features [B, T, D] and styles [B, D]."""
        positions = positional_encoding(speech.shape[1], speech.shape[2], speech.device).to(speech)
        queries = style[:, None] + positions
        source = self.source_norm(speech)
        attended, _ = self.attention(self.query_norm(queries), source + positions, source, need_weights=False)
        x: Tensor = speech + queries + attended
        widened: Tensor = self.mlp(self.mlp_norm(x))
        return x + widened


class TemplateInjection(nn.Module):
    """The cross-attention whose only key and value is the template's token (3.1).

    A softmax over one key is one, whatever the query: what the layer adds is the projected value. Projections of
    queries and keys would never learn, so there are none, and the queries keep their residual path.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, queries: Tensor, template: Tensor) -> Tensor:
        """Add the template [B, D] to the queries [B, T, D]."""
        attended: Tensor = self.out(self.value(self.norm(template)))
        return queries + attended[:, None]


class GeometryGenerator(nn.Module):
    """Vertices that speak like the speaker: E_aud, style, template, self-attention layers and D_vtx (3.1).

    All L vertices are given; the lower face's alone are learnt and used, the upper face is the target frame's own.

    Args:
        vertices: L.
        width: D, even.
        layers: self-attention layers, "several" in 3.1.
        heads: attention heads, dividing D.
        speech: E_aud, which maps a waveform [B, T * 640] and T to features [B, T, D].
        style: False leaves the style embedding out (Table 4).
        dropout: in the self-attention layers.
    """

    def __init__(
        self,
        vertices: int,
        width: int,
        layers: int,
        heads: int,
        speech: nn.Module,
        style: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.speech = speech
        self.encoder = VertexEncoder(vertices, width)
        self.style = nn.Linear(2 * width, width) if style else None
        self.style_injection = StyleInjection(width, heads)
        self.template_injection = TemplateInjection(width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        # D_vtx, whose output is taken as an offset from the template: from zero on, a face starts as itself.
        self.decoder = nn.Linear(width, 3 * vertices)
        nn.init.zeros_(self.decoder.weight)
        nn.init.zeros_(self.decoder.bias)

    def embed_style(self, expression: Tensor, basis: Tensor, keep: Tensor | None = None) -> Tensor:
        """S [B, D]: mean and deviation over time of the encoded expression-only vertices, through a layer.

        Args:
            expression: coefficients [B, N, E] of the frames that the style is taken from.
            basis: [E, L, 3], what each of them moves: both make expression-only vertices less the mean face.
            keep: bool [B, N], which of the N frames count, at least one; None for all.
        """
        encoded = self.encoder.mixed(expression, basis).float()
        if self.style is None:
            # Table 4's first row: nothing of the speaker's dynamics is known.
            return torch.zeros_like(encoded[:, 0])
        weights = torch.ones_like(encoded[..., :1]) if keep is None else keep[..., None].to(encoded)
        weights = weights / weights.sum(1, keepdim=True)
        mean = (weights * encoded).sum(1)
        variance = (weights * (encoded - mean[:, None]).square()).sum(1)
        # One frame deviates by nothing; the root of nothing has no gradient.
        deviation = (variance + 1e-6).sqrt()
        embedded: Tensor = self.style(torch.cat([mean, deviation], -1))
        return embedded

    def forward(self, waveform: Tensor, style: Tensor, template: Tensor) -> Tensor:
        """Offsets from the template's vertices, in model units.

        Args:
            waveform: [B, T * 640] in [-1, 1].
            style: [B, D] of `embed_style`.
            template: [B, L, 3], the speaker's shape-only vertices less the mean face.

        Returns:
            [B, T, L, 3].
        """
        x = self.style_injection(self.speech(waveform, waveform.shape[1] // SAMPLES_PER_FRAME), style)
        x = self.template_injection(x, self.encoder(template))
        for layer in self.layers:
            x = layer(x)
        decoded = self.decoder(self.norm(x)).float()
        offsets: Tensor = UNIT * decoded.view(*decoded.shape[:-1], -1, 3)
        return offsets
