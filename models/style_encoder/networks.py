"""Style network and its loss, after DiffPoseTalk (Sun et al. 2023, 3.2), whose design PersonaTalk 4.2 takes over."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.models.layers.constants import sent
from dubbench.models.layers.gather import gathered, marks
from dubbench.models.layers.positions import positional_encoding


class StyleNetwork(nn.Module):
    """Transformer encoder over a stretch of motion, averaged over time.

    DiffPoseTalk's released code adds the encoding of one position to all frames, and its styles do not change when
    frames are shuffled. Here every frame gets its own position, as the paper has it.

    Args:
        features: width F of a frame's motion.
        width: D, of the tokens and of the style.
        layers: of the transformer.
        heads: of each layer.
        dropout: in training.
    """

    def __init__(self, features: int, width: int = 128, layers: int = 4, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.embed = nn.Linear(features, width)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, motion: Tensor) -> Tensor:
        """Style [N, D] of motion [N, T, F], any T."""
        tokens = self.embed(motion)
        positions = positional_encoding(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens)
        tokens = self.dropout(tokens + positions)
        encoded: Tensor = self.encoder(tokens)
        return encoded.mean(1)


def same_speaker(speakers: Sequence[str], device: torch.device | str = "cpu") -> Tensor:
    """Pairs of one speaker: bool [N, N] for N names, true on the diagonal."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(speakers))}
    codes = sent(torch.tensor([numbers[name] for name in speakers]), torch.device(device))
    return codes[:, None] == codes


def pair_loss(styles: Tensor, speakers: Sequence[str], temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, eq. 1) of pairs of stretches; negatives are other speakers alone, of all processes.

    A stretch of the same speaker's other clip is no negative, since it has the same style, and no positive either.

    Args:
        styles: [B, 2, D], two stretches of one clip each.
        speakers: B names.
        temperature: tau.
    """
    with torch.autocast(styles.device.type, enabled=False):
        units = F.normalize(styles.float(), dim=-1)
        own, every = (rows.transpose(0, 1).flatten(0, 1) for rows in (units, gathered(units)))
        positive = (units[:, 0] * units[:, 1]).sum(-1).repeat(2) / temperature
        names = sent(marks(speakers), styles.device)
        known = (names[:, None] == gathered(names)).repeat(2, 2)
        negative = (own @ every.T / temperature).masked_fill(known, -torch.inf)
        return (torch.cat([positive[:, None], negative], 1).logsumexp(1) - positive).mean()


def triplet_accuracy(styles: Tensor, speakers: Sequence[str]) -> Tensor:
    """Share of triplets (stretch, another of its speaker, one of another speaker) in their right order.

    Args:
        styles: [N, D].
        speakers: N names.

    Returns:
        Scalar in [0, 1], 0.5 by chance, each stretch that has a triplet counting alike; ties are wrong; NaN without
        a triplet.
    """
    units = F.normalize(styles.float(), dim=-1)
    cosines = units @ units.T
    same = same_speaker(speakers, styles.device)
    other, own = ~same, same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    shares = []
    for row in range(len(cosines)):
        near, far = cosines[row, own[row]], cosines[row, other[row]]
        if near.numel() and far.numel():
            shares.append((near[:, None] > far).float().mean())
    return torch.stack(shares).mean() if shares else torch.tensor(torch.nan, device=styles.device)
