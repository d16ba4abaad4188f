"""FID and KID as torchmetrics classes over a network's features of two pools of frames."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from dubbench.errors import DubbenchError
from dubbench.metrics.common.images import image_keys
from dubbench.metrics.common.inference import evaluating
from dubbench.metrics.common.options import POOL_MINIMUM
from dubbench.metrics.fid import Moments, frechet_distance
from dubbench.metrics.kid import SAMPLE, FeatureSample, kernel_distance
from dubbench.metrics.networks.inception import Network, feature_width

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


class FID(FramePools):
    """Frechet inception distance of all predicted to all target frames (Heusel et al. 2017), frames pooled.

    Running sums in float64 with ddof 1, so neither memory nor the printed digits depend on batches or processes. With
    `FIDInception` this is pytorch-fid's value. Frames go in by ``update``; ``forward``, which wants a value a batch,
    has none below ``minimum``.

    Args:
        network: from images [N, 3, H, W] to features [N, D], for instance `FIDInception`.
        minimum: fewest frames a side, at least 2; FID of few frames says more of their number than of their quality.
        kwargs: torchmetrics' own options.

    Raises:
        DubbenchError: on a ``minimum`` below 2 or a network that gives no features [N, D].
    """

    full_state_update = False
    unit: ClassVar[str] = "1"
    pred_sums: Tensor
    target_sums: Tensor

    def __init__(self, network: Network, minimum: int = POOL_MINIMUM, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(network, **kwargs)
        if minimum < 2:
            raise DubbenchError(f"FID needs a covariance, so minimum={minimum} is too low; give at least 2")
        self.minimum = minimum
        width = feature_width(network)
        for name in ("pred_sums", "target_sums"):
            self.add_state(name, Moments(width).sums, dist_reduce_fx="sum")

    @property
    def pred(self) -> Moments:
        """Sums over predicted frames; their ``n`` belongs beside a printed FID."""
        return Moments(sums=self.pred_sums)

    @property
    def target(self) -> Moments:
        """Sums over target frames."""
        return Moments(sums=self.target_sums)

    def add(self, side: Side, features: Tensor, images: Tensor) -> None:
        """See `FramePools`."""
        (self.pred if side == "pred" else self.target).add(features)

    def compute(self) -> Tensor:
        """Distance of the pools so far, float64.

        Raises:
            DubbenchError: if a side has fewer frames than ``minimum``.
        """
        pred, target = self.pred, self.target
        if min(pred.n, target.n) < self.minimum:
            raise DubbenchError(
                f"FID over {pred.n} predicted and {target.n} target frames is below the minimum of "
                f"{self.minimum} a side, where it is mostly bias; add frames, or allow it with minimum=2"
            )
        distance = frechet_distance(pred.mean(), pred.covariance(), target.mean(), target.covariance())
        return torch.tensor(distance, dtype=torch.float64, device=self.device)


class KID(FramePools):
    """Kernel inception distance of predicted to target frames, frames pooled.

    Up to ``sample`` frames a side this is the unbiased estimate over all of them. Of more, the ``sample`` frames
    whose content hashes smallest count on each side, so the value depends neither on batches nor on processes.
    Published values are often means over 100 random subsets of 1000, an estimate of the same number.

    Args:
        network: from images [N, 3, H, W] to features [N, D], for instance `FIDInception`.
        sample: most frames a side, at least 2.
        kwargs: torchmetrics' own options.

    Raises:
        DubbenchError: on a ``sample`` below 2 or a network that gives no features [N, D].
    """

    # Samples of two processes or batches cannot be reduced state by state: keys decide over rows.
    full_state_update = True
    unit: ClassVar[str] = "1"
    pred_keys: Tensor
    pred_rows: Tensor
    target_keys: Tensor
    target_rows: Tensor

    def __init__(self, network: Network, sample: int = SAMPLE, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(network, **kwargs)
        if sample < 2:
            raise DubbenchError(f"KID compares pairs of frames, so sample={sample} is too low; give at least 2")
        self.sample = sample
        width = feature_width(network)
        for side in ("pred", "target"):
            for name, state in vars(FeatureSample(width, sample)).items():
                self.add_state(f"{side}_{name}", state, dist_reduce_fx=None)

    def add(self, side: Side, features: Tensor, images: Tensor) -> None:
        """See `FramePools`."""
        state = (self.pred_keys, self.pred_rows) if side == "pred" else (self.target_keys, self.target_rows)
        FeatureSample(state=state).add(features, image_keys(images))

    def compute(self) -> Tensor:
        """Distance of the samples so far, float64.

        Raises:
            DubbenchError: if a side has fewer than 2 frames.
        """
        pred, target = (
            self._sampled(keys, rows)
            for keys, rows in ((self.pred_keys, self.pred_rows), (self.target_keys, self.target_rows))
        )
        return torch.tensor(kernel_distance(pred, target), dtype=torch.float64, device=self.device)

    def _sampled(self, keys: Tensor, rows: Tensor) -> Tensor:
        """Features of a side; keys [size] or, gathered from several processes, [processes, size]."""
        width = rows.shape[-1]
        whole = FeatureSample(width, self.sample)
        whole.add(rows.reshape(-1, width), keys.reshape(-1))
        return whole.features()
