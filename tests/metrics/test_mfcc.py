import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import dct

from dubbench.errors import DubbenchError
from dubbench.metrics.syncnet.mfcc import mfcc


def noise(samples: int) -> NDArray[np.int16]:
    return np.random.default_rng(samples).integers(-32768, 32768, samples, dtype=np.int16)


def by_hand(audio: NDArray[np.int16]) -> NDArray[np.float64]:
    """One window, one filter, one bin after another."""
    signal = [float(audio[0])] + [float(audio[i]) - 0.97 * float(audio[i - 1]) for i in range(1, len(audio))]
    count = 1 if len(signal) <= 400 else 1 + math.ceil((len(signal) - 400) / 160)
    signal += [0.0] * (400 + 160 * count)
    mels = [i * 2595 * math.log10(1 + 8000 / 700) / 27 for i in range(28)]
    edges = [math.floor(513 * 700 * (10 ** (mel / 2595) - 1) / 16000) for mel in mels]
    rows = []
    for start in range(0, 160 * count, 160):
        power = np.abs(np.fft.fft(signal[start : start + 400], 512)[:257]) ** 2 / 512
        bands = []
        for low, peak, high in zip(edges, edges[1:], edges[2:], strict=False):
            up = sum(power[i] * (i - low) / (peak - low) for i in range(low, peak))
            bands.append(up + sum(power[i] * (high - i) / (high - peak) for i in range(peak, high)))
        coefficients = dct(np.log(bands), type=2, norm="ortho")[:13] * (1 + 11 * np.sin(np.pi * np.arange(13) / 22))
        rows.append([math.log(power.sum()), *coefficients[1:]])
    return np.array(rows)


@pytest.mark.parametrize("samples", [30, 399, 400, 401, 560, 561, 4321])
def test_equals_arithmetic_by_hand(samples: int) -> None:
    audio = noise(samples)
    np.testing.assert_allclose(mfcc(audio), by_hand(audio), rtol=0, atol=1e-9)


def test_first_and_last_row_of_real_speech(shared: Path) -> None:
    audio = np.load(shared / "goldens" / "syncnet_input_bbaf2n_40f.npz")["audio_int16"]
    golden = json.loads((shared / "goldens" / "syncnet_scores.json").read_text())["saved_input"]["scores"]["w1"]["mfcc"]
    found = mfcc(audio)
    assert list(found.shape) == golden["shape"]
    np.testing.assert_allclose(found[[0, -1]], [golden["first_frame"], golden["last_frame"]], rtol=0, atol=1e-9)


def test_silence_is_finite() -> None:
    expected = np.zeros(13)
    expected[0] = math.log(np.finfo(float).eps)
    np.testing.assert_allclose(mfcc(np.zeros(900, np.int16)), np.tile(expected, (5, 1)), atol=1e-9)


def test_rows_of_a_long_recording_are_the_same_however_they_are_read(tmp_path: Path) -> None:
    audio = noise(160 * 5000)
    whole = mfcc(audio)
    assert len(whole) == 4999
    audio.tofile(tmp_path / "audio")
    mapped = np.memmap(tmp_path / "audio", dtype=np.int16, mode="r")
    for start, stop in ((0, 3), (1, 2), (2047, 2049), (4990, 4999), (7, 7)):
        np.testing.assert_allclose(mfcc(mapped, start, stop), whole[start:stop], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("audio", "stop", "message"),
    [
        (np.zeros(800), None, "int16"),
        (np.zeros((800, 2), np.int16), None, "int16"),
        (np.zeros(0, np.int16), None, "int16"),
        (np.zeros(800, np.int16), 5, "has 4"),
    ],
)
def test_refuses(audio: NDArray[np.int16], stop: int | None, message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        mfcc(audio, 0, stop)
