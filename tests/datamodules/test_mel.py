from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from dubbench.datamodules.batch import Mel
from dubbench.datamodules.mel import DEVIATION, FLOOR, MEAN, clip_windows, context
from dubbench.errors import DubbenchError

# The last has more bands than its low bins can feed, so some filters are empty.
MELS = [Mel(), Mel(fft=800, hop=160, bands=64, columns=12), Mel(fft=256, hop=64, bands=80, columns=2)]


def noise(frames: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    # Loudness that rises keeps a shifted column from looking right.
    return torch.randn(frames * 640, generator=random) * torch.linspace(0.001, 0.3, frames * 640)


def columns(speech: Tensor, mel: Mel) -> Tensor:
    """All columns of a clip [bands, S // hop] as librosa makes them, column k centred on sample k * hop + hop / 2."""
    edge = (mel.fft - mel.hop) // 2
    magnitudes = librosa.feature.melspectrogram(
        y=np.pad(speech.numpy(), edge),
        sr=16_000,
        n_fft=mel.fft,
        hop_length=mel.hop,
        n_mels=mel.bands,
        center=False,
        power=1,
    )
    return torch.from_numpy((np.log(np.maximum(magnitudes, FLOOR)) - MEAN) / DEVIATION)


@pytest.mark.parametrize("mel", MELS)
@pytest.mark.parametrize(("start", "stop"), [(0, 5), (0, 1), (7, 12), (11, 12), (20, 25), (0, 25)])
def test_window_is_cut_from_the_whole_clip_as_librosa_sees_it(mel: Mel, start: int, stop: int) -> None:
    speech = noise(25)
    silence = torch.zeros(640 * 10)
    # Padding by whole frames shifts columns by a whole number and shows what lies beyond the ends.
    whole = columns(torch.cat([silence, speech, silence]), mel)
    per_frame = 640 // mel.hop
    for t, window in enumerate(clip_windows(speech, mel, start, stop), start):
        first = (t + 10) * per_frame + per_frame // 2 - mel.columns // 2
        torch.testing.assert_close(window, whole[:, first : first + mel.columns], atol=2e-4, rtol=0)


def test_frame_sees_the_columns_around_its_middle() -> None:
    speech = noise(25)
    windows, whole = clip_windows(speech, Mel(), 0, 25), columns(speech, Mel())
    torch.testing.assert_close(windows[12], whole[:, 4 * 12 - 8 : 4 * 12 + 12], atol=2e-4, rtol=0)


def test_click_in_the_middle_of_a_frame_is_in_the_middle_of_its_window() -> None:
    speech = torch.zeros(25 * 640)
    speech[10 * 640 + 320] = 1.0
    before, here, after = clip_windows(speech, Mel(), 9, 12)
    torch.testing.assert_close(here, here.flip(-1), atol=1e-3, rtol=0)
    assert here.mean(0).argmax() in (9, 10)
    assert before.mean(0).argmax() in (13, 14)
    assert after.mean(0).argmax() in (5, 6)


@pytest.mark.parametrize("mel", MELS)
def test_only_the_context_is_touched(mel: Mel) -> None:
    speech = noise(40)
    first, stop = context(mel, 18, 22)
    alone = torch.full_like(speech, float("nan"))
    alone[first:stop] = speech[first:stop]
    expected = clip_windows(speech, mel, 18, 22)
    assert torch.equal(clip_windows(alone, mel, 18, 22), expected)
    assert torch.equal(clip_windows(speech[first:stop].numpy(), mel, 18, 22, first), expected)
    for edge, frame, column in ((first + 1, 0, 0), (stop - 1, -1, -1)):
        alone[edge] = float("nan")
        assert clip_windows(alone, mel, 18, 22)[frame, :, column].isnan().any()


def test_piecewise_equals_at_once() -> None:
    speech = noise(40)
    pieces = [clip_windows(speech, Mel(), start, min(start + 7, 40)) for start in range(0, 40, 7)]
    torch.testing.assert_close(torch.cat(pieces), clip_windows(speech, Mel(), 0, 40), atol=1e-5, rtol=0)
    assert clip_windows(speech, Mel(), 40, 40).shape == (0, 80, 20)


def test_speech_that_ends_early_goes_on_as_silence() -> None:
    speech = noise(10)
    expected = clip_windows(torch.cat([speech, torch.zeros(640 * 10)]), Mel(), 0, 20)
    assert torch.equal(clip_windows(speech, Mel(), 0, 20), expected)
    silence = torch.full((2, 80, 20), (np.log(FLOOR) - MEAN) / DEVIATION)
    torch.testing.assert_close(clip_windows(speech, Mel(), 18, 20), silence)


def test_same_bits_with_any_number_of_threads_and_under_autocast() -> None:
    speech, threads = noise(75), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(clip_windows(speech, Mel(), 0, 75))
    finally:
        torch.set_num_threads(threads)
    with torch.autocast("cpu", torch.bfloat16):
        results.append(clip_windows(speech, Mel(), 0, 75))
    assert all(torch.equal(result, results[0]) for result in results)


def test_normalised_on_speech(shared: Path) -> None:
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted((shared / "data" / "speech").glob("*.wav"))]
    values = torch.cat([clip_windows(clip, Mel(), 0, len(clip) // 640).flatten() for clip in clips])
    assert abs(values.mean()) < 0.5
    assert 0.7 < values.std() < 1.4
    assert values.min() >= (np.log(FLOOR) - MEAN) / DEVIATION - 1e-5
    assert values.max() < 5


@pytest.mark.parametrize("mel", [Mel(fft=100), Mel(hop=0), Mel(columns=5), Mel(columns=0), Mel(fft=801), Mel(hop=161)])
def test_features_that_cannot_be_centred_are_refused(mel: Mel) -> None:
    with pytest.raises(DubbenchError, match="must be even"):
        clip_windows(noise(5), mel, 0, 2)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (3, 4), (9, 12)])
def test_columns_of_a_hop_that_divides_no_frame(start: int, stop: int) -> None:
    """Each frame's own columns, cut from the speech by hand: middle of the 16 at the middle of the frame."""
    mel, speech = Mel(fft=800, hop=200, columns=16), noise(12)
    made = clip_windows(speech, mel, start, stop)
    assert made.shape == (stop - start, 80, 16)
    padded = np.pad(speech.numpy(), 4000)
    for frame, features in zip(range(start, stop), made, strict=True):
        first = 4000 + frame * 640 + 320 - 15 * 100 - 400
        spectrum = librosa.stft(padded[first : first + 15 * 200 + 800], n_fft=800, hop_length=200, center=False)
        expected = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80) @ np.abs(spectrum)
        expected = (np.log(np.maximum(expected, FLOOR)) - MEAN) / DEVIATION
        np.testing.assert_allclose(features, expected, atol=2e-4)
