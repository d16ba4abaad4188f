"""DINet's face crop: where it lies, cutting it out and putting it back."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.face.crops import (
    FACE_SCALES,
    crop_shape,
    cut_faces,
    face_boxes,
    face_points,
    face_radius,
    mouth_region,
    paste_face,
)

FRAMES = ["grid_lwbsza_f020", "retalking_1_f030", "wda_katie_f050"]


def faces(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Landmarks in a 256-pixel square whose chins, noses and mouths differ."""
    random = np.random.default_rng(seed)
    points = random.uniform(60, 200, (count, 68, 2))
    points[:, 29] = random.uniform((120, 110), (136, 130), (count, 2))
    points[:, 33] = points[:, 29] + random.uniform((-5, 15), (5, 25), (count, 2))
    points[:, 8] = points[:, 29] + random.uniform((-5, 95), (5, 110), (count, 2))
    points[:, 48], points[:, 54] = points[:, 33] + [-30, 25], points[:, 33] + [30, 25]
    return points


def place(scale: float, x: float, y: float) -> NDArray[np.float64]:
    return np.array([[scale, 0, x], [0, scale, y]])


def real(frame: str, shared: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64], float]:
    """An aligned frame of 256 pixels, its landmarks, and the reference's max(chin - nose, mouth width)."""
    golden = json.loads((shared / "goldens/radio_crop.json").read_text())["frames"][frame]
    image = cv2.imread(str(shared / f"goldens/align_{frame}_out256_t4096.png"))
    return np.asarray(image, np.uint8), np.array(golden["landmarks_68_aligned"]), golden["radius"]


@pytest.mark.parametrize(("mouth", "shape"), [(64, (104, 80)), (128, (208, 160)), (256, (416, 320))])
def test_sides_of_the_crop(mouth: int, shape: tuple[int, int]) -> None:
    assert crop_shape(mouth) == shape
    region = np.zeros(shape)[mouth_region(mouth)]
    assert region.shape == (mouth, mouth)
    rows, columns = mouth_region(mouth)
    # DINet's R = m / 2: rows [R, R + m), columns [R / 4, R / 4 + m).
    assert (rows.start, columns.start) == (mouth / 2, mouth / 2 / 4)


@pytest.mark.parametrize("mouth", [0, -8, 60, 257])
def test_sides_that_are_not_whole_are_refused(mouth: int) -> None:
    with pytest.raises(DubbenchError, match=f"a face crop of {mouth} mouth pixels .* multiple of 8"):
        crop_shape(mouth)


@pytest.mark.parametrize("mouth", [64, 256])
@pytest.mark.parametrize("scale", [1.05, 1.13])
def test_the_box_is_dinets(mouth: int, scale: float) -> None:
    points = faces(7)
    r = 0.0
    for frame in points.tolist():
        down = max(y for _, y in frame) - frame[29][1]
        across = frame[54][0] - frame[48][0]
        r = max(r, down * scale / 2, across * scale / 2)
    q = r / 4
    assert face_radius(points, scale) == pytest.approx(r, abs=1e-12)
    height, width = crop_shape(mouth)
    boxes = face_boxes(points, face_radius(points, scale), mouth)
    for box, frame in zip(boxes, points, strict=True):
        x, y = frame[33, 0], frame[29, 1]
        np.testing.assert_allclose(box @ [0, 0, 1], [x - r - q, y - r], atol=1e-9)
        np.testing.assert_allclose(box @ [width, height, 1], [x + r + q, y + 2 * r + q], atol=1e-9)
        # The mouth region hangs from the nose over the whole radius.
        rows, columns = mouth_region(mouth)
        np.testing.assert_allclose(box @ [columns.start, rows.start, 1], [x - r, y], atol=1e-9)
        np.testing.assert_allclose(box @ [columns.stop, rows.stop, 1], [x + r, y + 2 * r], atol=1e-9)


def test_a_wide_mouth_decides_the_radius() -> None:
    points = faces(3)
    points[1, 54, 0] = points[1, 48, 0] + 400
    assert face_radius(points, 1.1) == pytest.approx(220)


@pytest.mark.parametrize("frame", FRAMES)
def test_radius_of_a_real_face(frame: str, shared: Path) -> None:
    _, points, extent = real(frame, shared)
    assert face_radius(points[None], FACE_SCALES[0]) == pytest.approx(1.05 * extent / 2, abs=1e-6)


def test_landmarks_in_crop_pixels_go_back_by_the_box() -> None:
    points = faces(4)
    boxes = face_boxes(points, face_radius(points, 1.05), 128)
    moved = face_points(points, boxes)
    assert moved.dtype == np.float32
    back = np.stack([crop @ box[:, :2].T + box[:, 2] for crop, box in zip(moved.astype(float), boxes, strict=True)])
    np.testing.assert_allclose(back, points, atol=1e-4)
    np.testing.assert_allclose(moved[:, 29, 1], 64, atol=1e-4)
    np.testing.assert_allclose(moved[:, 33, 0], 80, atol=1e-4)


