# ruff: noqa: RUF001  (the letters of the phonetic alphabet are meant)
"""From timed phonemes to how far a mouth is open and how wide it is, a value a frame."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from dubbench.datamodules.batch import FPS
from dubbench.datamodules.demo.speech import Phoneme

STEP = 200
"""Steps a second of the fine time line on which phonemes are laid out."""

COARTICULATION = 0.035
"""Standard deviation in seconds of the Gaussian that lets neighbouring sounds flow into each other."""

PAUSE = 0.1
"""Seconds from which on silence brings the mouth to rest; a shorter one (before a plosive) keeps the last viseme."""

GATE = 0.022
"""Standard deviation in seconds of the slopes into and out of a lip closure."""


@dataclass(frozen=True)
class Viseme:
    """The mouth of a sound.

    Attributes:
        opening: of the lips, 0 closed to 1 as wide as in "ah".
        width: of the mouth, -1 rounded as in "oo", 0 at rest, 1 spread as in "ee".
        limit: the most that the lips may open while the sound lasts, whatever its neighbours do.
    """

    opening: float
    width: float
    limit: float = 1.0


REST = Viseme(0.0, 0.0)
CLOSED = Viseme(0.0, 0.0, 0.0)
LABIODENTAL = Viseme(0.03, 0.1, 0.04)

VISEMES: dict[str, Viseme] = {
    **dict.fromkeys("aɑæɐ", Viseme(1.0, 0.1)),
    **dict.fromkeys("ʌɒ", Viseme(0.8, -0.1)),
    **dict.fromkeys("ɛe", Viseme(0.6, 0.5)),
    **dict.fromkeys("əɜɚɝᵊ", Viseme(0.4, 0.0)),
    **dict.fromkeys("iɪᵻɨ", Viseme(0.3, 0.9)),
    **dict.fromkeys("ɔ", Viseme(0.65, -0.5)),
    **dict.fromkeys("o", Viseme(0.5, -0.7)),
    **dict.fromkeys("œø", Viseme(0.45, -0.7)),
    **dict.fromkeys("uʊyʏ", Viseme(0.25, -1.0)),
    **dict.fromkeys("wɥ", Viseme(0.12, -1.0, 0.3)),
    **dict.fromkeys("pbm", CLOSED),
    **dict.fromkeys("fvɱ", LABIODENTAL),
    "β": Viseme(0.1, 0.0, 0.15),
    **dict.fromkeys("tdnszɾɲç", Viseme(0.18, 0.3, 0.5)),
    **dict.fromkeys("lʎ", Viseme(0.3, 0.2, 0.7)),
    **dict.fromkeys("θð", Viseme(0.22, 0.1, 0.5)),
    **dict.fromkeys("ʃʒ", Viseme(0.22, -0.6, 0.5)),
    **dict.fromkeys("ɹr", Viseme(0.25, -0.3)),
    **dict.fromkeys("kɡgŋxɣhʁʔ", Viseme(0.35, 0.1)),
    **dict.fromkeys("jʝ", Viseme(0.25, 0.7)),
}
"""Viseme of each IPA base letter of the demo's languages."""


@dataclass(frozen=True)
class MouthTrack:
    """How a mouth moves, a value a video frame, each taken at the middle of its frame.

    Attributes:
        opening: [T] float64 in [0, 1].
        width: [T] float64 in [-1, 1].
    """

    opening: NDArray[np.float64]
    width: NDArray[np.float64]


def letters(ipa: str) -> str:
    """IPA base letters of a phoneme, without stress, length, ties and accents."""
    return "".join(c for c in unicodedata.normalize("NFD", ipa) if c.isalpha() and unicodedata.category(c) != "Lm")


def mouth_track(phonemes: Sequence[Phoneme], frames: int) -> MouthTrack:
    """Lay the visemes out in time, smooth them, and keep the lip closures closed.

    Args:
        phonemes: in order of time; the mouth rests before, after and in pauses.
        frames: video frames T of the clip.

    Raises:
        KeyError: if a phoneme has a letter that `VISEMES` does not know.
    """
    steps = frames * STEP // FPS
    target = {name: np.zeros(steps) for name in ("opening", "width")}
    limit = np.ones(steps)
    for viseme, start, end in _segments(phonemes):
        span = slice(round(start * STEP), max(round(end * STEP), round(start * STEP) + 1))
        target["opening"][span], target["width"][span], limit[span] = viseme.opening, viseme.width, viseme.limit
    smooth = {name: gaussian_filter1d(values, COARTICULATION * STEP) for name, values in target.items()}
    # Widened first, so that the middle of a closure stays closed when its slopes are smoothed.
    reach = round(2 * GATE * STEP)
    gate = gaussian_filter1d(minimum_filter1d(limit, 2 * reach + 1), GATE * STEP)
    middles = ((np.arange(frames) + 0.5) * STEP / FPS).astype(int)
    return MouthTrack(np.clip(np.minimum(smooth["opening"], gate), 0, 1)[middles], smooth["width"][middles])


def _segments(phonemes: Sequence[Phoneme]) -> Iterator[tuple[Viseme, float, float]]:
    """Visemes with their times; a diphthong's letters share its time."""
    last = REST
    for phoneme in phonemes:
        silence = last if phoneme.end - phoneme.start < PAUSE else REST
        parts = [VISEMES[letter] for letter in letters(phoneme.ipa)] or [silence]
        last = parts[-1]
        edges = np.linspace(phoneme.start, phoneme.end, len(parts) + 1)
        yield from zip(parts, edges[:-1].tolist(), edges[1:].tolist(), strict=True)
