"""The thin torchmetrics class around a metric function: the mean over samples, exact over batches and processes."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric


class SampleMean(Metric):
    """Mean over samples of a function that gives one value a sample; a sub-class names the function.

    Sums are float64, so neither the batch size nor the number of processes changes the digits that are printed.

    Attributes:
        unit: what a value is measured in.
    """

    is_differentiable = False
    full_state_update = False
    unit: ClassVar[str] = ""
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a sample."""
        raise TypeError(f"{type(self).__name__} names no function of its own")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add a batch; shapes and ranges as the metric's function takes them."""
        self.add(self.values(pred, target))

    def add(self, values: Tensor) -> None:
        """Add a batch's values [N], from whatever device."""
        self.total += values.sum().to(self.total.device)
        self.count += len(values)

    def compute(self) -> Tensor:
        """Mean over all samples so far, NaN before the first."""
        return self.total / self.count
