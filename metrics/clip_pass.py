"""One candidate's clip on its way through a suite: every frame once, in order, in memory that does not grow."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.core.files import atomic
from dubbench.errors import DubbenchError
from dubbench.metrics.definitions import DEFINITIONS, Frames, score
from dubbench.metrics.kid import image_keys
from dubbench.metrics.sync_rules import Box, ExpertStream, Image, follower
from dubbench.metrics.sync_tracks import TrackScore

if TYPE_CHECKING:
    from dubbench.metrics.suite import Suite

NO_FACE = "no frame shows a face in both the video and its ground truth"
NO_TRACK = "no_track: no face is large enough in enough frames on end"
NO_SPEECH = "there is no speech to compare the lips with"
TOO_SHORT = "the clip is too short for a window"
RECORD = np.dtype([("key", "<i8"), ("feature", "<f4", (2048,))])


class StyleExpert(Protocol):
    """A network of this suite that compares the speaking styles of two videos, with all that it needs around it."""

    def stream(self) -> "StyleStream":
        """Begin a clip."""

    def spread(self, clips: Iterable[tuple[str, Tensor]]) -> dict[str, dict[str, float | None]]:
        """Similarity within and between the speakers of clips, speaker and landmarks [T, 68, 2] each."""


class StyleStream(Protocol):
    """One clip on its way through a style expert."""

    def add(self, pred: Tensor, target: Tensor) -> None:
        """Take the next frames that have landmarks on both sides, [n, 68, 2] each, aligned pixels at 256."""

    def finish(self) -> float | None:
        """Mean similarity over the clip's windows; None where it is too short for one."""


@dataclass(frozen=True)
class Outcome:
    """What a clip got.

    Attributes:
        values: by metric, the mean over frames or the clip's one value.
        notes: by metric without a value, why.
        tracks: face tracks that SyncNet scored, longest first.
    """

    values: dict[str, float]
    notes: dict[str, str]
    tracks: list[TrackScore] = field(default_factory=list)


class ClipPass(AbstractContextManager["ClipPass"]):
    """One candidate's clip on its way through the suite; use as a context manager and take every frame in order."""

    def __init__(self, suite: "Suite", speech: NDArray[np.int16] | None, features: Path | None) -> None:
        self.suite, self.speech = suite, speech
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._sync = [name for name in suite.metrics if DEFINITIONS[name].network == "syncnet"]
        self._follow = None
        self._expert: ExpertStream | None = None
        if speech is not None and self._sync:
            self._follow = follower(suite.sync, suite.networks, speech, suite.device)
        if speech is not None and "sync_similarity" in suite.metrics:
            self._expert = suite.networks["sync_expert"].stream(speech)
        style: StyleExpert | None = suite.networks["style_encoder"] if "style_sim" in suite.metrics else None
        self._style = style.stream() if style is not None else None
        self._file: AbstractContextManager[Path] | None = None
        self._features: IO[bytes] | None = None
        if features is not None and suite.wants("pool"):
            self._file = atomic(features)
            self._features = self._file.__enter__().open("wb")

    def look(self, image: Image, boxes: Sequence[Box], to_256: NDArray[np.float64]) -> None:
        """Take the next full frame, for what follows faces over time.

        Args:
            image: uint8 [H, W, 3] RGB.
            boxes: of the faces found in it, [4] x0, y0, x1, y1 in pixels each.
            to_256: [2, 3] from the frame to the aligned frame of 256 pixels.
        """
        if self._follow is not None:
            self._follow.add(image, boxes)
        if self._expert is not None:
            self._expert.add(image, to_256)

    @torch.inference_mode()
    def add(self, frames: Frames) -> None:
        """Take the crops of some frames."""
        for name, values in score(frames, self.suite.metrics, self.suite.networks).items():
            self._sums[name] += float(values.sum())
            self._counts[name] += len(values)
        if self._style is not None:
            self._style.add(*frames.pairs)
        if self._features is not None:
            records = np.empty(len(frames.crops), RECORD)
            records["key"] = image_keys(frames.crops).cpu().numpy()
            records["feature"] = self.suite.networks["inception"](frames.crops).float().cpu().numpy()
            self._features.write(records.tobytes())

    def finish(self) -> Outcome:
        """End the clip and give its values."""
        values = {name: self._sums[name] / count for name, count in self._counts.items() if count}
        notes = {
            name: NO_FACE
            for name in self.suite.metrics
            if DEFINITIONS[name].needs in ("landmarks", "faces") and name not in values
        }
        tracks, reason = self._tracks()
        if tracks:
            scores = tracks[0].scores
            found = {"sync_c": scores.lse_c, "sync_d": scores.lse_d, "av_offset": float(scores.av_offset)}
            values.update({name: found[name] for name in self._sync})
        else:
            notes.update(dict.fromkeys(self._sync, reason))
        no_window = NO_SPEECH if self.speech is None else TOO_SHORT
        for name, stream, reason in (
            ("sync_similarity", self._expert, no_window),
            ("style_sim", self._style, "fewer than two frames show a face in both the video and its ground truth"),
        ):
            if name in self.suite.metrics:
                similarity = stream.finish() if stream is not None else None
                if similarity is None:
                    notes[name] = reason
                else:
                    values[name] = similarity
        return Outcome(values, notes, tracks)

    def _tracks(self) -> tuple[list[TrackScore], str]:
        """The scored face tracks, longest first, and what to say where there are none."""
        if self._follow is None:
            return [], NO_SPEECH
        try:
            return self._follow.finish(), NO_TRACK
        except DubbenchError as error:
            return [], str(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the features of a clip that ended well, and leave nothing of another."""
        if self._features is not None and self._file is not None:
            self._features.close()
            self._file.__exit__(kind, error, trace)
