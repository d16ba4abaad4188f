"""The running average of a generator's weights, which is what dubs."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class RunningAverage(AveragedModel):
    """Exponential average whose decay rises to ``decay``: else a run of hundreds of batches keeps its first weights.

    It begins as the weights after the first step. It learns by nothing else.

    Args:
        model: whose parameters are averaged, and whose buffers are taken as they are.
        decay: what is kept of the average a step, at most.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay
        self.requires_grad_(False)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Follow a step of the model; the device, which counts the steps, is not waited for as torch's own would."""
        count = self.n_averaged.float()
        keep = torch.where(count > 0, ((1 + count) / (10 + count)).clamp(max=self.decay), 0.0)
        pairs = zip(self.module.parameters(), model.parameters(), strict=True)
        # What both share, a frozen part, stays as it is to the last bit.
        own = [(average, weight.detach()) for average, weight in pairs if average is not weight]
        averages: list[Tensor] = [average for average, _ in own]
        weights = [weight for _, weight in own]
        torch._foreach_mul_(averages, keep)
        torch._foreach_add_(averages, torch._foreach_mul(weights, 1 - keep))
        for average, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            average.copy_(buffer)
        self.n_averaged += 1
