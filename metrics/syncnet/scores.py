"""SyncNet's scores of one face track: distances at 31 shifts between sound and picture, and what follows from them."""

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics.syncnet.mfcc import check_audio, mfcc
from dubbench.metrics.syncnet.network import COEFFICIENTS, COLUMNS, FRAMES, SIZE, SyncEmbedder, SyncNet

SHIFTS = 15  # frames that the sound is moved to either side
SAMPLES = 640  # audio samples in a frame, 16 kHz at 25 frames/s
_ROWS = 4  # MFCC rows in a frame
_UNUSED = 5  # frames fewer than the clip has windows; the official code drops one window that would still fit
_EPSILON = 1e-6  # what torch's pairwise_distance adds to each difference

Crops: TypeAlias = NDArray[np.uint8] | Tensor
Sound: TypeAlias = NDArray[np.int16] | Tensor


class SyncScores(NamedTuple):
    """What SyncNet says of one clip.

    Attributes:
        distances: [31] mean distance over windows; index s is the sound moved by s - 15 frames.
        lse_d: smallest of the distances (Sync-D), lower is better.
        lse_c: their median minus their smallest (Sync-C, the confidence), higher is better.
        av_offset: 15 minus the index of the smallest, in frames; negative where the sound comes late.
        n_windows: windows that the means are over.
    """

    distances: NDArray[np.float64]
    lse_d: float
    lse_c: float
    av_offset: int
    n_windows: int


