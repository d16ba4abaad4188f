"""Whole clips as metrics get them: begun with their speech, then frame after frame, in memory that does not grow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.metrics.common.frames import Frames
from dubbench.metrics.common.options import SuiteOptions

Image = NDArray[np.uint8]
Box = NDArray[np.float64]

NO_SPEECH = "there is no speech to compare the lips with"
SILENT = "the speech is silent from beginning to end, which no lips fit or miss"


class NoValue(DubbenchError):
    """A clip or pool has no value of a metric; the sentence says why, and stands in the results' notes."""


@dataclass(frozen=True)
class Clip:
    """What is known of a candidate's clip before its first frame.

    Attributes:
        speech: [S] int16, 16 kHz mono, that shall fit the lips, or None where there is none.
        networks: by key, with those that the metric's definition names.
        options: of the run.
        device: where networks run.
    """

    speech: NDArray[np.int16] | None
    networks: Mapping[str, Any]
    options: SuiteOptions
    device: torch.device


def speech_of(clip: Clip) -> NDArray[np.int16]:
    """The speech that lips are compared with.

    Raises:
        NoValue: if there is none, or nothing is heard in it.
    """
    if clip.speech is None:
        raise NoValue(NO_SPEECH)
    if not clip.speech.any():
        raise NoValue(SILENT)
    return clip.speech


class ClipStream:
    """One clip on its way through metrics that give a value a clip; a sub-class takes what it needs of the frames."""

    def look(self, image: Image, boxes: Sequence[Box], to_256: NDArray[np.float64]) -> None:
        """Take the next full frame.

        Args:
            image: uint8 [H, W, 3] RGB.
            boxes: of the faces found in it, [4] x0, y0, x1, y1 in pixels each.
            to_256: [2, 3] from the frame to the aligned frame of 256 pixels.
        """

    def add(self, frames: Frames) -> None:
        """Take the crops and landmarks of some frames beside the ground truth's."""

    def finish(self) -> Mapping[str, float]:
        """End the clip.

        Returns:
            A value for each metric of this stream, and for what `dubbench.results.rows.INFORMATIVE` names beside them.

        Raises:
            NoValue: if the clip has none.
        """
        raise TypeError(f"{type(self).__name__} ends no clip")


ClipMetric = Callable[[Clip], ClipStream]
"""What ``COMPUTE`` holds under the needs ``speech`` and ``motion``; several metrics may name one function, which then
is called once a clip. It raises `NoValue` if the clip can have none."""
