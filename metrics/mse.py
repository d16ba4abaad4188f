"""Mean squared error in squared grey levels."""

import torch
from torch import Tensor

from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import PixelMetric
from dubbench.metrics.common.images import check_boxes, grey_levels

DEFINITIONS = (
    Definition(
        name="mse",
        text="mean squared error over pixels and channels",
        unit="grey levels^2",
        better="lower",
        version=1,
        needs="pixels",
        order=40,
        minor=True,
        title="MSE",
        reference="scikit-image",
        deviation="none; in float64",
        reached="equal (1e-9)",
    ),
)


def mse(pred: Tensor, target: Tensor, boxes: Tensor | None = None) -> Tensor:
    """Mean squared error over all pixels and channels, in squared grey levels (0..255), a value a sample.

    Differences are taken in float64: on uint8 they would wrap modulo 256, which makes noise of 20 grey levels
    look 2.5 dB better than it is.

    Args:
        pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1].
        target: as ``pred``.
        boxes: [N, 4] integers x0, y0, x1, y1: only these pixels count.

    Returns:
        [N] float64, 0 for equal images.

    Raises:
        DubbenchError: on other shapes, types or ranges.
    """
    left, right = grey_levels(pred, target)
    squared = (left - right).square()
    if boxes is None:
        return squared.mean(dim=(1, 2, 3))
    height, width = squared.shape[-2:]
    regions = check_boxes(boxes, len(squared), width, height)
    return torch.stack(
        [image[:, y0:y1, x0:x1].mean() for image, (x0, y0, x1, y1) in zip(squared, regions, strict=True)]
    )


COMPUTE: dict[str, PixelMetric] = {"mse": lambda pixels: mse(pixels.pred, pixels.target)}
