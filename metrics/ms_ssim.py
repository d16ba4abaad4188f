"""Multi-scale structural similarity (Wang et al. 2003) as torchmetrics computes it."""

from torch import Tensor
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import PixelMetric, Pixels
from dubbench.metrics.common.images import grey_levels
from dubbench.metrics.ssim import ssim_maps

DEFINITIONS = (
    Definition(
        name="ms_ssim",
        text="MS-SSIM, five scales, 11-tap Gaussian of sigma 1.5, relu",
        unit="1",
        better="higher",
        version=1,
        needs="pixels",
        order=30,
        title="MS-SSIM",
        reference="torchmetrics `multiscale_structural_similarity_index_measure`, `normalize='relu'`",
        deviation="own code, since theirs takes seconds a frame in float64; sides of at least 176 px",
        reached="5e-10 against float64, 9e-6 against float32 (2e-5)",
    ),
)

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST = 176


def ms_ssim(pred: Tensor, target: Tensor) -> Tensor:
    """Product over five scales of contrast terms and the last scale's SSIM, a value a sample.

    Equal to torchmetrics' ``multiscale_structural_similarity_index_measure`` in float64 with an 11-tap Gaussian of
    sigma 1.5, data range 255, k1 0.01, k2 0.03, its default betas and ``normalize="relu"``. The contrast terms
    leave out the border, the last SSIM term reflects it. Computed here because torchmetrics' two-dimensional
    convolution takes seconds a frame in float64 on a CPU.

    Args:
        pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1], H and W at least 176.
        target: as ``pred``.

    Returns:
        [N] float64, 1 for equal images.

    Raises:
        DubbenchError: on other shapes, types or ranges, or below 176 pixels.
    """
    left, right = grey_levels(pred, target)
    check_size(left)
    return ms_ssim_scales(left, right, ssim_maps(left, right)[1])


def check_size(images: Tensor) -> None:
    """Raise `DubbenchError` if ``images`` [N, 3, H, W] are too small for five scales."""
    height, width = images.shape[-2:]
    if min(height, width) < SMALLEST:
        raise DubbenchError(
            f"MS-SSIM needs images of at least {SMALLEST} x {SMALLEST} pixels, not {width} x {height}; "
            "resize both to the protocol's size first"
        )


def ms_ssim_scales(left: Tensor, right: Tensor, contrast: Tensor) -> Tensor:
    """MS-SSIM of grey levels whose first contrast map is there already; see `ms_ssim`.

    Args:
        left: [N, 3, H, W] grey levels.
        right: as ``left``.
        contrast: second map of `ssim_maps` of both.

    Returns:
        [N].
    """
    result = contrast.mean(dim=(1, 2, 3)).relu() ** BETAS[0]
    for beta in BETAS[1:-1]:
        left, right = functional.avg_pool2d(left, 2), functional.avg_pool2d(right, 2)
        result *= ssim_maps(left, right)[1].mean(dim=(1, 2, 3)).relu() ** beta
    left, right = functional.avg_pool2d(left, 2), functional.avg_pool2d(right, 2)
    luminance, contrast = ssim_maps(left, right, reflect=True)
    return result * (luminance * contrast).mean(dim=(1, 2, 3)).relu() ** BETAS[-1]


def _ms_ssim(pixels: Pixels) -> Tensor:
    check_size(pixels.pred)
    return ms_ssim_scales(*pixels.levels, pixels.once(ssim_maps)[1])


COMPUTE: dict[str, PixelMetric] = {"ms_ssim": _ms_ssim}
