"""Similarity of speaking style (StyleSim), PersonaTalk 4.2."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.clips import Clip, ClipMetric, ClipStream, NoValue
from dubbench.metrics.common.frames import Frames
from dubbench.metrics.common.inference import evaluating

DEFINITIONS = (
    Definition(
        name="style_sim",
        text=(
            "StyleSim: mean over 4-s windows of the cosine of dubbench's style encoder, expression-only "
            "vertices fitted to the 68 landmarks of either video"
        ),
        unit="1",
        better="higher",
        version=1,
        needs="motion",
        network="style_encoder",
        order=190,
        title="StyleSim",
        reference="PersonaTalk 4.2",
        deviation=(
            "our `style_encoder` (the paper's is not public, its values are not to be compared with); vertices "
            "of both videos fitted in closed form to the 68 landmarks; windows (4 s, or the encoder's) follow "
            "on each other, the last one ends with the clip. The record has the ground truth's similarity "
            "within and between speakers, the scale to read it by"
        ),
        reached="analytic",
    ),
)

WINDOW = 100

StyleEncoder = Callable[[Tensor], Tensor]
"""Takes expression sequences [N, T, V] without head pose, gives style vectors [N, E]."""


def style_similarity(encoder: StyleEncoder, pred: Tensor, target: Tensor, window: int = WINDOW) -> Tensor:
    """Cosine of the style vectors of two expression sequences, a value a clip.

    Windows of 4 s follow on each other, as long as those that DiffPoseTalk's style encoder (the structure that
    PersonaTalk names) is trained on; the value is the mean over them. The last window ends with the clip, so that every
    frame counts and no window is short, and overlaps the one before as far as it must. A clip shorter than a window is
    one window. No public encoder matches the paper's, so its values are not to be compared with.

    Args:
        encoder: takes [N, T, V] and gives [N, E]; must depend on the order of frames.
        pred: [N, T, ...] floating, expression-only vertices or coefficients at 25 fps; trailing axes become V.
        target: as ``pred``, paired frame by frame.
        window: frames of a window.

    Returns:
        [N] float64 in [-1, 1], 1 for equal sequences.

    Raises:
        DubbenchError: on unequal or other shapes or types, values that are not finite, or a window without frames.
    """
    if pred.shape != target.shape:
        raise DubbenchError(
            f"prediction {list(pred.shape)} and target {list(target.shape)} differ in shape; cut them to equal lengths"
        )
    if window < 1:
        raise DubbenchError(f"a window of {window} frames holds no style; give at least one frame")
    left, right = _sequence("prediction", pred), _sequence("target", target)
    length = left.shape[1]
    size = min(window, length)
    starts = [*range(0, length - size, size), length - size]
    values = []
    with evaluating(encoder):
        for start in starts:
            styles = [encoder(side[:, start : start + size]) for side in (left, right)]
            for style in styles:
                if style.ndim != 2 or len(style) != len(left):
                    raise DubbenchError(f"style encoder gave {list(style.shape)}; one vector a clip is due, [N, E]")
            values.append(functional.cosine_similarity(styles[0].double(), styles[1].double(), dim=1))
    return torch.stack(values).mean(dim=0)


def _sequence(name: str, values: Tensor) -> Tensor:
    """[N, T, V] of a checked sequence."""
    if values.ndim < 3 or not values.numel() or not values.is_floating_point():
        raise DubbenchError(f"{name} is {values.dtype} {list(values.shape)}; style is of floating sequences [N, T, V]")
    if not bool(torch.isfinite(values).all()):
        raise DubbenchError(f"{name} holds values that are not finite; leave frames without a face out, counted")
    return values.flatten(2)


class StyleJudge(Protocol):
    """A style encoder with all that it needs around it, which is handed in."""

    def stream(self) -> "StyleJudgeStream":
        """Begin a clip."""

    def spread(self, clips: Iterable[tuple[str, Tensor]]) -> dict[str, dict[str, float | None]]:
        """Similarity within and between the speakers of clips, speaker and landmarks [T, 68, 2] each."""


class StyleJudgeStream(Protocol):
    """One clip on its way through a style expert."""

    def add(self, pred: Tensor, target: Tensor) -> None:
        """Take the next frames that have landmarks on both sides, [n, 68, 2] each, aligned pixels at 256."""

    def finish(self) -> float | None:
        """Mean similarity over the clip's windows; None where it is too short for one."""


class _Styles(ClipStream):
    def __init__(self, clip: Clip) -> None:
        expert: StyleJudge = clip.networks["style_encoder"]
        self._stream = expert.stream()

    def add(self, frames: Frames) -> None:
        self._stream.add(*frames.pairs)

    def finish(self) -> dict[str, float]:
        similarity = self._stream.finish()
        if similarity is None:
            raise NoValue("fewer than two frames show a face in both the video and its ground truth")
        return {"style_sim": similarity}


def _spread(expert: StyleJudge, clips: Iterable[tuple[str, Tensor]]) -> dict[str, dict[str, float | None]]:
    return expert.spread(clips)


COMPUTE: dict[str, ClipMetric] = {"style_sim": _Styles}
GROUND_TRUTH = {"style_sim": _spread}
