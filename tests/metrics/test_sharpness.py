"""Sharpness of the mouth beside the ground truth's."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics import Suite, sharpness
from dubbench.metrics.common.frames import Frames, Truth
from tests.metrics.conftest import Pair

BOXES = torch.tensor([[3, 20, 33, 60], [100, 0, 183, 179]])


def by_opencv(images: Tensor, boxes: Tensor) -> NDArray[np.float64]:
    found = []
    for image, (x0, y0, x1, y1) in zip(images, boxes.tolist(), strict=True):
        luma = np.tensordot(np.array([0.299, 0.587, 0.114]), image.double().numpy(), 1)
        found.append(cv2.Laplacian(luma, cv2.CV_64F, ksize=1)[y0:y1, x0:x1].var() + 1)
    return np.array(found)


def test_it_is_opencvs(pair: Pair) -> None:
    pred, target = pair
    wanted = by_opencv(pred, BOXES) / by_opencv(target, BOXES)
    assert sharpness(pred, target, BOXES).tolist() == pytest.approx(wanted.tolist(), rel=1e-9)
    assert sharpness(target, target, BOXES).tolist() == [1.0, 1.0]


def test_stripes_by_hand() -> None:
    """Stripes of one pixel, 0 and 2a: second differences are 4a up and down, their variance 16 a^2."""
    stripes = torch.zeros(1, 3, 20, 20)
    stripes[..., ::2] = 1
    box = torch.tensor([[4, 4, 14, 14]])
    for a in (10, 40):
        weak = (stripes * 2 * a).to(torch.uint8)
        strong = (stripes * 4 * a).to(torch.uint8)
        assert float(sharpness(weak, strong, box)) == pytest.approx((16 * a**2 + 1) / (64 * a**2 + 1))
    flat = torch.full_like(stripes, 0.5)
    assert float(sharpness(flat, flat, box)) == 1
    assert float(sharpness(flat, strong, box)) == pytest.approx(1 / (64 * 40**2 + 1))


def test_blur_lowers_it_and_what_lies_outside_the_box_does_not_count(pair: Pair) -> None:
    target, _ = pair
    image = target[0].permute(1, 2, 0).numpy()
    soft = torch.from_numpy(cv2.GaussianBlur(image, (0, 0), 1.5)).permute(2, 0, 1)[None]
    box = BOXES[:1]
    assert 0 < float(sharpness(soft, target[:1], box)) < 0.5
    inside = target[:1].clone()
    inside[..., 70:, :] = 0
    assert float(sharpness(inside, target[:1], box)) == 1


def test_a_clip_is_the_geometric_mean_of_its_frames(pair: Pair) -> None:
    pred, target = pair
    nothing = torch.zeros(2, 68, 2)
    no = torch.zeros(2, dtype=torch.bool)
    with Suite(["sharpness_mouth"]).clip(None) as clip:
        for k in range(2):
            part = slice(k, k + 1)
            truth = Truth(target[part], BOXES[part], nothing[part], no[part])
            clip.add(Frames(truth, pred[part], nothing[part], no[part]))
    wanted = np.sqrt(np.prod(by_opencv(pred, BOXES) / by_opencv(target, BOXES)))
    assert clip.finish().values["sharpness_mouth"] == pytest.approx(wanted, rel=1e-9)


def test_wrong_boxes_are_told(pair: Pair) -> None:
    with pytest.raises(DubbenchError, match="is empty or leaves"):
        sharpness(*pair, torch.tensor([[0, 0, 0, 4], [0, 0, 4, 4]]))
