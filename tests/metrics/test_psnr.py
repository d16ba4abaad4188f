from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from dubbench.metrics import PSNR, Suite, mse, psnr
from dubbench.metrics.common.frames import Frames, Truth
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


def clip_value(pred: torch.Tensor, target: torch.Tensor, mouth: torch.Tensor) -> dict[str, float]:
    """What the suite says of a clip that comes in two unequal chunks."""
    with Suite(["psnr", "psnr_mouth", "mse"]).clip(None) as clip:
        for rows in (slice(0, 3), slice(3, len(pred))):
            count = len(pred[rows])
            points, seen = torch.zeros(count, 68, 2), torch.ones(count, dtype=torch.bool)
            truth = Truth(crops=target[rows], mouth=mouth[rows], points=points, detected=seen)
            clip.add(Frames(truth=truth, crops=pred[rows], points=points, found=seen))
    return clip.finish().values


def test_a_clip_has_the_psnr_of_its_mean_error_and_is_finite_with_frames_passed_through() -> None:
    """Three of five frames are copies, the others 4 and 8 grey levels off, but in half of one mouth: (16 + 64) / 5."""
    target = torch.full((5, 3, 24, 32), 100, dtype=torch.uint8)
    mouth = torch.tensor([[8, 8, 16, 16]] * 5)
    pred = target.clone()
    pred[1] += 4
    pred[4] += 8
    pred[4, :, :, 8:12] -= 8
    values = clip_value(pred, target, mouth)
    whole, lips = (16 + 64 * 7 / 8) / 5, (16 + 64 / 2) / 5
    assert values["mse"] == pytest.approx(whole)
    assert values["psnr"] == pytest.approx(10 * np.log10(255**2 / whole))
    assert values["psnr_mouth"] == pytest.approx(10 * np.log10(255**2 / lips))
    metric = PSNR()
    metric.update(pred[:2], target[:2])
    metric.update(pred[2:], target[2:])
    assert float(metric.compute()) == pytest.approx(values["psnr"])


def test_a_clip_of_copies_alone_stays_infinite() -> None:
    target = torch.full((4, 3, 24, 32), 100, dtype=torch.uint8)
    values = clip_value(target, target, torch.tensor([[8, 8, 16, 16]] * 4))
    assert values["psnr"] == values["psnr_mouth"] == float("inf")
