"""SyncNet's scores as a torchmetrics class."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from dubbench.metrics.lse import sync_scores
from dubbench.metrics.syncnet.network import SyncEmbedder
from dubbench.metrics.syncnet.scores import Crops, Sound, window_count


class Sync(Metric):
    """Means over clips of Sync-D, Sync-C and the offset; a clip too short for a window is counted, not scored.

    Args:
        network: `SyncNet`, or anything that embeds as it does.
        kwargs: torchmetrics' own options.
    """

    is_differentiable = False
    full_state_update = False
    unit: ClassVar[str] = "distance; av_offset in frames"
    lse_d: Tensor
    lse_c: Tensor
    av_offset: Tensor
    clips: Tensor
    failed: Tensor

    def __init__(self, network: SyncEmbedder, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.network = network
        for name in ("lse_d", "lse_c", "av_offset"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("clips", "failed"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, frames: Crops, audio: Sound) -> None:
        """Add one clip, shapes as `sync_scores` takes them."""
        if not window_count(len(frames), len(audio)):
            self.failed += 1
            return
        scores = sync_scores(self.network, frames, audio)
        self.lse_d += scores.lse_d
        self.lse_c += scores.lse_c
        self.av_offset += scores.av_offset
        self.clips += 1

    def compute(self) -> dict[str, Tensor]:
        """Means ``lse_d`` (lower is better), ``lse_c`` (higher is better), ``av_offset``, NaN before the first clip.

        With them ``clips``, how many they are over, and ``failed``, how many were too short.
        """
        means = {name: getattr(self, name) / self.clips for name in ("lse_d", "lse_c", "av_offset")}
        return {**means, "clips": self.clips, "failed": self.failed}
