"""Kernel inception distance (Binkowski et al., ICLR 2018) in constant memory."""

import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.clips import NoValue
from dubbench.metrics.common.features import PoolMetric, Pools
from dubbench.metrics.fid import check_features
from dubbench.metrics.networks import pretrained
from dubbench.metrics.networks.inception import WIDTH
from dubbench.metrics.networks.pretrained import INCEPTION, Pretrained

DEFINITIONS = (
    Definition(
        name="kid",
        text="unbiased squared MMD of the same features, cubic kernel, over at most 5000 crops a side",
        unit="1",
        better="lower",
        version=1,
        needs="pool",
        network="inception",
        order=210,
        minor=True,
        title="KID",
        reference="torchmetrics `poly_mmd`, kernel (x·y/2048 + 1)³",
        deviation=(
            "over all frames up to 5,000 a side, beyond that over those with the smallest content hash, "
            "instead of 100 random subsets"
        ),
        reached="1e-9 relative (1e-9)",
    ),
)

SAMPLE = 5000
BLOCK = 512
EMPTY = 2**63 - 1


def kernel_distance(features1: Tensor, features2: Tensor) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy under the kernel (x.y / D + 1)^3 (eq. 4 there).

    Args:
        features1: [N, D], N at least 2.
        features2: [M, D], M at least 2.

    Returns:
        The estimate, in float64; around 0, and possibly below it, for samples of one distribution.

    Raises:
        DubbenchError: on other shapes or values that are not finite.
    """
    if features1.ndim != 2 or min(len(features1), len(features2)) < 2:
        raise DubbenchError(
            f"KID takes two pools of at least 2 features [N, D], not {list(features1.shape)} and "
            f"{list(features2.shape)}; add frames"
        )
    for features in (features1, features2):
        check_features(features, features1.shape[1])
    n, m = len(features1), len(features2)
    first = _kernel_sum(features1, features1, same=True) / (n * (n - 1))
    second = _kernel_sum(features2, features2, same=True) / (m * (m - 1))
    return first + second - 2.0 * _kernel_sum(features1, features2, same=False) / (n * m)


def _kernel_sum(left: Tensor, right: Tensor, *, same: bool) -> float:
    """Sum of the kernel over all pairs, without a sample's pair with itself if both sides are the ``same``."""
    total = torch.zeros((), dtype=torch.float64, device=left.device)
    for i in range(0, len(left), BLOCK):
        rows = left[i : i + BLOCK].double()
        for j in range(i if same else 0, len(right), BLOCK):
            columns = right[j : j + BLOCK].to(rows)
            kernel = (rows @ columns.T / rows.shape[1] + 1.0) ** 3
            if not same:
                total += kernel.sum()
            elif i == j:
                total += kernel.sum() - kernel.trace()
            else:  # the kernel is symmetric, so this block stands for its mirror too
                total += 2.0 * kernel.sum()
    return float(total)


class FeatureSample:
    """The features with the smallest keys: a fixed-size sample of any number of frames.

    As keys come from the content, the sample is the same for any order, batches and number of processes.

    Args:
        width: D of the features.
        size: most features to keep.
        state: tensors to keep them in, as another object's ``keys`` and ``rows``; new ones without.

    Attributes:
        keys: [size] int64, `EMPTY` where a row is free.
        rows: [size, D] float32 features, by row of ``keys``.
    """

    def __init__(self, width: int = WIDTH, size: int = SAMPLE, state: tuple[Tensor, Tensor] | None = None) -> None:
        self.keys, self.rows = state or (torch.full((size,), EMPTY), torch.zeros(size, width))

    def add(self, features: Tensor, keys: Tensor) -> None:
        """Let features [N, D] with keys [N] in where they are smaller than those that are here.

        Raises:
            DubbenchError: on other shapes or values that are not finite.
        """
        check_features(features, self.rows.shape[1])
        if keys.shape != features.shape[:1]:
            raise DubbenchError(f"{len(features)} features came with keys {list(keys.shape)}; give one key a feature")
        size = len(self.keys)
        every = torch.cat((self.keys, keys.to(self.keys)))
        order = every.argsort(stable=True)
        inside, outside = order[:size], order[size:]
        enter, leave = inside[inside >= size], outside[outside < size]
        self.keys[leave] = every[enter]
        self.rows[leave] = features.to(self.rows)[enter - size]

    def features(self) -> Tensor:
        """[n, D] float32 features in the order of their keys, n at most the size."""
        order = self.keys.argsort(stable=True)
        return self.rows[order[self.keys[order] != EMPTY]]


def _kid(pools: Pools) -> float:
    if pools.frames < 2:
        raise NoValue(f"{pools.frames} frames are fewer than the 2 that KID asks for")
    sides = []
    for pool in (pools.pred, pools.truth):
        sample = FeatureSample()
        for features, keys in pool:
            sample.add(features, keys)
        sides.append(sample.features())
    return kernel_distance(*sides)


COMPUTE: dict[str, PoolMetric] = {"kid": _kid}
NETWORKS = {"inception": Pretrained(lambda _: pretrained.inception(), INCEPTION)}