def window_count(frames: int, samples: int) -> int:
    """How many windows the official code scores: five fewer than whole frames of picture and sound, or none."""
    return max(min(frames, samples // SAMPLES) - _UNUSED, 0)


class SyncStream:
    """`sync_scores` of a clip whose frames come piece by piece; the memory it holds does not grow with the clip.

    Args:
        network: `SyncNet`, or anything that embeds as it does.
        audio: [S] int16, mono, 16 kHz, beginning with the first frame; an array on disk is read as it is needed.
        batch: windows that the network sees at once; the same for any pieces, so that these do not change a digit.
        device: where to compute, where the network's weights are if not given.

    Raises:
        DubbenchError: on audio of another type or shape.
    """

    def __init__(
        self, network: SyncEmbedder, audio: Sound, batch: int = 20, device: torch.device | str | None = None
    ) -> None:
        if batch < 1:
            raise DubbenchError(f"a sync score was asked for in batches of {batch} windows; give 1 or more")
        self._network: SyncEmbedder = network
        if isinstance(network, SyncNet):
            device = torch.device(device) if device is not None else network.device
            self._network = network.folded(device)
        self._device = torch.device(device) if device is not None else torch.device("cpu")
        self._audio: NDArray[np.int16] = audio.cpu().numpy() if isinstance(audio, Tensor) else audio
        self._left = check_audio(self._audio) // SAMPLES  # frames that there is still sound for
        self._windows = 0
        self._sums = ShiftSums()
        # One frame more than the batch needs: only when it comes is the batch's last window one that counts.
        room = batch + FRAMES
        self._frames = torch.empty(room, SIZE, SIZE, 3, dtype=torch.uint8, device=self._device)
        self._held = 0

    def add(self, frames: Crops) -> None:
        """Take the next frames, any number of them.

        Args:
            frames: [n, 224, 224, 3] uint8, BGR.

        Raises:
            DubbenchError: on another type or shape.
        """
        if tuple(frames.shape[1:]) != (SIZE, SIZE, 3) or frames.dtype not in (np.uint8, torch.uint8):
            raise DubbenchError(
                f"SyncNet was given {frames.dtype} frames {list(frames.shape)}; give uint8 [T, {SIZE}, {SIZE}, 3] in "
                "BGR, the 224 x 224 crop of a face track"
            )
        wanted = min(len(frames), self._left)
        self._left -= wanted
        taken = 0
        while taken < wanted:
            count = min(wanted - taken, len(self._frames) - self._held)
            piece = frames[taken : taken + count]
            # Copied because arrays may be reversed or read-only, which torch does not take as they are.
            piece = piece if isinstance(piece, Tensor) else torch.from_numpy(piece.copy())
            self._frames[self._held : self._held + count] = piece.to(self._device)
            self._held += count
            taken += count
            if self._held == len(self._frames):
                self._embed()

    def finish(self) -> SyncScores:
        """Score what came.

        Raises:
            DubbenchError: if that is fewer than six frames with sound.
        """
        if self._held > FRAMES:
            self._embed()
        if not self._windows:
            raise DubbenchError(
                f"only {self._held} frames came with sound ({len(self._audio)} samples in all), too few for a window; "
                f"give at least {FRAMES + 1} frames and {(FRAMES + 1) * SAMPLES} samples"
            )
        return self._sums.finish()

    @torch.no_grad()
    def _embed(self) -> None:
        """Score all windows that begin in the frames held, except those that only the last one completes."""
        count = self._held - FRAMES
        visual = self._network.visual(self._frames[: self._held - 1].permute(0, 3, 1, 2))
        start = self._windows * _ROWS
        rows = mfcc(self._audio, start, start + (count - 1) * _ROWS + COLUMNS)
        columns = torch.from_numpy(rows).float().T.unfold(1, COLUMNS, _ROWS)  # [13, count, 20]
        windows = columns.transpose(0, 1).reshape(count, 1, COEFFICIENTS, COLUMNS).to(self._device)
        self._sums.add(visual, self._network.audio(windows))
        self._windows += count
        self._frames[:FRAMES] = self._frames[count : self._held].clone()
        self._held = FRAMES


class ShiftSums:
    """Sums over windows of the distances at all 31 shifts, while embeddings come in.

    A window waits until the sound of 15 windows after it is known, and the sound of 15 windows before it is kept:
    nothing else is held.
    """

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._count = 0
        self._visual = self._audio = torch.empty(0)

    def add(self, visual: Tensor, audio: Tensor) -> None:
        """Take the next windows.

        Args:
            visual: [n, E] embeddings of the picture.
            audio: [n, E] embeddings of the sound.

        Raises:
            DubbenchError: if they differ in shape.
        """
        if visual.shape != audio.shape or visual.ndim != 2:
            raise DubbenchError(
                f"embeddings of picture {list(visual.shape)} and sound {list(audio.shape)} do not pair; give [N, E]"
            )
        visual, audio = visual.double(), audio.double()
        if self._total is None:
            self._total = visual.new_zeros(2 * SHIFTS + 1)
            self._visual = visual
            self._audio = F.pad(audio, (0, 0, SHIFTS, 0))
        else:
            self._visual = torch.cat([self._visual, visual])
            self._audio = torch.cat([self._audio, audio])
        self._score(len(self._visual) - SHIFTS)

    def finish(self) -> SyncScores:
        """The means and what follows from them; zero embeddings stand beyond the last window.

        Raises:
            DubbenchError: if there was no window.
        """
        if self._total is None or self._count + len(self._visual) == 0:
            raise DubbenchError("no window was given, so there is no sync score; give at least one pair of embeddings")
        self._audio = F.pad(self._audio, (0, 0, 0, SHIFTS))
        self._score(len(self._visual))
        distances: NDArray[np.float64] = (self._total / self._count).cpu().numpy()
        best = int(distances.argmin())
        smallest = float(distances[best])
        return SyncScores(
            distances=distances,
            lse_d=smallest,
            lse_c=float(np.median(distances)) - smallest,
            av_offset=SHIFTS - best,
            n_windows=self._count,
        )

    def _score(self, ready: int) -> None:
        if ready <= 0 or self._total is None:
            return
        moved = self._audio[: ready + 2 * SHIFTS].unfold(0, ready, 1).transpose(1, 2)  # [31, ready, E], a view
        self._total += torch.linalg.vector_norm(self._visual[:ready] + _EPSILON - moved, dim=2).sum(dim=1)
        self._count += ready
        self._visual, self._audio = self._visual[ready:], self._audio[ready:]
