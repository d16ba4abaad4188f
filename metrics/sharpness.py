"""How sharp a mouth is beside the filmed one."""

from math import exp

import torch
from torch import Tensor
from torch.nn import functional

from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import ClipMean, PixelMetric
from dubbench.metrics.common.images import check_boxes, grey_levels

DEFINITIONS = (
    Definition(
        name="sharpness_mouth",
        text=(
            "variance of the luma's Laplacian inside the box of psnr_mouth, plus 1, over the ground truth's; "
            "of a clip the geometric mean of its frames"
        ),
        unit="1",
        better="",
        version=1,
        needs="pixels",
        order=65,
        minor=True,
        title="Sharpness (mouth)",
        reference="OpenCV `Laplacian(ksize=1)` in float64",
        deviation="the added 1 (grey levels^2) is ours, for boxes without any edge",
        reached="7e-16 (1e-9)",
    ),
)

LUMA = (0.299, 0.587, 0.114)
KERNEL = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
FLOOR = 1.0


def sharpness(pred: Tensor, target: Tensor, boxes: Tensor) -> Tensor:
    """Variance of the Laplacian inside boxes over that of the target, a value a sample; noise counts as sharpness, too.

    Args:
        pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1].
        target: as ``pred``.
        boxes: [N, 4] integers x0, y0, x1, y1.

    Returns:
        [N] float64; 1 for equal images, below 1 where the prediction is softer, above where it is sharper or noisier.

    Raises:
        DubbenchError: on other shapes, types or ranges.
    """
    left, right = (_laplacian(levels) for levels in grey_levels(pred, target))
    height, width = left.shape[-2:]
    regions = check_boxes(boxes, len(left), width, height)
    variances = (
        [image[y0:y1, x0:x1].var(unbiased=False) + FLOOR for image, (x0, y0, x1, y1) in zip(side, regions, strict=True)]
        for side in (left, right)
    )
    ours, theirs = map(torch.stack, variances)
    return ours / theirs


def _laplacian(levels: Tensor) -> Tensor:
    """The second differences of the luma of RGB images [N, 3, H, W], mirrored at the border: [N, H, W]."""
    luma = torch.einsum("nchw,c->nhw", levels, levels.new_tensor(LUMA))[:, None]
    padded = functional.pad(luma, (1, 1, 1, 1), mode="reflect")
    return functional.conv2d(padded, levels.new_tensor(KERNEL)[None, None])[:, 0]


COMPUTE: dict[str, PixelMetric] = {
    "sharpness_mouth": lambda pixels: sharpness(pixels.pred, pixels.target, pixels.mouth),
}
# A quarter and four times as sharp are equally far from the truth.
MEANS = {"sharpness_mouth": ClipMean(torch.log, exp)}
