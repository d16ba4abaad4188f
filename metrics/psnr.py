"""Peak signal-to-noise ratio."""

from typing import ClassVar

import torch
from torch import Tensor

from dubbench.metrics.mean import SampleMean
from dubbench.metrics.mse import mse


def psnr(pred: Tensor, target: Tensor, boxes: Tensor | None = None) -> Tensor:
    """10 log10(255^2 / MSE) in dB over all pixels and channels of a sample.

    Args:
        pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1].
        target: as ``pred``.
        boxes: [N, 4] integers x0, y0, x1, y1: only these pixels count.

    Returns:
        [N] float64; ``inf`` for equal images, so the mean over frames is ``inf`` as soon as one frame is a copy.

    Raises:
        DubbenchError: on other shapes, types or ranges.
    """
    return 10.0 * torch.log10(255.0**2 / mse(pred, target, boxes))


class PSNR(SampleMean):
    """Mean over samples of `psnr`, in dB (not the PSNR of the mean error)."""

    higher_is_better = True
    unit: ClassVar[str] = "dB"

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a sample."""
        return psnr(pred, target)
