"""``drive`` and ``ghost``: partial correlations of three mouths' openings."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.metrics import drive, ghost

Curve = NDArray[np.float64]


def curves(frames: int = 200) -> tuple[Curve, Curve, Curve]:
    """Source and driver, which have something in common, and noise."""
    random = np.random.default_rng(0)
    source, noise = random.uniform(0, 0.3, frames), random.normal(0, 0.05, frames)
    return source, 0.4 * source + random.uniform(0, 0.2, frames), noise


def by_precision(*rows: Curve) -> Curve:
    """All partial correlations of some variables, by the inverse of their covariances."""
    precision = np.linalg.inv(np.cov(np.stack(rows)))
    scale = np.sqrt(np.diag(precision))
    return np.asarray(-precision / scale / scale[:, None])


@pytest.mark.parametrize(("heard", "seen"), [(1.0, 0.0), (0.6, 0.4), (0.0, 1.0), (-0.5, 0.2)])
def test_they_are_the_partial_correlations(heard: float, seen: float) -> None:
    source, driver, noise = curves()
    dubbed = heard * driver + seen * source + noise + 3.0
    expected = by_precision(dubbed, source, driver)
    assert drive(dubbed, source, driver) == pytest.approx(expected[0, 2], abs=1e-12)
    assert ghost(dubbed, source, driver) == pytest.approx(expected[0, 1], abs=1e-12)


def test_the_ends_of_the_scale() -> None:
    source, driver, _ = curves()
    still = np.full(len(source), 0.1)
    for dubbed, driven, haunted in ((driver, 1, 0), (source, 0, 1), (still, 0, 0)):
        assert drive(dubbed, source, driver) == pytest.approx(driven)
        assert ghost(dubbed, source, driver) == pytest.approx(haunted)


def test_what_source_and_driver_share_counts_for_neither() -> None:
    # The dubbed mouth follows the driver alone, and correlates with the source all the same.
    source, driver, noise = curves(5000)
    dubbed = driver + noise
    assert np.corrcoef(dubbed, source)[0, 1] > 0.3
    assert abs(ghost(dubbed, source, driver)) < 0.03


def test_frames_without_a_face_and_beyond_an_end_count_for_nothing() -> None:
    source, driver, noise = curves()
    dubbed = driver + noise
    whole = drive(dubbed[20:150], source[20:150], driver[20:150])
    dubbed, source = dubbed.copy(), source[:150].copy()
    dubbed[:7], source[5:20] = np.nan, np.nan
    assert drive(dubbed, source, driver) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(
    ("dubbed", "source", "driver", "message"),
    [
        (np.arange(9.0), np.arange(9.0) ** 2, np.arange(9.0) % 2, "only 9 frames"),
        (np.arange(20.0), np.ones(20), np.arange(20.0) % 2, "does not move"),
        (np.arange(20.0), np.arange(20.0) % 2, np.ones(20), "does not move"),
        (np.arange(20.0), np.arange(20.0) % 2, 3 * (np.arange(20.0) % 2), "the same mouth"),
        (np.ones((20, 2)), np.arange(20.0), np.arange(20.0), "give a number a frame"),
    ],
)
def test_what_has_no_value_is_told(dubbed: Curve, source: Curve, driver: Curve, message: str) -> None:
    for metric in (drive, ghost):
        with pytest.raises(DubbenchError, match=message):
            metric(dubbed, source, driver)
