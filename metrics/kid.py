"""Kernel inception distance (Binkowski et al., ICLR 2018) in constant memory."""

from hashlib import blake2b
from typing import Any, ClassVar

import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics.fid import check_features
from dubbench.metrics.images import levels
from dubbench.metrics.inception import WIDTH, Network, feature_width
from dubbench.metrics.pool import FramePools, Side

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
    first = _kernel_sum(features1, features1, True) / (n * (n - 1))
    second = _kernel_sum(features2, features2, True) / (m * (m - 1))
    return first + second - 2.0 * _kernel_sum(features1, features2, False) / (n * m)


def _kernel_sum(left: Tensor, right: Tensor, same: bool) -> float:
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


def image_keys(images: Tensor) -> Tensor:
    """A pseudo-random key an image that depends on nothing but its pixels.

    Args:
        images: [N, 3, H, W] RGB, uint8 or floating in [0, 1]; the latter are rounded to grey levels first.

    Returns:
        [N] int64, at least 0, on the CPU.

    Raises:
        DubbenchError: on another shape, type or range.
    """
    pixels = levels("image batch", images).round().to("cpu", torch.uint8)
    digests = (blake2b(image.numpy().tobytes(), digest_size=8).digest() for image in pixels)
    return torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in digests], dtype=torch.int64)


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

    def merge(self, other: "FeatureSample") -> None:
        """Let in what another process or clip has sampled."""
        self.add(other.rows, other.keys)

    def features(self) -> Tensor:
        """[n, D] float32 features in the order of their keys, n at most the size."""
        order = self.keys.argsort(stable=True)
        return self.rows[order[self.keys[order] != EMPTY]]


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
