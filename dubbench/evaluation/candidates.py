"""What can be scored: a model, finished videos, and the two ends of the scale that stand in every table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.core.files import sha256 as file_sha256
from dubbench.core.weights import weights_sha256
from dubbench.datamodules.batch import Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.evaluation.footage import Footage
from dubbench.face.choice import Faces
from dubbench.face.opening import mouth_opening
from dubbench.face.warp import paste
from dubbench.media.container import Image
from dubbench.media.flaws import Flaws
from dubbench.protocols.protocol import Protocol as Rules
from dubbench.results.rows import COPY_REFERENCE, GROUND_TRUTH


class Dubber(Protocol):
    """What makes aligned frames: every `DubbingModel`, and anything of this form."""

    def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
        """Yield a uint8 RGB frame [s, s, 3] in aligned space for each frame of the clip."""

    def paste_mask(self) -> NDArray[np.float32]:
        """[s, s] in [0, 1], the part of an aligned frame that goes into the video."""

    def parameter_count(self) -> int:
        """Parameters that inference runs."""


@dataclass(frozen=True)
class ScoringJob:
    """One clip under a protocol.

    Attributes:
        footage: the ground truth.
        speech: float32 [S] that drives it, 16 kHz; None where there is none, which no dubber can do without.
        rules: the protocol.
        seed: draws a method's native references.
        prepared: the prepared clip that dubbers work on; None for videos that are only scored.
        driver: the prepared clip whose speech it is, where that is another one.
        faces: whose face is scored where there are several, as `dubbench.face.choice` has it; the footage follows it.
    """

    footage: Footage
    speech: NDArray[np.float32] | None
    rules: Rules
    seed: int = 0
    prepared: PreparedClip | None = None
    driver: PreparedClip | None = None
    faces: Faces = "largest"

    @property
    def clip(self) -> PreparedClip:
        """The prepared clip; raises `DubbenchError` where there is none."""
        if self.prepared is None:
            raise DubbenchError(f"{self.footage.name} is not prepared, so nothing can dub it; run dubbench prepare")
        return self.prepared

    @cached_property
    def source_opening(self) -> list[float | None]:
        """How far the clip's own mouth was open as it was filmed, a number a frame; read once for all candidates."""
        return _filmed(self.clip)

    @cached_property
    def driver_opening(self) -> list[float | None]:
        """The same of whoever drives it; nothing where no other clip does."""
        return [] if self.driver is None else _filmed(self.driver)


def _filmed(clip: PreparedClip) -> list[float | None]:
    points = clip.points()
    return mouth_opening(points, points, clip.detected())


class CandidateFrames:
    """One candidate on one clip, asked for its frames in order.

    Attributes:
        seconds: time spent on generation so far; None where no method generates.
        beyond: frames after the clip's last one, as far as they were counted.
        flaws: of the files that it reads; None where it reads none.
    """

    seconds: float | None = None
    beyond: int = 0
    flaws: Flaws | None = None

    def frame(self, truth: Image, transform: NDArray[np.float64]) -> Image | None:
        """The next full frame.

        Args:
            truth: the source frame, uint8 [H, W, 3].
            transform: [2, 3] from the clip's aligned square to the source frame.

        Returns:
            uint8 [H, W, 3], or None after the candidate's last frame.

        Raises:
            DubbenchError: if the frame cannot be scored.
        """
        return truth

    def finish(self) -> None:
        """Called after the clip's last frame; raises `DubbenchError` if the candidate's length is wrong."""

    def close(self) -> None:
        """Let go of files and generators."""


class Candidate:
    """A row of the table; this one is the ground truth.

    Attributes:
        name: of the row.
        writes: whether its frames are written as a video.
    """

    name: str = GROUND_TRUTH
    writes: bool = True

    def fingerprint(self, clip: str) -> str:
        """Of what makes its frames, beside the clip and the protocol; empty if unknown, then nothing is reused."""
        return "source frames"

    def describe(self) -> dict[str, Any]:
        """What ``run.json`` says about it."""
        return {"kind": "the source frames"}

    def start(self, job: ScoringJob) -> CandidateFrames:
        """Begin a clip; raises `DubbenchError` if there is nothing to score."""
        return CandidateFrames()

    def sound(self, job: ScoringJob) -> NDArray[np.float32] | None:
        """Speech that the lips shall fit and that goes under the video that is written; None where there is none."""
        return job.footage.speech


