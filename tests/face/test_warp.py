"""Sampling an aligned square and putting it back."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from dubbench.face import ffhq_transform
from dubbench.face.warp import paste, warp


def blobs(height: int, width: int, cells: int = 12) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def similarity(scale: float, angle: float, x: float, y: float) -> NDArray[np.float64]:
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[a, -b, x], [b, a, y]])


def half() -> NDArray[np.float64]:
    """Aligned pixel j has its centre at j + 0.5 and landmark coordinates are pixel indices."""
    return np.array([[1.0, 0, -0.5], [0, 1, -0.5]])


def read(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@pytest.mark.parametrize("frame", ["grid_lwbsza_f020", "retalking_1_f030", "wda_katie_f050"])
def test_aligned_images_equal_the_reference(frame: str, shared: Path) -> None:
    points = json.loads((shared / "goldens/landmarks_68.json").read_text())["frames"][frame]["landmarks_68"]
    source = read(shared / f"goldens/align_{frame}_source.png")
    wanted = read(shared / f"goldens/align_{frame}_out256_t4096.png").astype(float)
    difference = [
        np.abs(warp(source, ffhq_transform(np.add(points, shift), 256), 256, "reflect") - wanted).mean()
        for shift in ([0, 0], [0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5])
    ]
    assert difference[0] < 0.9
    assert np.argmin(difference) == 0


def test_identity_is_exact() -> None:
    image = blobs(64, 64)
    np.testing.assert_array_equal(warp(image, half(), 64), image)


def test_enlarging_is_bilinear_sampling_at_pixel_centres() -> None:
    image = blobs(90, 120)
    transform = similarity(0.6, 0.3, 30, 20)
    v, u = np.mgrid[0:64, 0:64] + 0.5
    x, y = np.tensordot(transform[:, :2], [u, v], 1) + transform[:, 2, None, None]
    wanted = np.stack([map_coordinates(image[..., c].astype(float), [y, x], order=1) for c in range(3)], -1)
    assert np.abs(warp(image, transform, 64) - wanted).max() < 4


def test_shrinking_averages_instead_of_aliasing() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), 200)[None, :, None].repeat(400, 0).repeat(3, 2)
    small = warp(np.ascontiguousarray(stripes), similarity(6.25, 0, -0.5, -0.5), 64)
    assert np.abs(small.astype(float) - 127.5).max() < 25
    image = blobs(400, 400)
    area = cv2.resize(image, (100, 100), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(warp(image, similarity(4, 0, -0.5, -0.5), 100) - area).mean() < 0.6


def test_borders() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    far = similarity(1, 0, -20.5, -0.5)
    assert not warp(image, far, 40)[:, :20].any()
    assert (warp(image, far, 40)[:, 20:] == 200).all()
    assert (warp(image, far, 40, "reflect") == 200).all()


@pytest.mark.parametrize(("scale", "limit"), [(0.4, 0.7), (1.0, 0.8), (2.5, 3.0)])
def test_what_was_warped_out_pastes_back(scale: float, limit: float) -> None:
    source = blobs(300, 420)
    size = round(200 / scale)
    transform = similarity(scale, 0.25, 130, 40)
    mask = np.zeros((size, size), np.float32)
    edge = size // 10
    mask[edge:-edge, edge:-edge] = 1
    pasted = paste(source, warp(source, transform, size), transform, mask)
    inside = np.any(pasted != source, -1)
    assert np.abs(pasted.astype(float) - source)[inside].mean() < limit * 2
    assert np.abs(pasted.astype(float) - source).mean() < limit


@pytest.mark.parametrize("size", [64, 128, 512])
def test_paste_puts_the_square_where_the_transform_says(size: int) -> None:
    source = np.zeros((200, 300, 3), np.uint8)
    transform = similarity(128 / size, 0, 99.5, 29.5)  # covers columns 100..227 and rows 30..157
    aligned, mask = np.full((size, size, 3), 240, np.uint8), np.ones((size, size), np.float32)
    pasted = paste(source, aligned, transform, mask)
    assert (pasted[32:156, 102:226] == 240).all()
    outside = pasted.copy()
    outside[29:159, 99:229] = 0
    assert not outside.any()
    assert pasted.sum() == pytest.approx(128 * 128 * 3 * 240, rel=0.02)


def test_pasting_a_fine_square_into_a_small_face_averages_instead_of_aliasing() -> None:
    stripes = np.ascontiguousarray(
        np.tile(np.array([0, 255], np.uint8), 256)[None, :, None].repeat(512, 0).repeat(3, 2)
    )
    pasted = paste(
        np.zeros((128, 128, 3), np.uint8), stripes, similarity(0.21, 0, 9.5, 9.5), np.ones((512, 512), np.float32)
    )
    assert np.abs(pasted[15:110, 15:110].astype(float) - 127.5).max() < 35


def test_outside_the_mask_every_bit_stays() -> None:
    source = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    before = source.copy()
    mask = np.zeros((100, 100), np.float32)
    transform = similarity(1, 0, 49.5, 49.5)
    aligned = np.full((100, 100, 3), 128, np.uint8)
    np.testing.assert_array_equal(paste(source, aligned, transform, mask), source)
    mask[40:60, 20:30] = 1
    pasted = paste(source, aligned, transform, mask)
    np.testing.assert_array_equal(source, before)
    assert (pasted[90:110, 70:80] == 128).all()
    pasted[89:111, 69:81] = source[89:111, 69:81]
    np.testing.assert_array_equal(pasted, source)


def test_a_soft_mask_blends() -> None:
    source, aligned = np.full((80, 80, 3), 100, np.uint8), np.full((80, 80, 3), 200, np.uint8)
    mask = np.full((80, 80), 0.25, np.float32)
    assert (paste(source, aligned, half(), mask)[1:-1, 1:-1] == 125).all()


def test_a_face_outside_the_frame() -> None:
    source = blobs(60, 60)
    aligned, mask = np.zeros((50, 50, 3), np.uint8), np.ones((50, 50), np.float32)
    np.testing.assert_array_equal(paste(source, aligned, similarity(1, 0, 500, 500), mask), source)
    partly = paste(source, aligned, similarity(1, 0, 39.5, -30.5), mask)
    assert not partly[:19, 41:].any()
    np.testing.assert_array_equal(partly[21:], source[21:])


@pytest.mark.parametrize("scale", [0.6, 2.4])
def test_a_rectangle_is_a_part_of_the_square(scale: float) -> None:
    source, transform = blobs(240, 260), similarity(scale, 0.2, 70, 20)
    square = warp(source, transform, 60)
    np.testing.assert_array_equal(warp(source, transform, (60, 36)), square[:, :36])
    np.testing.assert_array_equal(warp(source, transform, (44, 60)), square[:44])


@pytest.mark.parametrize(("height", "width"), [(60, 36), (44, 60)])
def test_a_rectangle_pastes_as_a_square_of_which_it_is_shown(height: int, width: int) -> None:
    source, transform = blobs(240, 260), similarity(1.7, 0.2, 70, 20)
    square, mask = blobs(60, 60, 7), np.zeros((60, 60), np.float32)
    mask[2 : height - 2, 2 : width - 2] = 0.8
    whole = paste(source, square, transform, mask)
    part = paste(source, np.ascontiguousarray(square[:height, :width]), transform, mask[:height, :width].copy())
    np.testing.assert_array_equal(part, whole)
    assert (part != source).any()


def test_a_fine_rectangle_pastes_where_the_transform_says() -> None:
    aligned, mask = np.full((416, 320, 3), 240, np.uint8), np.ones((416, 320), np.float32)
    pasted = paste(np.zeros((200, 300, 3), np.uint8), aligned, similarity(0.31, 0, 99.5, 29.5), mask)
    # Columns 100 to 199.2, rows 30 to 158.96.
    assert (pasted[32:157, 102:198] == 240).all()
    assert pasted.sum() == pytest.approx(0.31 * 320 * 0.31 * 416 * 3 * 240, rel=0.01)
    pasted[29:161, 99:201] = 0
    assert not pasted.any()


def test_sides_that_shrink_by_different_factors_stay_in_place() -> None:
    # 33 columns at 0.38 are 12.54 pixels and shrink to 13, 400 rows are 152: one factor for both shifts the columns.
    aligned = np.tile(np.arange(0, 231, 7, dtype=np.uint8)[:, None], (400, 1, 3))
    mask = np.ones((400, 33), np.float32)
    pasted = paste(np.zeros((200, 60, 3), np.uint8), aligned, similarity(0.38, 0, 19.5, 9.5), mask)
    k = np.arange(22, 31)
    wanted = 7 * ((k + 0.5 - 20) / 0.38 - 0.5)
    assert np.abs(pasted[20:150, 22:31, 0] - wanted).max() < 2
