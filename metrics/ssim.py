"""Structural similarity (Wang et al. 2004) as scikit-image computes it."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import PixelMetric, Pixels
from dubbench.metrics.common.images import check_boxes, grey_levels

DEFINITIONS = (
    Definition(
        name="ssim",
        text="SSIM, 11-tap Gaussian of sigma 1.5, population covariance, border of 5 left out, mean of RGB",
        unit="1",
        better="higher",
        version=1,
        needs="pixels",
        order=20,
        title="SSIM",
        reference=(
            "scikit-image `structural_similarity(gaussian_weights=True, sigma=1.5, "
            "use_sample_covariance=False)`, data range 255"
        ),
        deviation="none; torchmetrics also averages a reflected border (+0.001 to +0.010)",
        reached="4e-15 (1e-9)",
    ),
    Definition(
        name="ssim_mouth",
        text="mean of the SSIM map inside the box of psnr_mouth",
        unit="1",
        better="higher",
        version=1,
        needs="pixels",
        order=60,
        title="SSIM (mouth)",
        reference="as `ssim`",
        deviation="none but for the box",
        reached="4e-15 (1e-9)",
    ),
)

RADIUS = 5
SIGMA = 1.5
BLOCK = 48
C1 = (0.01 * 255.0) ** 2
C2 = (0.03 * 255.0) ** 2


def ssim(pred: Tensor, target: Tensor, boxes: Tensor | None = None) -> Tensor:
    """Mean of the SSIM map, a value a sample.

    The Gaussian window has 11 taps and sigma 1.5, covariances are those of the population, the data range is 255,
    k1 0.01, k2 0.03; the map covers pixels at least 5 from the border and is averaged over them and the three
    channels. This is scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=255)``; torchmetrics also averages a reflected border.

    Args:
        pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1], H and W at least 11.
        target: as ``pred``.
        boxes: [N, 4] integers x0, y0, x1, y1: the map is averaged over the window centres inside, so pixels up to
            5 outside a box still enter through the window.

    Returns:
        [N] float64, 1 for equal images.

    Raises:
        DubbenchError: on other shapes, types or ranges, and when a box holds no window centre.
    """
    left, right = grey_levels(pred, target)
    height, width = left.shape[-2:]
    if min(height, width) <= 2 * RADIUS:
        raise DubbenchError(f"SSIM needs images of at least 11 x 11 pixels, not {width} x {height}; enlarge them")
    luminance, contrast = ssim_maps(left, right)
    return ssim_mean(luminance * contrast, boxes)


def ssim_mean(full: Tensor, boxes: Tensor | None = None) -> Tensor:
    """Mean of SSIM maps over all of them, or over the window centres inside boxes, as `ssim` defines it.

    Args:
        full: [N, 3, H - 10, W - 10] SSIM maps of images [N, 3, H, W].
        boxes: [N, 4] integers x0, y0, x1, y1 in pixels of the images.

    Returns:
        [N].
    """
    if boxes is None:
        return full.mean(dim=(1, 2, 3))
    height, width = (side + 2 * RADIUS for side in full.shape[-2:])
    regions = check_boxes(boxes, len(full), width, height)
    return torch.stack([_inside(*pair) for pair in zip(full, regions, strict=True)])


def _inside(full: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    """Mean of a map [3, H - 10, W - 10] over the window centres in ``box``."""
    x0, y0, x1, y1 = (max(edge - RADIUS, 0) for edge in box)
    region = full[:, y0:y1, x0:x1]
    if not region.numel():
        raise DubbenchError(f"box {box} lies in the outer 5 pixels, where SSIM has no value; take a larger one")
    return region.mean()


def ssim_maps(pred: Tensor, target: Tensor, reflect: bool = False) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure maps, whose product is the SSIM map.

    Args:
        pred: [N, C, H, W] floating, 0..255.
        target: as ``pred``.
        reflect: reflect at the border and cover every pixel, else cover only whole windows.

    Returns:
        Two maps [N, C, H, W], or [N, C, H - 10, W - 10] without ``reflect``.
    """
    images = torch.cat((pred, target, pred * pred, target * target, pred * target))
    if reflect:
        images = functional.pad(images, (RADIUS,) * 4, mode="reflect")
    blurred = _blur(_blur(images, -2), -1)
    mean_p, mean_t, square_p, square_t, product = blurred.reshape(5, -1, *blurred.shape[1:]).unbind()
    # Rounding can leave a variance of a flat patch below zero, and the ratio above one.
    variance = (square_p - mean_p * mean_p).clamp(min=0) + (square_t - mean_t * mean_t).clamp(min=0)
    luminance = (2 * mean_p * mean_t + C1) / (mean_p * mean_p + mean_t * mean_t + C1)
    contrast = (2 * (product - mean_p * mean_t) + C2) / (variance + C2)
    return luminance, contrast


def _blur(images: Tensor, dim: int) -> Tensor:
    """Gaussian window along ``dim``, -2 or -1, where it lies inside: that side becomes 10 shorter.

    Products with small banded matrices: in float64 on a CPU ten times as fast as a convolution.
    """
    band = _band(images.dtype, images.device)
    length = images.shape[dim] - 2 * RADIUS
    parts = []
    for start in range(0, length, BLOCK):
        size = min(BLOCK, length - start)
        part, taps = images.narrow(dim, start, size + 2 * RADIUS), band[:size, : size + 2 * RADIUS]
        parts.append(taps @ part if dim == -2 else part @ taps.T)
    return torch.cat(parts, dim)


@lru_cache
def _band(dtype: torch.dtype, device: torch.device) -> Tensor:
    """[BLOCK, BLOCK + 10] matrix whose row i holds the Gaussian window from column i on."""
    taps = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64) / SIGMA).square())
    band = torch.zeros(BLOCK, BLOCK + 2 * RADIUS, dtype=torch.float64)
    for row in range(BLOCK):
        band[row, row : row + 2 * RADIUS + 1] = taps / taps.sum()
    return band.to(device, dtype)


def _map(pixels: Pixels) -> Tensor:
    luminance, contrast = pixels.once(ssim_maps)
    return luminance * contrast


COMPUTE: dict[str, PixelMetric] = {
    "ssim": lambda pixels: ssim_mean(_map(pixels)),
    "ssim_mouth": lambda pixels: ssim_mean(_map(pixels), pixels.mouth),
}
