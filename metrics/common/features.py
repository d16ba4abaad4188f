"""Features of many clips' frames, in files on the way to the metrics that pool all frames of a split."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from dubbench.metrics.common.images import image_keys

RECORD = np.dtype([("key", "<i8"), ("feature", "<f4", (2048,))])
BLOCK = 512


def write_features(file: IO[bytes], crops: Tensor, features: Tensor) -> None:
    """Append frames.

    Args:
        file: to write into.
        crops: [N, 3, H, W] uint8 RGB.
        features: [N, 2048] floating, of the crops.
    """
    records = np.empty(len(crops), RECORD)
    records["key"] = image_keys(crops).cpu().numpy()
    records["feature"] = features.float().cpu().numpy()
    file.write(records.tobytes())


class FeaturePool:
    """The frames of one side: as many as ``len`` says, a block after the other by iteration, never all in memory.

    Blocks are features [n, 2048] float32 and keys [n] int64 (see `dubbench.metrics.common.images.image_keys`).
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = list(files)

    def __len__(self) -> int:
        return sum(path.stat().st_size // RECORD.itemsize for path in self._files)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for path in self._files:
            records = np.memmap(path, RECORD, mode="r") if path.stat().st_size else np.empty(0, RECORD)
            for start in range(0, len(records), BLOCK):
                part = records[start : start + BLOCK]
                yield torch.from_numpy(np.array(part["feature"])), torch.from_numpy(np.array(part["key"]))


@dataclass(frozen=True)
class Pools:
    """All frames of a split.

    Attributes:
        pred: the candidate's.
        truth: the ground truth's, of the same clips.
        minimum: frames a side that the run asks for.
    """

    pred: FeaturePool
    truth: FeaturePool
    minimum: int

    @property
    def frames(self) -> int:
        """Frames of the smaller side."""
        return min(len(self.pred), len(self.truth))


PoolMetric = Callable[[Pools], float]
"""What ``COMPUTE`` holds under the need ``pool``; raises `dubbench.metrics.common.clips.NoValue` if there is none."""
