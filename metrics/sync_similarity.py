"""Agreement of lips and speech by a sync expert of our own, beside SyncNet's scores."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.clips import Box, Clip, ClipMetric, ClipStream, Image, NoValue, speech_of
from dubbench.metrics.common.inference import evaluating

DEFINITIONS = (
    Definition(
        name="sync_similarity",
        text="mean cosine of dubbench's sync expert over all windows of five aligned frames and their speech",
        unit="1",
        better="higher",
        version=1,
        needs="speech",
        network="sync_expert",
        order=180,
        title="sync similarity",
        reference="RADIO eq. 4",
        deviation="an expert that trained a method prefers it; the checkpoint's sha256 stands in the record",
        reached="analytic",
    ),
)

FRAMES = 5

Expert = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes frames [B, T, 3, S, S] in [-1, 1] and mel [B, T, bands, columns], gives lips and speech [B, T - 4, E]."""


def sync_similarity(expert: Expert, frames: Tensor, mel: Tensor) -> Tensor:
    """Mean cosine of lip and speech embeddings over all runs of five frames, a value a clip (RADIO eq. 4).

    Each expert has its own scale, and one that trained the method prefers that method: the row must name it.

    Args:
        expert: takes frames [B, T, 3, S, S] in [-1, 1] and ``mel``, and gives two tensors [B, T - 4, E], such as the
            network of the ``sync_expert`` method.
        frames: [B, T, 3, S, S] aligned RGB, uint8 or floating in [0, 1], T at least 5.
        mel: [B, T, bands, columns] log-mel windows, one about each frame.

    Returns:
        [B] float64 in [-1, 1].

    Raises:
        DubbenchError: on other shapes, types or ranges, or clips shorter than five frames.
    """
    if frames.ndim != 5 or frames.shape[2] != 3 or not frames.numel():
        raise DubbenchError(f"frames have shape {list(frames.shape)}; a sync expert takes clips [B, T, 3, S, S]")
    if mel.ndim != 4 or mel.shape[:2] != frames.shape[:2]:
        raise DubbenchError(
            f"mel has shape {list(mel.shape)} for frames {list(frames.shape)}; give a window a frame, "
            f"{list(frames.shape[:2])} + [bands, columns]"
        )
    batch, time = frames.shape[:2]
    if time < FRAMES:
        raise DubbenchError(
            f"a clip of {time} frames is too short for a sync expert, which looks at {FRAMES} at a time"
        )
    with evaluating(expert):
        lips, speech = expert(_signed(frames), mel)
    if lips.shape != speech.shape or lips.ndim != 3 or lips.shape[:2] != (batch, time - FRAMES + 1):
        raise DubbenchError(
            f"sync expert gave {list(lips.shape)} and {list(speech.shape)}; two of "
            f"{[batch, time - FRAMES + 1]} + [E] are due"
        )
    return functional.cosine_similarity(lips.double(), speech.double(), dim=-1).mean(dim=1)


def _signed(frames: Tensor) -> Tensor:
    """Frames in [-1, 1], the range that networks take."""
    if frames.dtype == torch.uint8:
        return frames / 127.5 - 1.0
    low, high = (float(edge) for edge in frames.aminmax())
    if not (frames.is_floating_point() and low >= 0.0 and high <= 1.0):  # also for NaN
        raise DubbenchError(
            f"frames are {frames.dtype} from {low:g} to {high:g}; give uint8 or floating in [0, 1], "
            "that is (x + 1) / 2 of frames in [-1, 1]"
        )
    return frames * 2.0 - 1.0


class SyncJudge(Protocol):
    """A sync expert with all that it needs around it, which is handed in."""

    def stream(self, speech: NDArray[np.int16]) -> "ExpertStream":
        """Begin a clip."""


class ExpertStream(Protocol):
    """One clip on its way through a sync expert."""

    def add(self, image: Image, to_256: NDArray[np.float64]) -> None:
        """Take the next full frame, and the transform [2, 3] from it to the aligned frame of 256 pixels."""

    def finish(self) -> float | None:
        """Mean similarity over the clip's windows; None where it is too short for one."""


class _Windows(ClipStream):
    def __init__(self, clip: Clip) -> None:
        expert: SyncJudge = clip.networks["sync_expert"]
        self._stream = expert.stream(speech_of(clip))

    def look(self, image: Image, boxes: Sequence[Box], to_256: NDArray[np.float64]) -> None:
        self._stream.add(image, to_256)

    def finish(self) -> dict[str, float]:
        similarity = self._stream.finish()
        if similarity is None:
            raise NoValue("the clip is too short for a window")
        return {"sync_similarity": similarity}


COMPUTE: dict[str, ClipMetric] = {"sync_similarity": _Windows}
