"""What FID and KID share: a network's features of two pools of frames."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor
from torchmetrics import Metric

from dubbench.metrics.inception import Network
from dubbench.metrics.inference import evaluating

Side = Literal["pred", "target"]


class FramePools(Metric):
    """Distance of two pools of frames by a network's features; a sub-class keeps what it needs of them.

    Args:
        network: from images [N, 3, H, W] to features [N, D], for instance `FIDInception`.
        kwargs: torchmetrics' own options.
    """

    is_differentiable = False
    higher_is_better = False

    def __init__(self, network: Network, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.network: Callable[[Tensor], Tensor] = network

    def add(self, side: Side, features: Tensor, images: Tensor) -> None:
        """Take features [N, D] of images [N, 3, H, W] into a pool."""
        raise TypeError(f"{type(self).__name__} keeps no pools of its own")

    def update(self, pred: Tensor | None = None, target: Tensor | None = None) -> None:
        """Add frames of one side or of both, which need not be equally many.

        Args:
            pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1].
            target: [M, 3, H, W], as ``pred``.

        Raises:
            DubbenchError: on another shape, type or range.
        """
        sides: tuple[tuple[Side, Tensor | None], ...] = (("pred", pred), ("target", target))
        for side, images in sides:
            if images is not None:
                with evaluating(self.network):
                    self.add(side, self.network(images), images)
