"""Frames as metrics get them: a candidate's beside their ground truth, and what several metrics share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from dubbench.metrics.common.images import grey_levels

PAIR = 2
Maps = TypeVar("Maps")


@dataclass(frozen=True)
class Truth:
    """N ground-truth frames in the protocol's crop; what a network says of them is computed once for all candidates.

    Attributes:
        crops: [N, 3, H, W] uint8 RGB.
        mouth: [N, 4] integers, the mouth's box x0, y0, x1, y1 in the crop.
        points: [N, 68, 2] landmarks (x, y) in the 256-pixel aligned frame; any value where ``detected`` is false.
        detected: [N] bool, whether the landmarks are those of the frame itself.
        faces: [N, 3, 112, 112] uint8 RGB in ArcFace's template, or None where no metric asks for them.
    """

    crops: Tensor
    mouth: Tensor
    points: Tensor
    detected: Tensor
    faces: Tensor | None = None
    _known: dict[Any, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def first(self, count: int) -> "Truth":
        """The first frames, for a candidate that has fewer; itself where all are asked for."""
        if count == len(self.crops):
            return self
        return Truth(
            crops=self.crops[:count],
            mouth=self.mouth[:count],
            points=self.points[:count],
            detected=self.detected[:count],
            faces=None if self.faces is None else self.faces[:count],
        )

    def once(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """What a network says of some of the frames, asked for the first candidate alone.

        Args:
            network: of one metric, which asks for the same frames each time.
            images: as the network takes them.
        """
        if network not in self._known:
            self._known[network] = network(images)
        return self._known[network]


@dataclass(frozen=True)
class Frames:
    """N frames of one candidate beside their ground truth.

    Attributes:
        truth: the ground truth.
        crops: [N, 3, H, W] uint8 RGB, sampled from the same places as the ground truth's.
        points: [N, 68, 2] landmarks in the 256-pixel aligned frame; any value where ``found`` is false.
        found: [N] bool, whether both sides have landmarks.
        faces: as the ground truth's, sampled with the ground truth's points.
    """

    truth: Truth
    crops: Tensor
    points: Tensor
    found: Tensor
    faces: Tensor | None = None

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Landmarks of the frames that have them on both sides, [found, 68, 2] each."""
        return self.points[self.found], self.truth.points[self.found]

    def pixels(self) -> list["Pixels"]:
        """The crops in portions that stay in a processor's cache."""
        count = len(self.crops)
        step = PAIR if self.crops.device.type == "cpu" else max(count, 1)
        return [
            Pixels(self.crops[k : k + step], self.truth.crops[k : k + step], self.truth.mouth[k : k + step])
            for k in range(0, count, step)
        ]


@dataclass(frozen=True)
class Pixels:
    """Some frames' crops; what several pixel metrics share is computed once.

    Attributes:
        pred: [n, 3, H, W] uint8 RGB.
        target: as ``pred``.
        mouth: [n, 4] boxes.
    """

    pred: Tensor
    target: Tensor
    mouth: Tensor
    _known: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def levels(self) -> tuple[Tensor, Tensor]:
        """Both sides in grey levels, [n, 3, H, W] float64 each."""
        return grey_levels(self.pred, self.target)

    def once(self, function: Callable[[Tensor, Tensor], Maps]) -> Maps:
        """``function(*levels)``, computed once for all metrics that ask for it."""
        if function not in self._known:
            self._known[function] = function(*self.levels)
        found: Maps = self._known[function]
        return found


PixelMetric = Callable[[Pixels], Tensor]
LandmarkMetric = Callable[[Tensor, Tensor], Tensor]
NetworkMetric = Callable[[Frames, Any], Tensor]
"""What ``COMPUTE`` holds under the needs ``pixels``, ``landmarks``, and ``crops`` or ``faces``."""


class ClipMean(NamedTuple):
    """How a clip's value follows from its frames' where it is not their plain mean.

    Attributes:
        scale: takes frames' values [N] to what is averaged over the clip.
        back: takes the mean to the clip's value.
    """

    scale: Callable[[Tensor], Tensor]
    back: Callable[[float], float]
