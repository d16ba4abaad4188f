from collections.abc import Callable

import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from dubbench.metrics import mse, psnr
from tests.metrics.conftest import Golden, Pair


def test_golden(golden_pairs: Golden) -> None:
    first, second, golden = golden_pairs
    assert psnr(first, second).tolist() == pytest.approx([pair["psnr_db"] for pair in golden["pairs"]], abs=1e-4)
    assert mse(first, second).tolist() == pytest.approx([pair["mse"] for pair in golden["pairs"]], rel=1e-9)


def test_skimage_on_odd_sizes(pair: Pair) -> None:
    reference: Callable[..., float] = peak_signal_noise_ratio
    for value, error, pred, target in zip(psnr(*pair), mse(*pair), *pair, strict=True):
        assert float(value) == pytest.approx(reference(target.numpy(), pred.numpy()), abs=1e-9)
        assert float(error) == pytest.approx(mean_squared_error(target.numpy(), pred.numpy()), rel=1e-9)


def test_differences_of_uint8_do_not_wrap() -> None:
    """Noise of 20 grey levels, up or down: 20 log10(255 / 20), which wrapping turns into 29 dB and more."""
    target = torch.full((1, 3, 32, 32), 10, dtype=torch.uint8)
    pred = target.clone()
    pred[..., ::2] += 20
    darker, brighter = torch.full_like(target, 30), torch.full_like(target, 10)
    assert float(psnr(darker, brighter)) == pytest.approx(22.1102, abs=1e-4)
    assert float(psnr(brighter, darker)) == pytest.approx(22.1102, abs=1e-4)
    assert float(psnr(pred, target)) == pytest.approx(22.1102 + 3.0103, abs=1e-4)


def test_equal_images_are_infinite(pair: Pair) -> None:
    assert psnr(pair[0], pair[0]).tolist() == [float("inf")] * 2
    assert mse(pair[0], pair[0]).tolist() == [0.0] * 2


def test_a_box_counts_alone(pair: Pair) -> None:
    pred, target = pair
    boxes = torch.tensor([[3, 20, 33, 60], [100, 7, 183, 179]])
    for k, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        cut = (slice(k, k + 1), slice(None), slice(y0, y1), slice(x0, x1))
        assert float(psnr(pred, target, boxes)[k]) == pytest.approx(float(psnr(pred[cut], target[cut])), abs=1e-9)
        assert float(mse(pred, target, boxes)[k]) == pytest.approx(float(mse(pred[cut], target[cut])), rel=1e-9)
