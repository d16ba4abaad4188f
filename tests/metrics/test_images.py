import pytest
import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics import ms_ssim, mse, psnr, ssim
from tests.metrics.conftest import Metric

PIXEL_METRICS = (psnr, ssim, ms_ssim, mse)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (torch.rand(2, 3, 180, 180) * 2 - 1, r"\[-1, 1\] by"),
        (torch.rand(2, 3, 180, 180) * 255, r"in \[0, 1\]"),
        (torch.full((2, 3, 180, 180), float("nan")), "nan"),
        (torch.zeros(2, 180, 180, 3, dtype=torch.uint8), r"\[N, 3, H, W\]"),
        (torch.zeros(3, 180, 180, dtype=torch.uint8), r"\[N, 3, H, W\]"),
        (torch.zeros(2, 3, 180, 180, dtype=torch.int64), "int64"),
        (torch.zeros(0, 3, 180, 180, dtype=torch.uint8), "no pixel"),
    ],
)
def test_other_shapes_types_and_ranges_are_refused(metric: Metric, bad: Tensor, words: str) -> None:
    with pytest.raises(DubbenchError, match=words):
        metric(bad, bad)
    with pytest.raises(DubbenchError):
        metric(torch.zeros(2, 3, 180, 180, dtype=torch.uint8), bad)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_swapped_sides_are_refused(metric: Metric) -> None:
    with pytest.raises(DubbenchError, match="differ in shape"):
        metric(torch.zeros(1, 3, 180, 200), torch.zeros(1, 3, 200, 180))


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_uint8_and_unit_range_floats_are_the_same_image(metric: Metric) -> None:
    generator = torch.Generator().manual_seed(1)
    pred, target = torch.randint(0, 256, (2, 2, 3, 180, 180), generator=generator, dtype=torch.uint8)
    torch.testing.assert_close(metric(pred.double() / 255, target.double() / 255), metric(pred, target))
    torch.testing.assert_close(metric(pred, target.double() / 255), metric(pred, target))


@pytest.mark.parametrize("metric", [psnr, mse, ssim])
@pytest.mark.parametrize("box", [[5, 5, 5, 9], [-1, 0, 9, 9], [0, 0, 21, 9], [9, 9, 3, 3]])
def test_boxes_must_hold_pixels_of_the_image(metric: Metric, box: list[int]) -> None:
    image = torch.zeros(1, 3, 20, 20)
    with pytest.raises(DubbenchError, match="empty or leaves"):
        metric(image, image, torch.tensor([box]))
    with pytest.raises(DubbenchError, match="one an image"):
        metric(image, image, torch.tensor([[1, 1, 9, 9], [1, 1, 9, 9]]))
    with pytest.raises(DubbenchError, match="integers"):
        metric(image, image, torch.tensor([[1.0, 1.0, 9.0, 9.0]]))
