"""Frechet inception distance: between Gaussian fits of two pools of features, over running sums."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.clips import NoValue
from dubbench.metrics.common.features import PoolMetric, Pools
from dubbench.metrics.networks import pretrained
from dubbench.metrics.networks.inception import WIDTH
from dubbench.metrics.networks.pretrained import INCEPTION, Pretrained

DEFINITIONS = (
    Definition(
        name="fid",
        text="Frechet distance of pytorch-fid's Inception features over all crops of the split",
        unit="1",
        better="lower",
        version=1,
        needs="pool",
        network="inception",
        order=200,
        title="FID",
        reference="pytorch-fid 0.3.0, 2048 pool features, ddof 1",
        deviation=(
            "running sums in float64; trace of the root by singular values of factors, which rank-deficient "
            "covariances do not disturb; no value below 2,048 frames unless the protocol's `pool_minimum` "
            "allows"
        ),
        reached="5e-7 relative at 2048 (1e-4)",
    ),
)

Array = Tensor | NDArray[np.float64]


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


def _fid(pools: Pools) -> float:
    if pools.frames < max(pools.minimum, 2):
        raise NoValue(f"{pools.frames} frames are fewer than the {pools.minimum} that FID asks for")
    sides = []
    for pool in (pools.pred, pools.truth):
        moments = Moments()
        for features, _ in pool:
            moments.add(features)
        sides += [moments.mean(), moments.covariance()]
    return frechet_distance(*sides)


COMPUTE: dict[str, PoolMetric] = {"fid": _fid}
NETWORKS = {"inception": Pretrained(lambda _: pretrained.inception(), INCEPTION)}
