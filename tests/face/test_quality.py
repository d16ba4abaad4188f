"""Measures of single frames against scikit-image and cases that can be told in advance."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut
from skimage.measure import blur_effect

from dubbench.face.quality import SIDE, combined, exposure, face_area, face_size, luma, measured, sharpness

WHOLE = np.ones((SIDE, SIDE), bool)


def test_sharpness_is_one_minus_the_blur_effect() -> None:
    picture = luma(measured(astronaut()[:300, 60:360]))  # type: ignore[no-untyped-call]  # scikit-image has no types
    # Until a median changes nothing any more, so that what goes before the measure has no part in it.
    while not np.array_equal(picture, calmer := np.asarray(cv2.medianBlur(picture, 3), np.float32)):
        picture = calmer
    inner = np.zeros_like(WHOLE)
    inner[2:-2, 2:-2] = True
    expected = blur_effect(picture, h_size=11)  # type: ignore[no-untyped-call]
    assert sharpness(picture, inner) == pytest.approx(1 - expected, abs=0.003)
    assert 0.2 < 1 - expected < 0.9


def test_sharpness_knows_neither_light_nor_contrast_nor_noise() -> None:
    picture = luma(astronaut()[:256, 80:336])  # type: ignore[no-untyped-call]
    whole = sharpness(picture, WHOLE)
    assert sharpness(0.3 * picture + 40, WHOLE) == pytest.approx(whole, rel=1e-3)
    noise = np.random.default_rng(0).normal(0, 5, picture.shape).astype(np.float32)
    assert sharpness(picture + noise, WHOLE) == pytest.approx(whole, rel=0.05)
    assert sharpness(np.full_like(picture, 90), WHOLE) == 0


def test_exposure_of_known_tones() -> None:
    tones = np.linspace(40, 240, SIDE * SIDE).reshape(SIDE, SIDE)
    ramp = np.repeat(np.round(tones)[..., None], 3, 2).astype(np.uint8)
    assert exposure(ramp, WHOLE) == pytest.approx(0.9 * 200 / 255, rel=0.01)
    assert exposure((ramp // 2).astype(np.uint8), WHOLE) == pytest.approx(0.45 * 200 / 255, rel=0.02)
    assert exposure(np.full_like(ramp, 128), WHOLE) == 0
    # Pixels outside the face do not count.
    half = WHOLE.copy()
    half[SIDE // 2 :] = False
    assert exposure(ramp, half) == pytest.approx(0.45 * 200 / 255, rel=0.02)
    # A fifth of the face black, a fifth burnt out in red alone, which changes its luma little.
    spoilt = ramp.copy()
    spoilt[:, : SIDE // 5] = 0
    spoilt[:, -(SIDE // 5) :, 0] = 255
    low, high = np.percentile(luma(spoilt), (5, 95))
    assert exposure(spoilt, WHOLE) == pytest.approx((high - low) / 255 * (1 - 2 * (SIDE // 5) / SIDE))


def test_the_area_is_the_outline_of_the_landmarks() -> None:
    corners = np.array([[50, 40], [150, 40], [150, 240], [50, 240], [100, 100]])
    area = face_area(corners)
    assert area.sum() == 101 * 201
    assert not face_area(corners + 10_000).any()
    assert face_area(corners - [100, 0]).sum() == 51 * 201


def test_size_and_the_one_number() -> None:
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transforms = np.stack([np.column_stack([scale * turn, (5, 9)]) for scale in (0.5, 2)])
    np.testing.assert_allclose(face_size(transforms, 128), [64, 256])
    assert combined(1, 1, 1e12) == pytest.approx(100)
    assert combined(0.5, 0.5, 256) == pytest.approx(50)
    assert combined(0, 1, 256) == 0
