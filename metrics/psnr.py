"""Peak signal-to-noise ratio."""

from math import log10

import torch
from torch import Tensor

from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import ClipMean, PixelMetric
from dubbench.metrics.mse import mse

DEFINITIONS = (
    Definition(
        name="psnr",
        text="10 log10(255^2 / MSE), of a clip by the mean MSE of its frames",
        unit="dB",
        better="higher",
        version=2,
        needs="pixels",
        order=10,
        title="PSNR",
        reference="scikit-image `peak_signal_noise_ratio`",
        deviation="none a frame; over a clip the MSE is averaged, not its logarithm: `inf` if every frame is equal",
        reached="equal (1e-4 dB)",
    ),
    Definition(
        name="psnr_mouth",
        text="PSNR inside the box of the ground truth's mouth landmarks, widened by 25 % a side",
        unit="dB",
        better="higher",
        version=2,
        needs="pixels",
        order=50,
        title="PSNR (mouth)",
        reference="scikit-image `peak_signal_noise_ratio`",
        deviation="none but for the box",
        reached="equal (1e-4 dB)",
    ),
)


def psnr(pred: Tensor, target: Tensor, boxes: Tensor | None = None) -> Tensor:
    """10 log10(255^2 / MSE) in dB over all pixels and channels of a sample.

    Args:
        pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1].
        target: as ``pred``.
        boxes: [N, 4] integers x0, y0, x1, y1: only these pixels count.

    Returns:
        [N] float64; ``inf`` for equal images. Of frames of a clip these are not averaged but by `MEANS`: one frame that
        is a copy would make the mean infinite.

    Raises:
        DubbenchError: on other shapes, types or ranges.
    """
    return 10.0 * torch.log10(255.0**2 / mse(pred, target, boxes))


COMPUTE: dict[str, PixelMetric] = {
    "psnr": lambda pixels: psnr(pixels.pred, pixels.target),
    "psnr_mouth": lambda pixels: psnr(pixels.pred, pixels.target, pixels.mouth),
}
# Errors are pooled over frames: a clip's value is finite unless all its frames are equal.
POOLED = ClipMean(lambda values: 10 ** (-values / 10), lambda mean: -10 * log10(mean) if mean else float("inf"))
MEANS = {"psnr": POOLED, "psnr_mouth": POOLED}
