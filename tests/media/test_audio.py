"""Sound in: its place under the picture, rates, gaps, and what is refused."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from dubbench.media import MediaError
from dubbench.media.audio import read_speech, write_speech
from dubbench.media.video import read_frames
from tests.media.conftest import MakeVideo, clicks, onsets, picture


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 1), (44_100, 2), (48_000, 2)])
@pytest.mark.parametrize("sound_start", [Fraction(0), Fraction(3, 10)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mpg"])
def test_sound_keeps_its_place_under_the_picture(
    name: str, sound_start: Fraction, rate: int, channels: int, make_video: MakeVideo, tmp_path: Path
) -> None:
    if name == "a.mpg" and rate < 44_100:
        rate = 32_000  # the least that MPEG-1 layer 2 knows
    times = [Fraction(1, 5) + Fraction(i, 25) for i in range(100)]
    path = make_video(name, times, clicks([0.5, 1.7, 3.3], rate, channels, 4), rate, sound_start)
    write_speech(path, tmp_path / "out.wav", 100)
    expected = np.array([0.5, 1.7, 3.3]) + float(sound_start) - 0.2
    np.testing.assert_allclose(onsets(read_speech(tmp_path / "out.wav")), expected, atol=1e-3)
    assert soundfile.info(tmp_path / "out.wav").frames == 64_000


def test_clicks_and_pictures_meet_at_every_rate_after_a_minute(make_video: MakeVideo, tmp_path: Path) -> None:
    rate = Fraction(30_000, 1001)
    path = make_video("long.mp4", [i / rate for i in range(1800)], clicks([1, 30, 59], 48_000, 2, 60), 48_000)
    frames = sum(1 for _ in read_frames(path))
    assert frames == round(1800 / rate * 25)
    write_speech(path, tmp_path / "out.wav", frames)
    np.testing.assert_allclose(onsets(read_speech(tmp_path / "out.wav")), [1, 30, 59], atol=1e-3)


def test_a_gap_in_the_time_stamps_becomes_silence(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 192, 32, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16_000)
        audio.layout = "mono"
        for i in range(100):
            frame = av.VideoFrame.from_ndarray(picture(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in (0, 2):
            sound = (clicks([0.5], 16_000, 1, 1) * 32767).astype(np.int16)
            chunk = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = 16_000, start * 16_000, Fraction(1, 16_000)
            container.mux(audio.encode(chunk))
    write_speech(path, tmp_path / "out.wav", 100)
    np.testing.assert_allclose(onsets(read_speech(tmp_path / "out.wav")), [0.5, 2.5], atol=1e-3)


def test_tone_keeps_pitch_and_level(make_video: MakeVideo, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000 * 2) / 48_000).astype(np.float32)
    path = make_video("a.mp4", [Fraction(i, 25) for i in range(50)], np.stack([tone, tone]), 48_000)
    write_speech(path, tmp_path / "out.wav", 50)
    speech = read_speech(tmp_path / "out.wav")[8_000:24_000]
    spectrum = np.abs(np.fft.rfft(speech))
    assert np.argmax(spectrum) == 440
    assert np.abs(speech).max() == pytest.approx(0.5, abs=0.03)


def test_length_follows_the_frames(shared: Path, tmp_path: Path) -> None:
    clip = shared / "data/grid/u_lwbsza/lwbsza.mpg"
    for frames in (10, 75, 90):
        write_speech(clip, tmp_path / "out.wav", frames)
        assert len(read_speech(tmp_path / "out.wav")) == frames * 640
    assert not read_speech(tmp_path / "out.wav", start=49_000).any()


def test_grid_speech_equals_the_reference_decoding(shared: Path, tmp_path: Path) -> None:
    golden = np.load(shared / "goldens/syncnet_input_bbaf2n_40f.npz")["audio_int16"]
    write_speech(shared / "data/grid/s1/bbaf2n.mpg", tmp_path / "out.wav", 40)
    np.testing.assert_array_equal(read_speech(tmp_path / "out.wav") * 32768, golden)


def test_parts_of_a_wav(shared: Path, tmp_path: Path) -> None:
    path = shared / "data/speech/librivox_0870.wav"
    whole, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(read_speech(path), whole)
    np.testing.assert_array_equal(read_speech(path, 1000, 640), whole[1000:1640])
    np.testing.assert_array_equal(read_speech(path, len(whole) - 5, 640), whole[-5:])
    assert len(read_speech(path, len(whole) + 7, 640)) == 0


def test_a_wav_of_another_rate_is_resampled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", clicks([0.25], 44_100, 2, 1).T, 44_100)
    speech = read_speech(tmp_path / "a.wav")
    assert abs(len(speech) - 16_000) <= 1
    np.testing.assert_allclose(onsets(speech), [0.25], atol=1e-3)
    np.testing.assert_array_equal(read_speech(tmp_path / "a.wav", 3000, 2000), speech[3000:5000])


def test_no_audio_track_leaves_nothing_behind(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("mute.mp4", [Fraction(i, 25) for i in range(10)])
    with pytest.raises(MediaError, match=r"mute\.mp4 has no audio track"):
        write_speech(path, tmp_path / "out.wav", 10)
    with pytest.raises(MediaError, match="no audio track"):
        read_speech(path)
    assert [p.name for p in tmp_path.iterdir()] == ["mute.mp4"]


def test_a_text_file_is_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "words.wav"
    path.write_text("only words\n" * 20)
    with pytest.raises(MediaError, match=r"words\.wav is not a media file"):
        read_speech(path)
