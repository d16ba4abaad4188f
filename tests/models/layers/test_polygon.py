from fractions import Fraction

import pytest
import torch
from torch import Tensor

from dubbench.models.layers.polygon import fill


def slowly_filled(corners: Tensor, size: int) -> list[list[bool]]:
    """The even-odd rule with exact numbers: crossings to the left of a pixel's centre, or on it."""
    points = [(Fraction(float(x)), Fraction(float(y))) for x, y in corners]
    picture = []
    for j in range(size):
        y = Fraction(2 * j + 1, 2)
        crossings = []
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            if (y0 <= y) != (y1 <= y):
                crossings.append(x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        picture.append([sum(at <= Fraction(2 * i + 1, 2) for at in crossings) % 2 == 1 for i in range(size)])
    return picture


@pytest.mark.parametrize(("step", "size"), [(0.0, 60), (0.5, 9), (1.0, 9)])
def test_filling_is_the_even_odd_rule(step: float, size: int) -> None:
    # Beyond the picture, crossing itself, and (with a step) with corners and edges on pixel centres.
    corners = (torch.rand(6, 7, 2) * 2 - 0.5) * size
    corners = (corners / step).round() * step + (0.5 if step == 1 else 0) if step else corners
    expected = torch.tensor([slowly_filled(one, size) for one in corners])
    assert expected.any()
    assert torch.equal(fill(corners, size)[:, 0], expected)


def test_neighbours_share_no_pixel_and_leave_none_out() -> None:
    corners = torch.tensor([[0.5, 0.5], [7.5, 0.5], [7.5, 7.5], [0.5, 7.5]])
    middle = torch.tensor([2.5, 4.3])
    parts = torch.stack([torch.stack([corners[k], corners[(k + 1) % 4], middle]) for k in range(4)])
    covered = fill(parts, 9).sum(0)[0]
    whole = torch.zeros(9, 9, dtype=torch.int64)
    whole[:7, :7] = 1
    assert torch.equal(covered, whole)