@pytest.mark.parametrize("scale", [0.37, 1.0, 1.4, 2.1])
def test_a_ramp_is_cut_to_half_a_pixel(scale: float) -> None:
    height, width = crop_shape(32)
    k = np.arange(128)
    ramp = np.stack(np.broadcast_arrays(2 * k, 255 - 2 * k[:, None], 7), -1).astype(np.uint8)
    (crop,) = cut_faces(ramp[None], place(scale, 11.3, 9.8)[None], 32)
    # Pixel k is centred at k + 0.5, in the crop and in the square.
    x = scale * (np.arange(width) + 0.5) + 11.3 - 0.5
    y = scale * (np.arange(height) + 0.5) + 9.8 - 0.5
    # Grey levels are rounded once or twice; half a pixel would be one level in the mean.
    for error in (crop[..., 0] - 2 * x, crop[..., 1] - (255 - 2 * y[:, None])):
        assert np.abs(error).max() < 1.1
        assert abs(error.mean()) < 0.5
    assert (crop[..., 2] == 7).all()


@pytest.mark.parametrize("scale", [0.37, 1.0, 1.9])
def test_a_ramp_is_pasted_to_half_a_pixel(scale: float) -> None:
    height, width = crop_shape(64)
    ramp = np.stack(np.broadcast_arrays(3 * np.arange(width), 2 * np.arange(height)[:, None], 7), -1).astype(np.uint8)
    pasted = paste_face(
        np.zeros((256, 256, 3), np.uint8), ramp, place(scale, 11.3, 9.8), np.ones((height, width), np.float32)
    )
    k = np.arange(256)
    x, y = (k + 0.5 - 11.3) / scale - 0.5, (k + 0.5 - 9.8) / scale - 0.5
    edge = 1 / min(scale, 1)
    inside = np.ix_((y > edge) & (y < height - 1 - edge), (x > edge) & (x < width - 1 - edge))
    error = (pasted[..., :2] - np.stack(np.broadcast_arrays(3 * x, 2 * y[:, None]), -1))[inside]
    assert error.size > 1000
    assert np.abs(error).max() < 1.1
    assert np.abs(error.mean((0, 1))).max() < 0.5


def test_beyond_the_frame_lies_black() -> None:
    frame = np.full((64, 64, 3), 90, np.uint8)
    (crop,) = cut_faces(frame[None], place(1, 24, 40)[None], 32)  # 52 rows from 40, 40 columns from 24: 24 shown
    assert (crop[:23] == 90).all()
    assert not crop[24:].any()
    assert cut_faces(frame[:0, None], np.empty((0, 2, 3)), 32).shape == (0, 52, 40, 3)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("mouth", [128, 256])
def test_an_untouched_crop_pastes_back(frame: str, mouth: int, shared: Path) -> None:
    image, points, _ = real(frame, shared)
    (box,) = face_boxes(points[None], face_radius(points[None], FACE_SCALES[0]), mouth)
    mask = np.zeros(crop_shape(mouth), np.float32)
    mask[mouth_region(mouth)] = 1
    before = image.copy()
    (crop,) = cut_faces(image[None], box[None], mouth)
    pasted = paste_face(image, crop, box, mask)
    np.testing.assert_array_equal(image, before)
    rows, columns = mouth_region(mouth)
    left, top = box @ [columns.start, rows.start, 1]
    right, bottom = box @ [columns.stop, rows.stop, 1]
    k = np.arange(256) + 0.5
    inside = np.ix_((k > top) & (k < bottom), (k > left) & (k < right))
    assert np.abs(pasted[inside].astype(float) - image[inside]).mean() <= 2
    # A mask's edge is interpolated over one pixel.
    around = np.ix_((k > top - 1) & (k < bottom + 1), (k > left - 1) & (k < right + 1))
    pasted[around] = image[around]
    np.testing.assert_array_equal(pasted, image)
    changed = paste_face(image, 255 - crop, box, mask)[inside].astype(float)
    assert np.abs(changed - (255.0 - image[inside])).mean() < 4


def test_a_mask_may_touch_the_crops_border() -> None:
    frame, crop = np.full((96, 96, 3), 50, np.uint8), np.full((52, 40, 3), 200, np.uint8)
    ones = np.ones((52, 40), np.float32)
    for scale in (0.5, 1.0, 1.6):
        pasted = paste_face(frame, crop, place(scale, 12, 6), ones)
        bottom, right = round(6 + 52 * scale), round(12 + 40 * scale)
        assert (pasted[7 : bottom - 1, 13 : right - 1] == 200).all()
        pasted[5 : bottom + 1, 11 : right + 1] = 50
        np.testing.assert_array_equal(pasted, frame)
    np.testing.assert_array_equal(paste_face(frame, crop, place(1, 200, 6), ones), frame)
    np.testing.assert_array_equal(paste_face(frame, crop, place(1, 12, 6), 0 * ones), frame)
    partly = paste_face(frame, crop, place(1, 80, -20), ones)
    assert (partly[:31, 81:] == 200).all()
    assert (partly[33:] == 50).all()
