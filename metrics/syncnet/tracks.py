"""SyncNet scores of the faces in a whole picture: each face track cropped and scored against its own sound."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.face.tracks import Box, FaceTrack, FaceTracks, TrackCrops, TrackRules
from dubbench.metrics.syncnet.mfcc import SAMPLE_RATE, check_audio
from dubbench.metrics.syncnet.network import SyncEmbedder, SyncNet
from dubbench.metrics.syncnet.scores import SAMPLES, SyncScores, SyncStream, window_count


@dataclass(frozen=True)
class TrackScore:
    """The scores of one face track.

    Attributes:
        start: its first frame in the clip.
        frames: its length.
        scores: what SyncNet says of it.
    """

    start: int
    frames: int
    scores: SyncScores


class SyncTracks:
    """Sync scores of all face tracks of a clip at 25 frames/s, while its frames come in.

    Tracks and crops are those of ``run_pipeline.py`` in joonson/syncnet_python (`dubbench.face.tracks`), the scores
    those of `sync_scores`; a track is scored against the sound from its first frame to its last. Crops go to the
    network as they are, without the XVID and JPEG steps of the official scripts. Memory does not grow with the clip.

    Args:
        network: `SyncNet`, or anything that embeds as it does.
        audio: [S] int16, mono, 16 kHz, of the whole clip, beginning with its first frame.
        rules: what makes a track: ``PIPELINE`` or ``LANDMARK`` of `dubbench.face.tracks`, or others.
        device: where to compute, where the network's weights are if not given.

    Raises:
        DubbenchError: on audio of another type or shape.

    Attributes:
        tracks: after `finish` all tracks, also those not kept, with the reason.
    """

    def __init__(
        self,
        network: SyncEmbedder,
        audio: NDArray[np.int16],
        rules: TrackRules,
        device: torch.device | str | None = None,
    ) -> None:
        check_audio(audio)
        # Folded here, once, and not by each track's stream again.
        folded = network.folded(device) if isinstance(network, SyncNet) else None
        self._network: SyncEmbedder = folded or network
        self._device = folded.device if folded else device
        self._audio = audio
        self._faces = FaceTracks(rules)
        self._streams: dict[int, SyncStream] = {}
        self._scored: list[TrackScore] = []
        self.tracks: list[FaceTrack] = []

    def add(self, image: NDArray[np.uint8], boxes: Sequence[Box], cut: bool = False) -> None:
        """Add the clip's next frame.

        Args:
            image: uint8 [H, W, 3] RGB; not to be written into before the clip is finished.
            boxes: the faces in it, each (x0, y0, x1, y1) in px.
            cut: whether the frame starts a new shot.

        Raises:
            DubbenchError: if the image or a box is no such thing.
        """
        self._take(self._faces.add(image, boxes, cut))

    def finish(self) -> list[TrackScore]:
        """End the clip.

        Returns:
            The scored tracks, the longest first; none where there is no usable track. A track whose sound ends before
            its first window is left out.

        Raises:
            DubbenchError: if that leaves out every usable track.
        """
        remaining, self.tracks = self._faces.finish()
        self._take(remaining)
        kept = [track for track in self.tracks if track.kept]
        if kept and not self._scored:
            raise DubbenchError(
                f"the audio ends after {len(self._audio) / SAMPLE_RATE:.2f} s, before a window of any of the "
                f"{len(kept)} usable face tracks; give the sound of the whole clip"
            )
        return sorted(self._scored, key=lambda score: (-score.frames, score.start))

    def _take(self, ready: Sequence[TrackCrops]) -> None:
        for number, first, crops, ended in ready:
            sound = self._audio[first * SAMPLES :]
            if number not in self._streams and len(sound):
                self._streams[number] = SyncStream(self._network, sound, device=self._device)
            if number in self._streams:
                self._streams[number].add(crops)
            if ended is not None:
                self._end(ended, self._streams.pop(number, None))

    def _end(self, track: FaceTrack, stream: SyncStream | None) -> None:
        samples = len(self._audio) - track.start * SAMPLES
        if stream is not None and track.kept and window_count(track.length, samples):
            self._scored.append(TrackScore(track.start, track.length, stream.finish()))
