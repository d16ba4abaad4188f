"""RealTalk's audio-to-expression transformer (3.1): from speech, shape and historical expressions to expressions."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.errors import DubbenchError
from dubbench.face3d.model import LinearFaceModel
from dubbench.media import SAMPLES_PER_FRAME
from dubbench.models.layers.hubert import SpeechFeatures
from dubbench.models.layers.positions import positional_encoding

# Points of the mouth that eq. 4 sums over: as many as MediaPipe's lips have.
MOUTH = 80
# Eq. 4's unit of length, in model units, which are distances of the mean face's outer eye corners; it is not printed.
# D3DFR's decimetre is about one of these: in it 0.1 of eq. 4 would be a few thousandths of eq. 3. In this one, about
# half a centimetre, both weigh alike where speech has yet to be learnt: of the error that the mean expression of a clip
# makes, 0.1 of eq. 4 is 0.6 of eq. 3 on clips of 22 speakers, 0.9 on GRID's s1 and 1.4 on the demo's. In the fiftieth
# of an eye distance that speech moves a vertex by, it would be 3.5 to 9 times eq. 3: coefficients would hardly count.
VERTEX_UNIT = 0.05


class AudioToExpression(nn.Module):
    """Self-attention over l + 1 + N tokens of speech, shape and history, then cross-attention of T queries over them.

    The first is cross-modal self-attention, CMSA (eq. 1), the second temporal cross-attention, TCA (eq. 2).

    The paper prints neither widths nor numbers of layers, nor the period of the positions. The tokens get their places
    in sequence order, and the period is the l of a training's window: so no two of its speech tokens share a place, the
    shape is at place 0 and history from 1 on. What kind a token is, the bias of its own embedding tells; nothing is
    learnt beside it. The order of history hence matters to the function, but is drawn at random (4.1) and so means
    nothing.

    Args:
        shapes: S, shape coefficients taken; of a face model with fewer, the rest are zeros.
        expressions: E, expression coefficients taken and given, likewise.
        speech: HuBERT's features, projected to ``width``; the projection is the embedding of speech.
        width: of the tokens, even.
        heads: attention heads, dividing ``width``.
        encoder_layers: N_1, layers of cross-modal self-attention.
        decoder_layers: N_2, layers of temporal cross-attention.
        frames: T in training. Longer speech is taken, but places in it recur.
        shape: False leaves the shape token out (Table 5).
        history: False leaves the tokens of historical expressions out (Table 5).
        dropout: in the layers.
    """

    def __init__(
        self,
        shapes: int,
        expressions: int,
        speech: SpeechFeatures,
        width: int,
        heads: int,
        encoder_layers: int,
        decoder_layers: int,
        frames: int = 16,
        shape: bool = True,
        history: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.shapes, self.expressions = shapes, expressions
        self.speech = speech
        self.period = frames * speech.per_frame
        # "Fully connected networks" in 3.1, without their depth: one layer each, as the projection of speech is one.
        self.shape = nn.Linear(shapes, width) if shape else None
        self.history = nn.Linear(expressions, width) if history else None
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(encoder_layers)
        )
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(decoder_layers)
        )
        self.memory_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.head = nn.Linear(width, expressions)

    def forward(self, waveform: Tensor, shape: Tensor, history: Tensor) -> Tensor:
        """Expressions of the frames that speech is given for.

        Args:
            waveform: [B, T * 640] in [-1, 1].
            shape: [B, S] of the clip's first frame, or fewer coefficients where the face model has fewer.
            history: [B, N, E] of other frames of the clip, any N, or fewer coefficients likewise.

        Returns:
            [B, T, E] in standard deviations.

        Raises:
            DubbenchError: if there are more coefficients than the network was built for, or there is no speech.
        """
        frames = waveform.shape[1] // SAMPLES_PER_FRAME
        tokens = [self.speech(waveform, frames)]
        if self.shape is not None:
            tokens.append(self.shape(padded(shape, self.shapes))[:, None])
        if self.history is not None:
            tokens.append(self.history(padded(history, self.expressions)))
        memory = torch.cat(tokens, 1)
        places = periodic_encoding(memory.shape[1], memory.shape[2], self.period, memory.device).to(memory)
        memory = memory + places
        for layer in self.encoder:
            memory = layer(memory)
        memory = self.memory_norm(memory)
        # Zeros alone (3.1) would make all frames alike: each asks from the place of its own first speech token.
        per_frame = self.speech.per_frame
        queries = places[: frames * per_frame : per_frame].expand(len(memory), -1, -1)
        for layer in self.decoder:
            queries = layer(queries, memory)
        made: Tensor = self.head(self.norm(queries))
        return made.float()


def periodic_encoding(frames: int, width: int, period: int, device: torch.device | str = "cpu") -> Tensor:
    """`positional_encoding` that begins anew after every ``period`` places (FaceFormer, Fan et al. 2022, eq. 3)."""
    return positional_encoding(period, width, device)[torch.arange(frames, device=device) % period]


def padded(coefficients: Tensor, size: int) -> Tensor:
    """Coefficients [..., n] with zeros, which are the mean face's, up to [..., size].

    Raises:
        DubbenchError: if n is larger.
    """
    count = coefficients.shape[-1]
    if count > size:
        raise DubbenchError(
            f"the face model has {count} coefficients where the network takes {size}; give --model.shapes and "
            "--model.expressions at least the face model's numbers"
        )
    return F.pad(coefficients, (0, size - count))


def expression_losses(face: LinearFaceModel, made: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Both terms of L_a2e, unweighted; coefficients that the face model does not have are not looked at.

    Eq. 4 poses both faces, of one shape, before it compares them. In a linear model the shape cancels, and so does the
    translation; a rotation changes no distance. So the vertex term is that of the expression offsets alone. The paper
    does not name its unit; here it is `VERTEX_UNIT`. As both equations have it, coefficients and vertices are summed;
    the vertices as if there were `MOUTH` of them, so that a weight means the same with every face model.

    Args:
        face: face model of E_f expression coefficients.
        made: [B, T, E], E at least E_f.
        truth: [B, T, E_f] or longer.

    Returns:
        ``expression`` (eq. 3), and ``vertices`` (eq. 4) of the mouth, the face model's region ``lips``.
    """
    count = face.sizes[2]
    error = made[..., :count].float() - truth[..., :count].float()
    basis = face.expression_basis[:, face.regions["lips"]].flatten(1)
    with torch.autocast(error.device.type, enabled=False):
        moved = error @ basis / VERTEX_UNIT
    return {"expression": error.square().sum(-1).mean(), "vertices": 3 * MOUTH * moved.square().mean()}
