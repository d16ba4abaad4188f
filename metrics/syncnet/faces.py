"""How SyncNet gets to see the faces of a clip, frame by frame."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.face.scenes import Cuts
from dubbench.face.tracks import LANDMARK, PIPELINE
from dubbench.metrics.common.clips import Box, Image
from dubbench.metrics.common.options import SyncRule
from dubbench.metrics.syncnet.network import SIZE
from dubbench.metrics.syncnet.scores import SyncStream
from dubbench.metrics.syncnet.tracks import SyncTracks, TrackScore


class _Whole:
    """Whole frames, for videos that are cropped for SyncNet already."""

    def __init__(self, stream: SyncStream) -> None:
        self._stream, self._frames = stream, 0

    def add(self, image: Image, boxes: Sequence[Box]) -> None:
        small = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        self._stream.add(np.ascontiguousarray(small[None, ..., ::-1]))
        self._frames += 1

    def finish(self) -> list[TrackScore]:
        return [TrackScore(0, self._frames, self._stream.finish())]


class _Tracked:
    """Frames whose faces are tracked from shot to shot."""

    def __init__(self, tracks: SyncTracks, detector: Any) -> None:  # noqa: ANN401
        self._tracks, self._detector, self._cuts = tracks, detector, Cuts()

    def add(self, image: Image, boxes: Sequence[Box]) -> None:
        found = boxes if self._detector is None else self._detector.detect(image)
        self._tracks.add(image, found, cut=self._cuts.add(image))

    def finish(self) -> list[TrackScore]:
        return self._tracks.finish()


def follower(
    rule: SyncRule, networks: Mapping[str, Any], speech: NDArray[np.int16], device: torch.device
) -> _Whole | _Tracked:
    """Begin a clip under a rule.

    Args:
        rule: see `dubbench.metrics.common.options.SuiteOptions`.
        networks: ``syncnet``, and ``s3fd`` under ``pipeline``.
        speech: [S] 16 kHz mono from the first frame on, S at least 1.
        device: where SyncNet runs.
    """
    if rule == "precropped":
        return _Whole(SyncStream(networks["syncnet"], speech, device=device))
    pipeline = rule == "pipeline"
    tracks = SyncTracks(networks["syncnet"], speech, PIPELINE if pipeline else LANDMARK, device=device)
    return _Tracked(tracks, networks["s3fd"] if pipeline else None)
