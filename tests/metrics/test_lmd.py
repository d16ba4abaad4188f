from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics import interocular, lmd
from dubbench.metrics.lmd import COMPUTE


@pytest.fixture
def points() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(128, 30, (3, 68, 2)))


def test_one_mouth_point_off_by_one_pixel(points: Tensor) -> None:
    """Centred: the point is off by 19/20 and the other 19 by 1/20 each; uncentred: 1/20 of a pixel in all."""
    moved = points.clone()
    moved[:, 60, 0] += 1
    assert lmd(moved, points, centred=False).tolist() == pytest.approx([1 / 20] * 3)
    assert lmd(moved, points).tolist() == pytest.approx([(19 / 20 + 19 * 1 / 20) / 20] * 3)
    assert lmd(moved, points, region="face", centred=False).tolist() == pytest.approx([1 / 68] * 3)
    assert lmd(moved, points, region="face").tolist() == pytest.approx([2 * 67 / 68 / 68] * 3)


def test_distance_is_euclidean(points: Tensor) -> None:
    """Opposite moves of (3, 4) keep the centre: 5 pixels each, where L1 says 7 and RMS over axes 3.5."""
    moved = points.clone()
    moved[:, 48:58] += torch.tensor([3.0, 4.0])
    moved[:, 58:68] -= torch.tensor([3.0, 4.0])
    assert lmd(moved, points).tolist() == pytest.approx([5.0] * 3)


def test_head_motion_does_not_count_unless_asked(points: Tensor) -> None:
    moved = points + torch.tensor([30.0, -40.0])
    assert lmd(moved, points).tolist() == pytest.approx([0.0] * 3, abs=1e-12)
    assert lmd(moved, points, region="face").tolist() == pytest.approx([0.0] * 3, abs=1e-12)
    assert lmd(moved, points, centred=False).tolist() == pytest.approx([50.0] * 3)


def test_mouth_and_face_are_different_points(points: Tensor) -> None:
    moved = points.clone()
    moved[:, 47] += 7  # last point of an eye
    assert lmd(moved, points).tolist() == [0.0] * 3
    assert min(lmd(moved, points, region="face").tolist()) > 0.1


def test_the_points_outside_the_mouth_are_the_other_48(points: Tensor) -> None:
    moved = points.clone()
    moved[:, 48:] += 7
    assert lmd(moved, points, region="outside", centred=False).tolist() == [0.0] * 3
    moved[:, 0] += torch.tensor([3.0, 4.0])
    assert lmd(moved, points, region="outside", centred=False).tolist() == pytest.approx([5 / 48] * 3)
    # Centred, the point is off by 47/48 of its move, and the others by 1/48 each.
    assert lmd(moved, points, region="outside").tolist() == pytest.approx([5 * 2 * 47 / 48 / 48] * 3)


def test_the_face_is_its_mouth_and_what_is_outside_it_where_all_have_one_centring(points: Tensor) -> None:
    other = points + torch.randn(points.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 9
    found = {name: COMPUTE[name](other, points) for name in COMPUTE}
    whole = (20 * found["lmd_uncentred"] + 48 * found["lmd_outside_uncentred"]) / 68
    torch.testing.assert_close(found["f_lmd_uncentred"], whole)
    # Which is why those that are centred each on their own points say nothing of RealTalk's Table 2.
    assert ((20 * found["lmd"] + 48 * found["lmd_outside_uncentred"]) / 68 - found["f_lmd"]).abs().min() > 1


def test_scale_is_that_of_the_points(points: Tensor) -> None:
    other = points + torch.randn(points.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(lmd(other * 2, points * 2), 2 * lmd(other, points))
    torch.testing.assert_close(
        lmd(other * 2, points * 2) / interocular(points * 2), lmd(other, points) / interocular(points)
    )


def test_interocular_is_between_the_outer_corners(points: Tensor) -> None:
    points[:, 36], points[:, 45] = torch.tensor([10.0, 10.0]).double(), torch.tensor([70.0, 90.0]).double()
    assert interocular(points).tolist() == pytest.approx([100.0] * 3)


def test_what_cannot_be_paired_is_refused(points: Tensor) -> None:
    with pytest.raises(DubbenchError, match="68 landmarks"):
        lmd(points[:, 48:], points[:, 48:])
    with pytest.raises(DubbenchError, match="3 predicted and 2 target"):
        lmd(points, points[:2])
    nose: Any = "nose"
    with pytest.raises(DubbenchError, match="no region 'nose'"):
        lmd(points, points, region=nose)
    missing = points.clone()
    missing[1, 5] = float("nan")
    with pytest.raises(DubbenchError, match="not finite"):
        lmd(missing, points)
    assert lmd(points[:0], points[:0]).tolist() == []
