"""Similarity of speaking style (StyleSim), PersonaTalk 4.2."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.inference import evaluating
from dubbench.metrics.mean import SampleMean

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
