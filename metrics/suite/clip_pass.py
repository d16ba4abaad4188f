"""One candidate's clip on its way through a suite: every frame once, in order, in memory that does not grow."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.core.files import atomic
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.metrics.common.clips import Box, Clip, ClipStream, Image, NoValue
from dubbench.metrics.common.features import write_features
from dubbench.metrics.common.frames import Frames
from dubbench.metrics.suite.code import MetricCode
from dubbench.metrics.suite.frame_values import frame_values

NO_FACE = "no frame shows a face in both the video and its ground truth"


@dataclass(frozen=True)
class ClipScores:
    """What a clip got.

    Attributes:
        values: by metric, the mean over frames (as its ``MEANS`` has it) or the clip's one value.
        notes: by metric without a value, why.
        beside: what metrics measured besides, such as the number of face tracks.
    """

    values: dict[str, float]
    notes: dict[str, str]
    beside: dict[str, float]


class ClipPass(AbstractContextManager["ClipPass"]):
    """One candidate's clip on its way through the suite; use as a context manager and take every frame in order.

    Args:
        metrics: by name.
        clip: what is known of the clip before its first frame.
        features: file that gets the frames' features for pooled metrics; None leaves them out.
    """

    def __init__(self, metrics: Mapping[str, MetricCode], clip: Clip, features: Path | None) -> None:
        self._metrics, self._networks = metrics, clip.networks
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, int] = defaultdict(int)
        # By function, what it began, or why it began nothing: metrics of one function share a stream.
        self._streams: dict[Callable[..., object], ClipStream | NoValue] = {}
        for metric in metrics.values():
            if metric.definition.needs in ("speech", "motion") and metric.compute not in self._streams:
                self._streams[metric.compute] = _begun(metric, clip)
        self._file: AbstractContextManager[Path] | None = None
        self._features: IO[bytes] | None = None
        if features is not None and self._named("pool"):
            self._file = atomic(features)
            self._features = self._file.__enter__().open("wb")

    def _named(self, *needs: str) -> list[str]:
        return [name for name, metric in self._metrics.items() if metric.definition.needs in needs]

    def look(self, image: Image, boxes: Sequence[Box], to_256: NDArray[np.float64]) -> None:
        """Take the next full frame, for what follows faces over time; see `ClipStream.look`."""
        for stream in self._streams.values():
            if isinstance(stream, ClipStream):
                stream.look(image, boxes, to_256)

    @torch.inference_mode()
    def add(self, frames: Frames) -> None:
        """Take the crops of some frames."""
        for name, values in frame_values(frames, self._metrics.values(), self._networks).items():
            mean = self._metrics[name].mean
            self._sums[name] += float((mean.scale(values) if mean else values).sum())
            self._counts[name] += len(values)
        for stream in self._streams.values():
            if isinstance(stream, ClipStream):
                stream.add(frames)
        if self._features is not None:
            write_features(self._features, frames.crops, self._networks["inception"](frames.crops))

    def finish(self) -> ClipScores:
        """End the clip and give its values."""
        values = {name: self._mean(name) for name, count in self._counts.items() if count}
        notes = {name: NO_FACE for name in self._named("landmarks", "faces") if name not in values}
        ended = {compute: _ended(stream) for compute, stream in self._streams.items()}
        beside: dict[str, float] = {}
        for name in self._named("speech", "motion"):
            end = ended[self._metrics[name].compute]
            if isinstance(end, NoValue):
                notes[name] = str(end)
            else:
                values[name] = end[name]
                beside |= {other: value for other, value in end.items() if other not in DEFINITIONS}
        return ClipScores(values, notes, beside)

    def _mean(self, name: str) -> float:
        """The clip's value of a metric with a value a frame."""
        average, mean = self._sums[name] / self._counts[name], self._metrics[name].mean
        return mean.back(average) if mean else average

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the features of a clip that ended well, and leave nothing of another."""
        if self._features is not None and self._file is not None:
            self._features.close()
            self._file.__exit__(kind, error, trace)


def _begun(metric: MetricCode, clip: Clip) -> ClipStream | NoValue:
    try:
        stream: ClipStream = metric.compute(clip)
    except NoValue as reason:
        return reason
    return stream


def _ended(stream: ClipStream | NoValue) -> Mapping[str, float] | NoValue:
    try:
        return stream if isinstance(stream, NoValue) else stream.finish()
    except NoValue as reason:
        return reason
