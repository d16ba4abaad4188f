"""Frechet distance between Gaussian fits of two pools of features, and FID over running sums."""

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.inception import WIDTH, Network, feature_width
from dubbench.metrics.pool import FramePools, Side

Array = Tensor | NDArray[np.float64]
MINIMUM = 2048


def frechet_distance(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> float:
    """Squared Frechet distance of two Gaussians: |m1 - m2|^2 + tr C1 + tr C2 - 2 tr sqrt(C1 C2) (Heusel et al. 2017).

    The last trace is the sum of the square roots of the eigenvalues of C1 C2. With C = F F^T from the eigenvectors of
    each covariance, these roots are the singular values of F1^T F2: no root of a rounding error is ever added up, so
    fewer samples than dimensions, where a matrix square root fails or turns complex, lose no digits.

    Args:
        mean1: [D] mean of the first pool, numpy array or tensor.
        cov1: [D, D] its covariance, symmetric without negative eigenvalues beyond rounding.
        mean2: of the second pool.
        cov2: of the second pool.

    Returns:
        The distance in squared units of the features, computed in float64; at least 0, which equal pools give.

    Raises:
        DubbenchError: on other shapes or values that are not finite.
    """
    first, second = _moments("first", mean1, cov1), _moments("second", mean2, cov2)
    if first[0].shape != second[0].shape:
        raise DubbenchError(
            f"the pools have features of widths {len(first[0])} and {len(second[0])}; compare those of one network"
        )
    apart = (first[0] - second[0].to(first[0])).square().sum()
    spread = first[1].trace() + second[1].trace().to(apart)
    shared = torch.linalg.svdvals(_factor(first[1]).T @ _factor(second[1]).to(apart)).sum()
    # Rounding may leave equal pools just below zero.
    return max(float(apart + spread - 2.0 * shared), 0.0)


def _moments(name: str, mean: Array, covariance: Array) -> tuple[Tensor, Tensor]:
    mean, covariance = (torch.as_tensor(array, dtype=torch.float64) for array in (mean, covariance))
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise DubbenchError(
            f"the {name} mean {list(mean.shape)} and covariance {list(covariance.shape)} do not fit together; "
            "give [D] and [D, D]"
        )
    if not bool(torch.isfinite(mean).all() & torch.isfinite(covariance).all()):
        raise DubbenchError(f"the {name} mean or covariance is not finite; give the moments of at least 2 samples")
    return mean, covariance


def _factor(covariance: Tensor) -> Tensor:
    """F [D, R] with F F^T the covariance, negative eigenvalues taken as the rounding of zeros that they are."""
    eigen: tuple[Tensor, Tensor] = torch.linalg.eigh(covariance)
    values, vectors = eigen
    return vectors[:, values > 0] * values[values > 0].sqrt()


class Moments:
    """Running sums of features of width D in float64: constant memory for any number of samples.

    Args:
        width: D.
        sums: tensor to count into, as another object's ``sums``; a new one without.

    Attributes:
        sums: [D + 1, D + 1] sum of the outer products of (feature, 1) with itself, which holds all three moments.
    """

    def __init__(self, width: int = WIDTH, sums: Tensor | None = None) -> None:
        self.sums = torch.zeros(width + 1, width + 1, dtype=torch.float64) if sums is None else sums

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.sums[-1, -1])

    @property
    def total(self) -> Tensor:
        """[D] sum of the samples."""
        return self.sums[-1, :-1]

    @property
    def outer(self) -> Tensor:
        """[D, D] sum of their outer products."""
        return self.sums[:-1, :-1]

    def add(self, features: Tensor) -> None:
        """Count in features [N, D], N may be 0.

        Raises:
            DubbenchError: on another shape, or values that are not finite.
        """
        check_features(features, len(self.sums) - 1)
        extended = functional.pad(features.to(self.sums), (0, 1), value=1.0)
        self.sums.addmm_(extended.T, extended)

    def merge(self, other: "Moments") -> None:
        """Count in what another process or clip has summed."""
        self.sums += other.sums.to(self.sums)

    def mean(self) -> Tensor:
        """[D] float64, not finite without a sample."""
        return self.total / self.sums[-1, -1]

    def covariance(self) -> Tensor:
        """[D, D] float64, over n - 1 as ``numpy.cov``; not finite below two samples."""
        mean, n = self.mean(), self.sums[-1, -1]
        return (self.outer - n * torch.outer(mean, mean)) / (n - 1)


def check_features(features: Tensor, width: int) -> None:
    """Raise `DubbenchError` unless ``features`` are finite and [N, width]."""
    if features.ndim != 2 or features.shape[1] != width:
        raise DubbenchError(f"features have shape {list(features.shape)}; this pool takes [N, {width}] of one network")
    if not bool(torch.isfinite(features).all()):
        raise DubbenchError("features hold values that are not finite; check the network's weights and its images")


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

    def __init__(self, network: Network, minimum: int = MINIMUM, **kwargs: Any) -> None:  # noqa: ANN401
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
