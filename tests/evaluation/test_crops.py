import json
from pathlib import Path

import numpy as np
import pytest

from dubbench.evaluation.crops import mapped, nose_box
from dubbench.face import ffhq_transform


def test_crop_and_aligned_points_are_the_goldens(shared: Path) -> None:
    points = json.loads((shared / "goldens" / "landmarks_68.json").read_text())["frames"]
    crops = json.loads((shared / "goldens" / "radio_crop.json").read_text())["frames"]
    assert points.keys() == crops.keys()
    for name, golden in crops.items():
        source = np.array(points[name]["landmarks_68"])
        to_source = ffhq_transform(source, 256)
        to_256 = np.linalg.inv(np.vstack([to_source, [0, 0, 1]]))[:2]
        aligned = mapped(to_256[None], source[None])[0]
        np.testing.assert_allclose(aligned, golden["landmarks_68_aligned"], atol=1e-6)
        box, _ = nose_box(aligned, 256)
        left, top = box @ [0, 0, 1]
        right, bottom = box @ [256, 256, 1]
        np.testing.assert_allclose([left, top, right, bottom], golden["box_x0_y0_x1_y1"], atol=1e-6)


def test_mouth_box_is_a_quarter_wider_on_every_side() -> None:
    """A crop from 28 to 228 in aligned pixels: 1.28 crop pixels to each of them."""
    points = np.full((68, 2), 128.0)
    points[29, 1], points[8, 1] = 100.0, 200.0  # the radius is 100
    points[48:68, 0] = np.linspace(108, 148, 20)
    points[48:68, 1] = np.linspace(150, 170, 20)
    box, mouth = nose_box(points, 256)
    np.testing.assert_allclose(box, [[200 / 256, 0, 28], [0, 200 / 256, 28]])
    wide, high = 40 * 1.28, 20 * 1.28
    expected = [80 * 1.28 - wide / 4, 122 * 1.28 - high / 4, 120 * 1.28 + wide / 4, 142 * 1.28 + high / 4]
    assert mouth.tolist() == [int(expected[0]), int(expected[1]), int(expected[2]) + 1, int(expected[3]) + 1]


def test_mouth_box_ends_at_the_crop() -> None:
    points = np.full((68, 2), 128.0)
    points[29, 1], points[8, 1] = 118.0, 150.0
    points[48:68, 0] = np.linspace(112, 144, 20)
    points[48:68, 1] = np.linspace(110, 158, 20)
    _, mouth = nose_box(points, 256)
    assert mouth[3] == 256
    assert mouth[0] < mouth[2] <= 256
    assert mouth.min() >= 0


def test_points_follow_their_own_frame() -> None:
    transforms = np.array([[[2.0, 0, 5], [0, 2, -1]], [[0, -1, 0], [1, 0, 0]]])
    points = np.array([[[1.0, 2.0]], [[1.0, 2.0]]])
    assert mapped(transforms, points).tolist() == [[[7.0, 3.0]], [[-2.0, 1.0]]]
    assert pytest.approx(np.linalg.det(transforms[1][:, :2])) == 1
