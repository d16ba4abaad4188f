"""Windows of the training's length over speech of any length, faded into one another."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F


class Overlap:
    """Joins windows that overlap, as they come: weights rise to a window's middle and fall after it.

    Attributes:
        window: length of a window, but for a clip that is shorter.
        hop: from a window's start to the next; half a window.
    """

    def __init__(self, window: int) -> None:
        self.window, self.hop = window, max(window // 2, 1)
        self._total: Tensor | None = None
        self._weight = torch.zeros(0)
        self._start = 0

    def add(self, start: int, made: Tensor) -> Tensor:
        """Take the window [n, ...] that begins at ``start``; give what no later one reaches, all before ``start``."""
        done = self._take(start - self._start) if self._total is not None else made[:0]
        fade = torch.arange(1, len(made) + 1, device=made.device)
        fade = torch.minimum(fade, fade.flip(0)).to(made.dtype)
        faded = made * fade.view(-1, *[1] * (made.dim() - 1))
        if self._total is None:
            self._total, self._weight = faded, fade
        else:
            grown = len(made) - len(self._total)
            self._total = F.pad(self._total, (0, 0) * (made.dim() - 1) + (0, grown)) + faded
            self._weight = F.pad(self._weight, (0, grown)) + fade
        self._start = start
        return done

    def rest(self) -> Tensor:
        """What is left after the last window."""
        assert self._total is not None
        return self._take(len(self._total))

    def _take(self, count: int) -> Tensor:
        assert self._total is not None
        done = self._total[:count] / self._weight[:count].view(-1, *[1] * (self._total.dim() - 1))
        self._total, self._weight = self._total[count:], self._weight[count:]
        return done


def overlapping(make: Callable[[int, int], Tensor], frames: int, window: int) -> Iterator[Tensor]:
    """Generate a clip in windows of the training's length that overlap by half, faded into one another.

    Attention has never seen a place beyond the training's windows, and a clip may have any length; what is held is one
    window at a time.

    Args:
        make: gives [stop - start, ...] for the frames start to stop - 1.
        frames: of the clip.
        window: longest stretch that ``make`` is asked for.

    Yields:
        [n, ...], in order, ``frames`` in all.
    """
    overlap = Overlap(window)
    last = max(frames - window, 0)
    for start in (*range(0, last, overlap.hop), last):
        done = overlap.add(start, make(start, min(start + window, frames)))
        if len(done):
            yield done
    yield overlap.rest()
