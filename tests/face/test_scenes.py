"""Shot cuts, against the scores and cuts of scenedetect 0.7.2 on the same pictures."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.face.scenes import Cuts

STARTS = (0, 10, 31, 34, 50, 80, 94, 95, 120)  # frames at which the pictures change their subject


def shots(height: int, width: int, frames: int = 130) -> list[NDArray[np.uint8]]:
    """Colour blobs that drift a little and are other ones from the frames STARTS on."""
    pictures = []
    for t in range(frames):
        shot = sum(t >= start for start in STARTS)
        noise = np.random.default_rng(shot).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        large = cv2.resize(noise, (width + 40, height), interpolation=cv2.INTER_LINEAR)
        pictures.append(np.ascontiguousarray(large[:, t % 40 : t % 40 + width], np.uint8))
    return pictures


# Of ContentDetector(threshold=27, min_scene_len=15, filter_mode=SUPPRESS) on these pictures in BGR, brought by
# cv2.resize to the size that SceneManager works at (300 x 470: 163 x 256; 180 x 200: as they are).
@pytest.mark.parametrize(
    ("height", "width", "scores", "cuts"),
    [
        (300, 470, {0: 0, 5: 1.3039, 10: 53.4229, 40: 37.75, 94: 48.7935, 120: 53.8862}, [31, 50, 80, 95, 120]),
        (180, 200, {0: 0, 5: 2.7878, 10: 53.0376, 40: 49.2968, 94: 48.4367, 120: 56.7859}, [31, 50, 80, 95, 120]),
    ],
)
def test_scores_and_cuts_are_those_of_content_detector(
    height: int, width: int, scores: dict[int, float], cuts: list[int]
) -> None:
    detector = Cuts()
    found, measured = [], []
    for t, image in enumerate(shots(height, width)):
        if detector.add(image):
            found.append(t)
        measured.append(detector.score)
    assert found == cuts
    assert {t: measured[t] for t in scores} == pytest.approx(scores, abs=0.01)


def test_an_early_cut_counts_after_the_shortest_shot_only() -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)

    def first_cut(frames_before: int) -> int | None:
        detector = Cuts()
        pictures = [black] * frames_before + [white] * 30
        return next((t for t, image in enumerate(pictures) if detector.add(image)), None)

    assert first_cut(14) is None
    assert first_cut(15) == 15


def test_a_score_at_the_threshold_is_a_cut() -> None:
    # Value alone changes, by 81 of 255: a third of that is 27.
    grey = [np.full((64, 64, 3), level, np.uint8) for level in (100, 181, 180)]
    for level, wanted in ((1, True), (2, False)):
        detector = Cuts()
        assert not any(detector.add(grey[0]) for _ in range(20))
        assert detector.add(grey[level]) is wanted


def test_a_change_of_size_is_an_error() -> None:
    detector = Cuts()
    detector.add(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(DubbenchError, match="size"):
        detector.add(np.zeros((64, 60, 3), np.uint8))
