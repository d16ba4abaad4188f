"""Symmetric contrastive loss over the windows of all processes, and of other moments of each window's own clip."""

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import functional as F

from dubbench.errors import DubbenchError
from dubbench.models.layers.gather import gathered


def contrast(
    seen: Tensor,
    heard: Tensor,
    scale: Tensor,
    *,
    others: Tensor | None = None,
    there: Tensor | None = None,
    told_apart: Tensor | None = None,
) -> Tensor:
    """What is seen finds its own speech among all speech, and speech its own frames among all frames.

    A symmetric cross-entropy with the diagonal of the similarity matrix as the right answers. Each process has its own
    windows' share: the mean over processes, which distributed training takes of gradients, is the loss of the whole
    batch. All must have equally many windows.

    Args:
        seen: unit vectors [B, d] of B windows' frames.
        heard: unit vectors [B, d] of their speech.
        scale: one over the temperature.
        others: unit vectors [B, K, d], speech of other moments of each window's own clip, more columns of its row.
        there: bool [B, K], which of ``others`` there are; all of them by default.
        told_apart: bool [B, P * B], which windows of the P processes are negatives of each other; by default all but a
            window itself. The diagonal counts whatever it says.

    Returns:
        Scalar.

    Raises:
        DubbenchError: if it is to be learnt from and there is no negative, so that it is zero whatever is learnt.
    """
    with torch.autocast(seen.device.type, enabled=False):
        seen, heard, scale = seen.float(), heard.float(), scale.float()
        target = torch.arange(len(seen), device=seen.device)
        if dist.is_available() and dist.is_initialized():
            target = target + dist.get_rank() * len(seen)
        to_speech, to_frames = (own @ gathered(other).T * scale for own, other in ((seen, heard), (heard, seen)))
        if told_apart is not None:
            left_out = ~told_apart.scatter(1, target[:, None], value=True)
            to_speech, to_frames = (each.masked_fill(left_out, float("-inf")) for each in (to_speech, to_frames))
        if others is not None:
            more = torch.einsum("bd,bkd->bk", seen, others.float()) * scale
            more = more if there is None else more.masked_fill(~there, float("-inf"))
            to_speech = torch.cat([to_speech, more], 1)
        if len(seen) == 1 and torch.is_grad_enabled() and int(to_speech.isfinite().sum()) == 1:
            raise DubbenchError(
                "a batch of one window has nothing to be told from, and a contrastive loss of it is zero whatever is "
                "learnt; give --data.batch_size 2 or more"
            )
        return (F.cross_entropy(to_speech, target) + F.cross_entropy(to_frames, target)) / 2
