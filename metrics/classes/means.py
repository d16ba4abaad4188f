"""Metrics with a value a sample as torchmetrics classes: the mean over samples, exact over batches and processes."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from dubbench.metrics.csim import Embedder, csim
from dubbench.metrics.lmd import Region, lmd
from dubbench.metrics.lpips import lpips
from dubbench.metrics.ms_ssim import ms_ssim
from dubbench.metrics.mse import mse
from dubbench.metrics.psnr import POOLED, psnr
from dubbench.metrics.ssim import ssim
from dubbench.metrics.style import WINDOW, StyleEncoder, style_similarity
from dubbench.metrics.sync_similarity import Expert, sync_similarity


class SampleMean(Metric):
    """Mean over samples of a function that gives one value a sample; a sub-class names the function.

    Sums are float64, so neither the batch size nor the number of processes changes the digits that are printed.

    Attributes:
        unit: what a value is measured in.
    """

    is_differentiable = False
    full_state_update = False
    unit: ClassVar[str] = ""
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a sample."""
        raise TypeError(f"{type(self).__name__} names no function of its own")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add a batch; shapes and ranges as the metric's function takes them."""
        self.add(self.values(pred, target))

    def add(self, values: Tensor) -> None:
        """Add a batch's values [N], from whatever device."""
        self.total += values.sum().to(self.total.device)
        self.count += len(values)

    def compute(self) -> Tensor:
        """Mean over all samples so far, NaN before the first."""
        return self.total / self.count


class PSNR(SampleMean):
    """PSNR of the samples' mean error, in dB, as the suite has it of a clip's frames: finite unless all are equal."""

    higher_is_better = True
    unit: ClassVar[str] = "dB"

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] what is averaged: each sample's error."""
        return POOLED.scale(psnr(pred, target))

    def compute(self) -> Tensor:
        """Of all samples so far, NaN before the first."""
        return self.total.new_tensor(POOLED.back(float(super().compute())))


class SSIM(SampleMean):
    """Mean over samples of `ssim`."""

    higher_is_better = True
    unit: ClassVar[str] = "1"

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a sample."""
        return ssim(pred, target)


class MSSSIM(SampleMean):
    """Mean over samples of `ms_ssim`."""

    higher_is_better = True
    unit: ClassVar[str] = "1"

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a sample."""
        return ms_ssim(pred, target)


class MSE(SampleMean):
    """Mean over samples of `mse`."""

    higher_is_better = False
    unit: ClassVar[str] = "grey levels^2"

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a sample."""
        return mse(pred, target)


class LPIPSDistance(SampleMean):
    """Mean over samples of `lpips`.

    Args:
        network: `LPIPS` with its trunk loaded.
        kwargs: torchmetrics' own options.
    """

    higher_is_better = False
    unit: ClassVar[str] = "1"

    def __init__(self, network: Callable[[Tensor, Tensor], Tensor], **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.network = network

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a sample."""
        return lpips(pred, target, self.network)


class CSIM(SampleMean):
    """Mean over frames of `csim`.

    Args:
        embedder: as `csim` takes it.
        kwargs: torchmetrics' own options.
    """

    higher_is_better = True
    unit: ClassVar[str] = "1"

    def __init__(self, embedder: Embedder, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.embedder = embedder

    def update(self, pred: Tensor, target: Tensor, points: Tensor) -> None:  # type: ignore[override]
        """Add a batch; as `csim` takes it."""
        self.add(csim(self.embedder, pred, target, points))


class LMD(SampleMean):
    """Mean over frames of `lmd`.

    Args:
        region: ``mouth``, ``face`` or ``outside``, see `lmd`.
        centred: subtract the region's mean.
        kwargs: torchmetrics' own options.
    """

    higher_is_better = False
    unit: ClassVar[str] = "px"

    def __init__(self, region: Region = "mouth", centred: bool = True, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.region: Region = region
        self.centred = centred

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a frame."""
        return lmd(pred, target, self.region, centred=self.centred)


class SyncSimilarity(SampleMean):
    """Mean over clips of `sync_similarity`.

    Args:
        expert: as `sync_similarity` takes it.
        kwargs: torchmetrics' own options.
    """

    higher_is_better = True
    unit: ClassVar[str] = "1"

    def __init__(self, expert: Expert, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.expert = expert

    def update(self, frames: Tensor, mel: Tensor) -> None:
        """Add a batch; as `sync_similarity` takes it."""
        self.add(sync_similarity(self.expert, frames, mel))


class StyleSim(SampleMean):
    """Mean over clips of `style_similarity`.

    Args:
        encoder: as `style_similarity` takes it.
        window: frames of a window.
        kwargs: torchmetrics' own options.
    """

    higher_is_better = True
    unit: ClassVar[str] = "1"

    def __init__(self, encoder: StyleEncoder, window: int = WINDOW, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.window = window

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a clip."""
        return style_similarity(self.encoder, pred, target, self.window)
