"""Other moments of a window's own clip: their speech, which costs no pictures, for losses that tell moments apart."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dubbench.datamodules.batch import SAMPLES_PER_FRAME, Batch, Mel
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.mel import clip_windows, context
from dubbench.datamodules.windows import Place, WindowDataset
from dubbench.errors import DubbenchError

# Frames from one moment to the next at least, a fifth of a second, as long as what one frame hears: single frames side
# by side show and hear nearly the same. The sync expert's off-sync pairs are no closer either.
APART = 5


class MomentsDataset(WindowDataset):
    """A `WindowDataset` whose batches hold the speech of other moments of each window's clip, see `other_starts`."""

    def __init__(self, *args: Any, moments: int, **options: Any) -> None:  # noqa: ANN401
        """Arguments of `WindowDataset`, and how many moments each window comes with at most.

        Raises:
            DubbenchError: as `WindowDataset`, or if there is no such number of moments or the window has no speech.
        """
        super().__init__(*args, **options)
        if moments < 1 or self.window.mel is None:
            raise DubbenchError(
                f"{moments} other moments with the mel features {self.window.mel} cannot be read; take 1 or more, "
                "of a window with mel features"
            )
        self.moments = moments

    def collate(self, places: Sequence[Place]) -> Batch:
        """Read windows into one batch, in their order, each with its moments."""
        rows = [self._moments(place) for place in places]
        starts, mels = (torch.stack(list(parts)) for parts in zip(*rows, strict=True))
        return replace(super().collate(places), other_starts=starts, other_mel=mels)

    def _moments(self, place: Place) -> tuple[Tensor, Tensor]:
        """First frames [K] and mel windows [K, T, bands, columns] of a window's other moments."""
        frames, mel = self.window.frames, self.window.mel
        assert mel is not None
        starts = other_starts(place.start, frames, self._stretch(len(place.clip)), self.moments)
        numbers = torch.full((self.moments,), -1)
        numbers[: len(starts)] = torch.tensor(starts, dtype=torch.int64)
        heard = torch.zeros(self.moments, frames, mel.bands, mel.columns)
        if starts:
            # They and the window itself lie next to each other, so all is one stretch of speech.
            first = min(place.start, starts[0])
            run = frame_speech(place.clip, mel, first, max(place.start, starts[-1]) + frames)
            for row, start in zip(heard, starts, strict=False):
                row[:] = run[start - first : start - first + frames]
        return numbers, heard


def other_starts(start: int, frames: int, stretch: tuple[int, int], count: int) -> list[int]:
    """The first frames of the ``count`` moments next to a window, in order; fewer where a clip is too short.

    They lie end to end with the window, or `APART` frames from one's start to the next's, and share no frame with it or
    with each other. Those next to it and not any: pose, light and pitch of the voice are much the same there, and what
    is said is not.

    Args:
        start: the window's first frame.
        frames: its length, and theirs.
        stretch: begin and end of what is used of the clip.
        count: how many are wanted.
    """
    begin, end = stretch
    step = spacing(frames)
    before, after = (start - begin) // step, (end - start - frames) // step
    later = min(after, max(count - count // 2, count - before))
    earlier = min(before, count - later)
    return [start + step * k for k in range(-earlier, later + 1) if k]


def spacing(frames: int) -> int:
    """How many frames lie between the first frames of two windows of so many frames that are different moments."""
    return max(frames, APART)


def frame_speech(clip: PreparedClip, mel: Mel, start: int, stop: int) -> Tensor:
    """Mel windows [stop - start, bands, columns] of a clip's frames, of which no more speech is read than they see."""
    begin, end = context(mel, start, stop)
    first = max(begin // SAMPLES_PER_FRAME, 0)
    speech = clip.speech(first, min(-(-end // SAMPLES_PER_FRAME), len(clip)) - first)
    return clip_windows(speech, mel, start=start, stop=stop, first=first * SAMPLES_PER_FRAME)
