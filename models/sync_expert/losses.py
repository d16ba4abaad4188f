"""What the sync expert learns by: RADIO's eqs. 4 and 5, or a contrastive loss, which overfits a small corpus less."""

import torch
from torch import Tensor
from torch.nn import functional as F


def sync_probability(visual: Tensor, speech: Tensor) -> Tensor:
    """Cosine of embeddings [..., E] that are never negative, so a probability [...] (RADIO eq. 4)."""
    return F.cosine_similarity(visual.float(), speech.float(), dim=-1)


def sync_loss(probability: Tensor, *, in_sync: bool) -> Tensor:
    """Binary cross-entropy of sync probabilities that share one label (RADIO eq. 5)."""
    # Rounding can take a cosine past 1, where the logarithm of the rest is not defined.
    probability = probability.float().clamp(1e-6, 1 - 1e-6)
    return -(probability if in_sync else 1 - probability).log().mean()


def contrastive_loss(logits: Tensor, keep: Tensor) -> Tensor:
    """Symmetric cross-entropy of similarity logits [B, N, N] with the diagonal as the right answers.

    Args:
        logits: similarities over a temperature; rows lips, columns speech.
        keep: bool [N, N], the pairs that count; the diagonal must be among them.
    """
    logits = logits.float().masked_fill(~keep, float("-inf"))
    target = torch.arange(logits.shape[-1], device=logits.device).expand(logits.shape[:-1])
    rows = F.cross_entropy(logits.flatten(0, 1), target.flatten())
    columns = F.cross_entropy(logits.transpose(1, 2).flatten(0, 1), target.flatten())
    return (rows + columns) / 2