class CopyReference:
    """The target's upper half with the reference's lower half, in aligned space."""

    def __init__(self, size: int) -> None:
        """Copy frames of ``size`` pixels, that of the prepared clips."""
        self.size = size

    def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
        """See `Dubber`; the first reference is copied and the speech ignored."""
        lower = clip.frames(references[:1], self.size)[0, self.size // 2 :]
        for target in clip.stream(self.size):
            yield np.concatenate([target[: self.size // 2], lower])

    def paste_mask(self) -> NDArray[np.float32]:
        """The lower half: the upper one is the target's already."""
        mask = np.zeros((self.size, self.size), np.float32)
        mask[self.size // 2 :] = 1
        return mask

    def parameter_count(self) -> int:
        """It has none."""
        return 0


class Dubbed(Candidate):
    """A dubber whose aligned frames are pasted back into the source frames."""

    def __init__(self, name: str, dubber: Dubber, checkpoint: Path | None = None) -> None:
        """Name a row.

        Args:
            name: of the row.
            dubber: makes the frames.
            checkpoint: file of its weights, if they came from one.
        """
        self.name, self.dubber, self.checkpoint = name, dubber, checkpoint
        self.mask = np.asarray(dubber.paste_mask(), np.float32)
        self._digest = file_sha256(checkpoint) if checkpoint else ""
        self._weights = self._digest or _weights(dubber)

    def fingerprint(self, clip: str) -> str:
        """Class and weights."""
        if isinstance(self.dubber, CopyReference):
            return f"lower half of the reference at {self.dubber.size}"
        return f"{_path(self.dubber)} {self._weights}" if self._weights else ""

    def describe(self) -> dict[str, Any]:
        """See `Candidate`."""
        return {
            "kind": "the source's upper and the reference's lower half" if self.name == COPY_REFERENCE else "model",
            "class": _path(self.dubber),
            "parameters": self.dubber.parameter_count(),
            "checkpoint": self.checkpoint.name if self.checkpoint else "",
            "checkpoint_sha256": self._digest,
            "weights_sha256": self._weights,
        }

    def start(self, job: ScoringJob) -> CandidateFrames:
        """See `Candidate`."""
        if job.speech is None:
            raise DubbenchError(f"{job.footage.name} has no speech to be driven by; give a clip with sound")
        frames = self.dubber.dub(job.clip, job.speech, self.references(job))
        return _Pasted(frames, self.mask, job.clip.info.size, timed=self.name != COPY_REFERENCE)

    def sound(self, job: ScoringJob) -> NDArray[np.float32] | None:
        """The driving speech."""
        return job.speech

    def references(self, job: ScoringJob) -> list[int]:
        """Frame numbers that the protocol lets the dubber see, all of frames with a face."""
        # Without a window of its own, as copy_reference, a dubber's native reference is the first frame too.
        if job.rules.references == "first_frame" or getattr(self.dubber, "window", None) is None:
            return [first_with_face(job.clip)]
        return native_references(self.dubber, job.clip, job.seed)


def first_with_face(clip: PreparedClip) -> int:
    """The first frame that shows the face: what a protocol calls a clip's first frame."""
    return int(np.argmax(clip.detected()))


def native_references(dubber: Dubber, clip: PreparedClip, seed: int = 0) -> list[int]:
    """Frame numbers of a clip that a method sees when it may choose as its paper does, of frames with a face.

    Args:
        dubber: a method with a window.
        clip: with a face in one frame at least.
        seed: of what is drawn at random.
    """
    window: Window = getattr(dubber, "window")  # noqa: B009  # the protocol asks for none
    # A method that chooses among a clip's frames itself, as PersonaTalk's Algorithm 1, natively sees all of them.
    if getattr(dubber, "chooses_references", False):
        return list(range(len(clip)))
    if getattr(dubber, "dubs_from_first", False):
        return [first_with_face(clip)]
    shown: list[int] = np.flatnonzero(clip.detected()).tolist()
    if window.reference_rule == "first":
        return shown[: window.references]
    seeds = [seed, *sha256(clip.info.clip.encode()).digest()]
    count = len(shown)
    drawn = np.random.default_rng(seeds).choice(count, window.references, replace=count < window.references)
    return [shown[place] for place in sorted(drawn.tolist())]


class _Pasted(CandidateFrames):
    def __init__(self, frames: Iterator[Image], mask: NDArray[np.float32], size: int, timed: bool) -> None:
        self._frames, self._mask, self._size = frames, mask, size
        self.seconds = 0.0 if timed else None

    def frame(self, truth: Image, transform: NDArray[np.float64]) -> Image | None:
        aligned = self._next()
        if aligned is None:
            raise DubbenchError("the method stopped before the clip's last frame; it must give one for each")
        side = len(self._mask)
        if aligned.dtype != np.uint8 or aligned.shape != (side, side, 3):
            raise DubbenchError(
                f"the method gave {aligned.dtype} {list(aligned.shape)}; its mask asks for uint8 {[side, side, 3]}"
            )
        return paste(truth, aligned, transform * [self._size / side, self._size / side, 1.0], self._mask)

    def finish(self) -> None:
        if self._next() is not None:
            raise DubbenchError("the method went on after the clip's last frame; it must give one for each")

    def close(self) -> None:
        close = getattr(self._frames, "close", None)
        if close:
            close()

    def _next(self) -> Image | None:
        start = perf_counter()
        aligned = next(self._frames, None)
        if self.seconds is not None:
            self.seconds += perf_counter() - start
        return aligned


def _path(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _weights(dubber: Dubber) -> str:
    """Hash of a module's state; empty for what has none."""
    if not isinstance(dubber, torch.nn.Module):
        return ""
    return weights_sha256(dubber.state_dict())
