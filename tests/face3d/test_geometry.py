"""Alignment and crops against the reference's numbers and against what can be worked out by hand."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dubbench.face import ffhq_quad, ffhq_transform, nose_crop, points_68
from dubbench.face.alignment import smooth
from dubbench.face.landmarks import MESH_TO_68
from tests import ROOT

FRAMES = ["grid_lwbsza_f020", "retalking_1_f030", "wda_katie_f050"]


def golden(shared: Path, file: str, frame: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((shared / "goldens" / file).read_text())["frames"][frame]
    return values


def landmarks(shared: Path, frame: str) -> NDArray[np.float64]:
    return np.array(golden(shared, "landmarks_68.json", frame)["landmarks_68"])


@pytest.mark.parametrize("frame", FRAMES)
def test_quad_equals_the_reference(frame: str, shared: Path) -> None:
    quad = ffhq_quad(landmarks(shared, frame))
    np.testing.assert_allclose(quad, golden(shared, "ffhq_alignment.json", frame)["quad_nw_sw_se_ne"], atol=1e-6)


@pytest.mark.parametrize("frame", FRAMES)
def test_transform_takes_aligned_landmarks_to_the_source(frame: str, shared: Path) -> None:
    points = landmarks(shared, frame)
    aligned = np.array(golden(shared, "radio_crop.json", frame)["landmarks_68_aligned"])
    for size in (256, 512):
        transform = ffhq_transform(points, size)
        mapped = aligned * size / 256 @ transform[:, :2].T + transform[:, 2]
        np.testing.assert_allclose(mapped, points, atol=1e-6)
        corners = np.array([[0, 0, 1], [0, size, 1], [size, size, 1], [size, 0, 1]]) @ transform.T
        np.testing.assert_allclose(corners, ffhq_quad(points), atol=1e-9)


@pytest.mark.parametrize("frame", FRAMES)
def test_nose_crop_equals_the_reference(frame: str, shared: Path) -> None:
    crop = golden(shared, "radio_crop.json", frame)
    centre, radius = nose_crop(crop["landmarks_68_aligned"])
    np.testing.assert_allclose(centre, crop["centre_landmark_33"], atol=1e-6)
    assert radius == pytest.approx(crop["radius"], abs=1e-6)


def test_nose_crop_is_as_wide_as_an_open_mouth() -> None:
    points = np.zeros((68, 2))
    points[29], points[33], points[8] = [50, 40], [50, 60], [50, 90]
    points[48, 0], points[54, 0] = 40, 60
    assert nose_crop(points)[1] == 50
    points[48, 0], points[54, 0] = 10, 90
    centre, radius = nose_crop(points)
    assert (centre.tolist(), radius) == ([50, 60], 80)


def test_alignment_turns_and_grows_with_the_face(shared: Path) -> None:
    points = landmarks(shared, FRAMES[0])
    angle = 0.7
    turn = 1.8 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = points @ turn.T + [30, -20]
    np.testing.assert_allclose(ffhq_quad(moved), ffhq_quad(points) @ turn.T + [30, -20], atol=1e-9)


def test_the_68_points_are_the_golden_mesh_vertices(shared: Path) -> None:
    file = json.loads((shared / "goldens/landmarks_68.json").read_text())
    assert list(MESH_TO_68) == file["mesh_index_for_each_of_68"]
    mesh = np.random.default_rng(0).normal(size=(5, 478, 3)).astype(np.float32)
    points = points_68(mesh)
    assert points.shape == (5, 68, 2)
    np.testing.assert_array_equal(points[3, 30], mesh[3, 4, :2])


def test_the_68_points_are_symmetric(shared: Path) -> None:
    """Mirror partners must be mirror partners on MediaPipe's canonical face, too."""
    lines = (shared / "assets/canonical_face_model.obj").read_text().splitlines()
    face = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
    points = face[list(MESH_TO_68)]
    mirror = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    mirror += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55]
    mirror += [64, 63, 62, 61, 60, 67, 66, 65]
    np.testing.assert_allclose(points[mirror] * [-1, 1, 1], points, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 3, 9, 100])
@pytest.mark.parametrize("sigma", [0.7, 3.0])
def test_smoothing_is_a_gaussian_over_time(frames: int, sigma: float) -> None:
    transforms = np.random.default_rng(1).normal(size=(frames, 2, 3))
    wanted = gaussian_filter1d(transforms, sigma, axis=0, mode="nearest")
    np.testing.assert_allclose(list(smooth(iter(transforms), sigma)), wanted, atol=1e-12)


def test_smoothing_averages_centres_and_x_vectors(shared: Path) -> None:
    points = [landmarks(shared, frame) for frame in FRAMES]
    smoothed = np.stack(list(smooth((ffhq_transform(p, 256) for p in points), 1.0)))
    quads = np.stack([ffhq_quad(p) for p in points])
    centres = gaussian_filter1d(quads.mean(1), 1.0, axis=0, mode="nearest")
    np.testing.assert_allclose(smoothed @ [128, 128, 1], centres, atol=1e-9)
    np.testing.assert_allclose(smoothed[:, 0, 0], smoothed[:, 1, 1], atol=1e-12)


def test_smoothing_looks_ahead_a_bounded_way_and_zero_changes_nothing() -> None:
    taken = []

    def source() -> Any:  # noqa: ANN401
        for i in range(1000):
            taken.append(i)
            yield np.full((2, 3), float(i))

    stream = smooth(source(), 2.0)
    next(stream)
    assert len(taken) <= 9
    np.testing.assert_array_equal(list(smooth(np.ones((4, 2, 3)) * 7, 0)), np.ones((4, 2, 3)) * 7)


def test_geometry_needs_no_mediapipe() -> None:
    code = "import sys, dubbench.face; sys.exit('mediapipe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
