"""Log-mel features, and the columns of them that each video frame sees.

What librosa is for here, and what not: its filter bank, Slaney's, is taken as it is (`_filters`). Its
``feature.melspectrogram`` is as fast, but adds up each band by a matrix product, whose rounding may hang on threads and
BLAS: about 30 % of its values differ from these, in the last bits (by 5e-7 at most), and checkpoints as well as the
regression baseline were made with these. Its ``load`` and ``resample`` know nothing of the clock of a video's sound
track: `dubbench.media` alone opens media files, and resamples with PyAV in one pass as it decodes. librosa is imported
where the filters are made, since its filters bring scipy and numba along (3 s).
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dubbench.datamodules.batch import SAMPLE_RATE, SAMPLES_PER_FRAME, Mel
from dubbench.errors import DubbenchError

# Mel magnitudes lie between the floor and about 10. Mean and deviation of their logarithm, rounded, over GRID,
# VoxCeleb2, HDTF and LibriVox clips; digital silence becomes -2.96.
FLOOR = 1e-5
MEAN = -5.0
DEVIATION = 2.2

PIECE = 4096  # columns that go through the filters at a time, which bounds memory


def context(mel: Mel, start: int, stop: int) -> tuple[int, int]:
    """First sample, and the one after the last, that the windows of frames ``start`` to ``stop - 1`` depend on.

    Both count from the clip's first sample and can lie beyond its ends.
    """
    _check(mel)
    span = (mel.columns - 1) * mel.hop + mel.fft
    first = start * SAMPLES_PER_FRAME + (SAMPLES_PER_FRAME - span) // 2
    return first, first + (stop - start - 1) * SAMPLES_PER_FRAME + span


def clip_windows(speech: NDArray[np.float32] | Tensor, mel: Mel, start: int, stop: int, first: int = 0) -> Tensor:
    """Normalised log-mel windows of the frames ``start`` to ``stop - 1`` of a clip, each centred on its frame's middle.

    With 4 columns a frame and 20 a window, frame t sees the columns 4t - 8 to 4t + 11 of the clip's, of which column k
    is centred on sample ``k * hop + hop / 2``. Where a frame is no whole number of columns long (hop 200: 3.2), each
    has columns of its own. Only the samples of `context` are touched, so a clip can be gone through piece by piece.
    Beyond the clip's ends all is zero.

    RADIO (section 4.1) gives FFT, hop and bands only. Window (Hann), filters (Slaney, 0 to 8 kHz), magnitude instead
    of power, natural logarithm and normalisation are librosa's or this project's choice.

    Args:
        speech: [S] float32, 16 kHz, in [-1, 1]: the clip's speech or any part that holds `context`.
        mel: constants.
        start: first frame.
        stop: frame after the last.
        first: number that ``speech[0]`` has among the clip's samples.

    Returns:
        [stop - start, bands, columns] float32, about zero mean and unit deviation on speech.

    Raises:
        DubbenchError: if the constants do not fit 25 frames a second.
    """
    begin, end = (sample - first for sample in context(mel, start, stop))
    if stop <= start:
        return torch.empty(0, mel.bands, mel.columns)
    inside = torch.as_tensor(speech[max(begin, 0) : max(end, 0)], dtype=torch.float32)
    before = min(max(-begin, 0), end - begin)
    padded = functional.pad(inside, (before, end - begin - before - len(inside)))
    if SAMPLES_PER_FRAME // 2 % mel.hop:
        return spectrogram(padded.unfold(0, (mel.columns - 1) * mel.hop + mel.fft, SAMPLES_PER_FRAME), mel)
    columns = spectrogram(padded, mel)
    return columns.unfold(1, mel.columns, mel.columns_per_frame).transpose(0, 1).contiguous()


def spectrogram(samples: Tensor, mel: Mel, bank: Tensor | None = None) -> Tensor:
    """Normalised columns of every full analysis window, hop by hop: [..., S] to [..., bands, (S - fft) // hop + 1].

    Args:
        samples: float32 [..., S] in [-1, 1].
        mel: constants.
        bank: `filter_bank` on the samples' device, for a network that compiles or runs there. Values differ in the last
            bits from those without, which are the same in every process.
    """
    flat = samples.float().reshape(-1, samples.shape[-1])
    window = torch.hann_window(mel.fft, device=flat.device)
    with torch.autocast(flat.device.type, enabled=False):
        spectrum = torch.stft(flat, mel.fft, mel.hop, window=window, center=False, return_complex=True).abs()
        bands = _summed(spectrum, mel) if bank is None else bank @ spectrum
    features = (bands.clamp(min=FLOOR).log() - MEAN) / DEVIATION
    return features.reshape(*samples.shape[:-1], mel.bands, -1)


def filter_bank(mel: Mel) -> Tensor:
    """Slaney's filters as a matrix [bands, fft / 2 + 1]."""
    bins, weights, starts = _filters(mel)
    bank = torch.zeros(mel.bands, mel.fft // 2 + 1)
    rows = np.repeat(np.arange(mel.bands), np.diff([*starts, len(bins)]))
    bank[torch.from_numpy(rows), torch.from_numpy(bins)] = torch.from_numpy(weights)
    return bank


def _summed(spectrum: Tensor, mel: Mel) -> Tensor:
    """Bands [N, bands, columns] of magnitudes [N, fft / 2 + 1, columns]."""
    bins, weights, starts = _filters(mel)
    # Each filter sums its own bins in their order. A matrix product would round differently with another number of
    # threads, and a worker has fewer than the main process.
    pieces = [
        torch.from_numpy(np.add.reduceat(piece.numpy()[:, bins] * weights[:, None], starts, axis=1))
        for piece in torch.split(spectrum.cpu(), PIECE, dim=-1)
    ]
    return torch.cat(pieces, dim=-1).to(spectrum.device)


@lru_cache
def _filters(mel: Mel) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Slaney's filters one after the other: the bins that they cover, their weights, and where each begins."""
    import librosa

    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=mel.fft, n_mels=mel.bands)
    used = filters > 0
    # A filter narrower than a bin can be empty, and an empty sum would take its neighbour's first term.
    used[~used.any(axis=1), 0] = True
    bands, bins = np.nonzero(used)
    return bins, filters[used].astype(np.float32), np.searchsorted(bands, np.arange(mel.bands))


def _check(mel: Mel) -> None:
    # Even numbers, so that a window's middle can be the frame's middle.
    numbers = (mel.hop, mel.fft, mel.columns)
    if mel.hop > mel.fft or any(number <= 0 or number % 2 for number in numbers):
        raise DubbenchError(f"{mel} cannot be centred on frames: hop, fft and columns must be even, hop at most fft")
