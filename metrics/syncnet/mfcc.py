"""Mel-frequency cepstral coefficients as SyncNet was trained on them."""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dubbench.errors import DubbenchError

SAMPLE_RATE = 16_000
STEP = 160  # samples from one row to the next, 10 ms
_LENGTH = 400  # samples under one row, 25 ms
_FFT = 512
_FILTERS = 26
_COEFFICIENTS = 13
_EMPHASIS = 0.97
_LIFTER = 22
_BLOCK = 2048  # rows at once, so that a long recording needs no more memory than a short one
_TINY = np.finfo(np.float64).eps  # stands in for an energy of zero, whose logarithm would be infinite


def mfcc(audio: NDArray[np.int16], start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
    """The 13 coefficients that ``python_speech_features.mfcc(audio, 16000)`` gives with all its defaults.

    Pre-emphasis 0.97, 25 ms rectangular windows every 10 ms, 512-point power spectrum, 26 triangular mel filters
    from 0 to 8000 Hz, orthonormal DCT-II, liftering by 22, the first coefficient replaced by the logarithm of the
    window's energy. The last window is filled up with zeros. Source: python_speech_features 0.6, as
    joonson/syncnet_python calls it.

    Args:
        audio: [S] int16 samples, mono, 16 kHz; an array on disk is read where it is needed.
        start: first row wanted.
        stop: end of the rows wanted, all of them if not given.

    Returns:
        [stop - start, 13], one row every 10 ms: ``1 + ceil((S - 400) / 160)`` rows in all, at least one.

    Raises:
        DubbenchError: on other types or shapes, or rows that the audio does not have.
    """
    count = rows(check_audio(audio))
    stop = count if stop is None else stop
    if not 0 <= start <= stop <= count:
        raise DubbenchError(f"MFCC rows {start} to {stop} were asked of audio that has {count}; ask for some of these")
    blocks = [_block(audio, first, min(first + _BLOCK, stop)) for first in range(start, stop, _BLOCK)]
    return np.concatenate(blocks) if blocks else np.empty((0, _COEFFICIENTS))


def rows(samples: int) -> int:
    """How many rows `mfcc` makes of this many samples."""
    return 1 + max(-(-(samples - _LENGTH) // STEP), 0)


def check_audio(audio: NDArray[np.int16]) -> int:
    """Number of samples.

    Raises:
        DubbenchError: unless the audio is a non-empty int16 array [S].
    """
    if audio.dtype != np.int16 or audio.ndim != 1 or not len(audio):
        raise DubbenchError(
            f"audio is {audio.dtype} {list(audio.shape)}, but SyncNet hears int16 samples [S] at 16 kHz mono; "
            "scale floating audio in [-1, 1] by 32767 and round"
        )
    return len(audio)


def _block(audio: NDArray[np.int16], start: int, stop: int) -> NDArray[np.float64]:
    first, last = start * STEP, (stop - 1) * STEP + _LENGTH
    # Emphasis needs the sample before; before the recording's first there is silence, so that one stays as it is.
    samples = np.asarray(audio[max(first - 1, 0) : last], dtype=np.float64)
    if first == 0:
        samples = np.concatenate([[0.0], samples])
    emphasised = np.zeros(last - first)
    emphasised[: len(samples) - 1] = samples[1:] - _EMPHASIS * samples[:-1]
    windows = sliding_window_view(emphasised, _LENGTH)[::STEP]
    power = np.abs(np.fft.rfft(windows, _FFT)) ** 2 / _FFT
    energy = power.sum(axis=1)
    energy[energy == 0] = _TINY
    mel = power @ _filters().T
    mel[mel == 0] = _TINY
    found: NDArray[np.float64] = np.log(mel) @ _cosines()
    found[:, 0] = np.log(energy)
    return found


@cache
def _filters() -> NDArray[np.float64]:
    """[26, 257] triangles between 28 points that are equally spaced in mel, on whole bins of the spectrum."""
    mel = np.linspace(0.0, 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0), _FILTERS + 2)
    points = np.floor((_FFT + 1) * 700.0 * (10.0 ** (mel / 2595.0) - 1.0) / SAMPLE_RATE)[:, None]
    left, middle, right = points[:-2], points[1:-1], points[2:]
    bins = np.arange(_FFT // 2 + 1)
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    triangles: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0.0, None)
    return triangles


@cache
def _cosines() -> NDArray[np.float64]:
    """[26, 13] orthonormal DCT-II with the lifter's factor in its columns."""
    order = np.arange(_COEFFICIENTS)
    basis = np.cos(np.pi * order * (np.arange(_FILTERS)[:, None] + 0.5) / _FILTERS) * np.sqrt(2.0 / _FILTERS)
    basis[:, 0] /= np.sqrt(2.0)
    lifted: NDArray[np.float64] = basis * (1.0 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER))
    return lifted
