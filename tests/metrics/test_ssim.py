from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from dubbench.errors import DubbenchError
from dubbench.metrics import ms_ssim, ssim
from tests.metrics.conftest import Golden, Metric, Pair

SKIMAGE = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 255,
    "channel_axis": 2,
    "full": True,
}


def skimage_ssim(pred: Tensor, target: Tensor) -> tuple[float, NDArray[np.float64]]:
    reference: Callable[..., tuple[float, NDArray[np.float64]]] = structural_similarity
    return reference(pred.permute(1, 2, 0).numpy(), target.permute(1, 2, 0).numpy(), **SKIMAGE)


def test_ssim_golden(golden_pairs: Golden) -> None:
    first, second, golden = golden_pairs
    assert ssim(first, second).tolist() == pytest.approx([pair["ssim"] for pair in golden["pairs"]], abs=1e-9)


def test_ssim_is_skimage_on_odd_sizes(pair: Pair) -> None:
    for value, pred, target in zip(ssim(*pair), *pair, strict=True):
        assert float(value) == pytest.approx(skimage_ssim(pred, target)[0], abs=1e-9)


@pytest.mark.parametrize("size", [11, 12, 58, 59])
def test_ssim_of_small_images(pair: Pair, size: int) -> None:
    """Sizes around one window and around one block of the banded product."""
    pred, target = (images[..., :size, : size + 1].contiguous() for images in pair)
    assert float(ssim(pred, target)[0]) == pytest.approx(skimage_ssim(pred[0], target[0])[0], abs=1e-9)


def test_ssim_in_a_box_is_the_mean_of_the_map_there(pair: Pair) -> None:
    pred, target = pair
    boxes = torch.tensor([[40, 50, 90, 80], [0, 0, 30, 179]])
    values = ssim(pred, target, boxes)
    full = skimage_ssim(pred[0], target[0])[1]
    assert float(values[0]) == pytest.approx(full[50:80, 40:90].mean(), abs=1e-9)
    full = skimage_ssim(pred[1], target[1])[1]  # at the border, only whole windows count
    assert float(values[1]) == pytest.approx(full[5:174, 5:30].mean(), abs=1e-9)


def test_ssim_refuses_what_has_no_window() -> None:
    small = torch.zeros(1, 3, 10, 40)
    with pytest.raises(DubbenchError, match="11 x 11"):
        ssim(small, small)
    image = torch.zeros(1, 3, 40, 40)
    with pytest.raises(DubbenchError, match="outer 5 pixels"):
        ssim(image, image, torch.tensor([[0, 0, 5, 40]]))


def test_ms_ssim_golden(golden_pairs: Golden) -> None:
    first, second, golden = golden_pairs
    values = ms_ssim(first, second).tolist()
    assert values == pytest.approx([pair["ms_ssim_relu_float64"] for pair in golden["pairs"]], abs=1e-8)
    assert values == pytest.approx([pair["ms_ssim_relu"] for pair in golden["pairs"]], abs=2e-5)


def test_ms_ssim_is_torchmetrics_on_odd_sizes(pair: Pair) -> None:
    pred, target = (images[:, :1].double().repeat(1, 3, 1, 1) for images in pair)
    pred[1] = 255 - pred[1]  # negative correlation, so that relu matters
    reference = multiscale_structural_similarity_index_measure(
        pred, target, reduction="none", data_range=255.0, normalize="relu"
    )
    torch.testing.assert_close(ms_ssim(pred / 255, target / 255), reference, rtol=0, atol=1e-9)
    assert reference[1] == 0


@pytest.mark.parametrize("size", [96, 161, 175])
def test_ms_ssim_needs_176_pixels(size: int) -> None:
    image = torch.zeros(1, 3, 200, size)
    with pytest.raises(DubbenchError, match="176 x 176 pixels, not"):
        ms_ssim(image, image)


@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_bounds_and_order(metric: Metric, pair: Pair) -> None:
    pred, target = pair
    assert metric(target, target).tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
    less, more = metric(pred, target)
    assert 0 < more < less < 1
    torch.testing.assert_close(metric(target, pred), metric(pred, target), rtol=0, atol=1e-12)
    assert np.isfinite(metric(torch.zeros(1, 3, 176, 176), torch.ones(1, 3, 176, 176)).item())
