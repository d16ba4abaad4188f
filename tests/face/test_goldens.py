"""From landmarks in the source to the aligned square and the crop in it: worked out by hand, and the reference's."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.face import ffhq_quad, ffhq_transform, nose_crop
from dubbench.face.warp import warp

FRAMES = ["grid_lwbsza_f020", "retalking_1_f030", "wda_katie_f050"]


def golden(shared: Path, file: str, frame: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared / "goldens" / file).read_text())["frames"][frame]
    return values


def read(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def level_face(eyes: float, drop: float) -> NDArray[np.float64]:
    """Eye centres ``eyes`` apart about the origin, mouth corners ``drop`` below; what else there is lies at random."""
    points = np.random.default_rng(0).normal(size=(68, 2)) * 50
    ring = np.array([(np.cos(angle), np.sin(angle)) for angle in np.arange(6) * np.pi / 3])
    points[36:42], points[42:48] = 4 * ring - [eyes / 2, 0], 4 * ring + [eyes / 2, 0]
    points[48], points[54] = [-20, drop], [20, drop]
    return points


@pytest.mark.parametrize(("eyes", "drop", "half"), [(60.0, 50.0, 120.0), (60.0, 90.0, 162.0)])
@pytest.mark.parametrize("angle", [0.0, 0.6, -2.5])
def test_quad_of_a_face_worked_out_by_hand(eyes: float, drop: float, half: float, angle: float) -> None:
    """Half a side is twice the eye distance or 1.8 times eyes to mouth; the centre a tenth of the way to the mouth."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    square = np.add(half * corners, [0, 0.1 * drop])
    quad = ffhq_quad(level_face(eyes, drop) @ turn.T + [300, 200])
    np.testing.assert_allclose(quad, square @ turn.T + [300, 200], atol=1e-9)


@pytest.mark.parametrize("frame", FRAMES)
def test_source_landmarks_lead_to_the_reference_s_crop(frame: str, shared: Path) -> None:
    points = np.array(golden(shared, "landmarks_68.json", frame)["landmarks_68"])
    wanted = golden(shared, "radio_crop.json", frame)
    transform = ffhq_transform(points, 256)
    aligned = np.linalg.solve(transform[:, :2], (points - transform[:, 2]).T).T
    centre, radius = nose_crop(aligned)
    np.testing.assert_allclose(centre, wanted["centre_landmark_33"], atol=1e-6)
    assert radius == pytest.approx(wanted["radius"], abs=1e-6)


@pytest.mark.parametrize("frame", FRAMES)
def test_aligned_images_equal_the_reference_at_a_lower_transform_size(frame: str, shared: Path) -> None:
    points = np.array(golden(shared, "landmarks_68.json", frame)["landmarks_68"])
    source = read(shared / f"goldens/align_{frame}_source.png")
    wanted = read(shared / f"goldens/align_{frame}_out256_t1024.png").astype(float)
    assert np.abs(warp(source, ffhq_transform(points, 256), 256, "reflect") - wanted).mean() < 1.0
