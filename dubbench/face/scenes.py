"""Shot cuts, found while frames come in."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dubbench.errors import DubbenchError

THRESHOLD = 27.0
SHORTEST = 15  # frames
WORKING_SIZE = 256  # px, long side


class Cuts:
    """Tells the frames that start a new shot, as PySceneDetect's ContentDetector does with its default values.

    A frame's score is the mean absolute difference to the frame before, over pixels and over hue, saturation and value
    (OpenCV's 8-bit HSV, hue 0..179), of pictures brought to 256 px on the long side. Scores equal those of scenedetect
    0.7.2. A shot has at least 15 frames: a cut within 15 frames of the last one, or of the start, does not count. That
    is ContentDetector's rule up to 0.6.3 and its mode ``suppress`` since; the present default, ``merge``, differs only
    where cuts follow within 15 frames, and would tell a cut up to 15 frames late.

    Args:
        threshold: lowest score of a cut.
        shortest: frames of the shortest shot.
    """

    def __init__(self, threshold: float = THRESHOLD, shortest: int = SHORTEST) -> None:
        self.threshold = threshold
        self.shortest = shortest
        self.score = 0.0
        self._last: NDArray[np.uint8] | None = None
        self._frames = 0

    def add(self, image: NDArray[np.uint8]) -> bool:
        """Look at the next frame; its score is left in ``score``, 0 for the first one.

        Args:
            image: uint8 [H, W, 3] RGB.

        Returns:
            Whether the frame starts a new shot; the first one of a video does not.

        Raises:
            DubbenchError: if the picture is of another shape than the one before.
        """
        present = _working_hsv(image)
        if self._last is not None and self._last.shape != present.shape:
            raise DubbenchError("the picture changes its size within the video; split it there")
        self.score = 0.0 if self._last is None else _difference(self._last, present)
        self._last = present
        starts = self.score >= self.threshold and self._frames >= self.shortest
        self._frames = 1 if starts else self._frames + 1
        return starts


def unlikeness(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    """The score that `Cuts` gives the second of two pictures, uint8 [H, W, 3] RGB of one shape."""
    return _difference(_working_hsv(left), _working_hsv(right))


def _working_hsv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    factor = max(1.0, max(height, width) / WORKING_SIZE)
    if factor > 1:
        size = max(1, round(width / factor)), max(1, round(height / factor))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.uint8)


def _difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    return float(np.mean(cv2.mean(cv2.absdiff(left, right))[:3]))
