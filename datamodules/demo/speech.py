"""Speech and its phonemes from espeak-ng, which the package ``espeakng-loader`` ships."""

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from dubbench.datamodules.batch import SAMPLE_RATE, SAMPLES_PER_FRAME
from dubbench.errors import DubbenchError

MARGIN = 0.16
"""Seconds of silence before and after a sentence: the mouth is seen at rest."""

PEAK = 0.5


@dataclass(frozen=True)
class Phoneme:
    """One sound of a sentence.

    Attributes:
        ipa: its IPA symbols, stress marks included; empty for a pause.
        start: seconds from the beginning of the clip.
        end: seconds from the beginning of the clip.
    """

    ipa: str
    start: float
    end: float


@dataclass(frozen=True)
class Speech:
    """A spoken sentence.

    Attributes:
        waveform: [frames * 640] float32 at 16 kHz, in [-0.5, 0.5].
        phonemes: in order, without gaps between the first and the last.
    """

    waveform: NDArray[np.float32]
    phonemes: tuple[Phoneme, ...]

    @property
    def frames(self) -> int:
        """Video frames at 25 fps that the waveform is long."""
        return len(self.waveform) // SAMPLES_PER_FRAME


def synthesise(text: str, voice: str, pitch: int = 50, rate: int = 150) -> Speech:
    """Speak ``text``; equal arguments give equal samples.

    Args:
        text: a sentence in the voice's language.
        voice: espeak-ng's language and variant, such as ``en-us+f2``.
        pitch: 0 to 100.
        rate: words a minute.

    Raises:
        DubbenchError: if the optional package is absent or espeak-ng refuses.
    """
    hertz, samples, sounds = _run(text=text, voice=voice, pitch=pitch, rate=rate)
    common = int(np.gcd(SAMPLE_RATE, hertz))
    waveform = resample_poly(samples, SAMPLE_RATE // common, hertz // common)
    edges = [MARGIN + sample / hertz for sample in (*(first for first, _ in sounds), len(samples))]
    phonemes = tuple(Phoneme(ipa, *edges[i : i + 2]) for i, (_, ipa) in enumerate(sounds))
    frames = int(np.ceil((len(waveform) + 2 * MARGIN * SAMPLE_RATE) / SAMPLES_PER_FRAME))
    padded = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    first = round(MARGIN * SAMPLE_RATE)
    padded[first : first + len(waveform)] = waveform * (PEAK / np.abs(waveform).max())
    return Speech(padded, phonemes)


def _run(**sentence: str | int) -> tuple[int, NDArray[np.float64], list[tuple[int, str]]]:
    """Samples a second, the samples, and first sample and IPA of each phoneme, from a process of its own."""
    if find_spec("espeakng_loader") is None:
        raise DubbenchError(
            "the demo corpus needs espeak-ng (package espeakng-loader), which is not here: pip install dubbench[demo]"
        )
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())
    request = {"library": espeakng_loader.get_library_path(), "folder": ".", **sentence}
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("espeak.py").resolve())],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=data.parent,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise DubbenchError(f"espeak-ng could not speak {sentence['text']!r} with voice {sentence['voice']}: {reason}")
    spoken = json.loads(done.stdout)
    samples = np.frombuffer(base64.b64decode(spoken["samples"]), "<i2").astype(np.float64)
    return spoken["rate"], samples, [(first, ipa) for first, ipa in spoken["phonemes"]]
