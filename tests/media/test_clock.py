"""Time: streams that carry decode times only, recordings joined end to end, clocks that jump."""

from pathlib import Path

import numpy as np
import pytest

from dubbench.media.audio import aligned_speech, write_speech
from dubbench.media.flaws import Flaws
from dubbench.media.video import read_frames
from tests.media.conftest import number, onsets
from tests.media.movies import CLICKS, copied, movie, rewound


def read(path: Path) -> tuple[list[int], list[float], list[str]]:
    """Numbers that the pictures show, times of the clicks, and what was told."""
    flaws = Flaws()
    shown = [number(frame) for frame in read_frames(path, flaws=flaws)]
    return shown, onsets(aligned_speech(path, flaws)).tolist(), flaws.sentences()


@pytest.mark.parametrize(
    ("codec", "b_frames"), [("libx264", 0), ("libx264", 3), ("mpeg4", 0), ("mpeg4", 2), ("mjpeg", 0)]
)
@pytest.mark.parametrize(("sound", "late"), [("pcm_s16le", 0), ("libmp3lame", 0.025)])
def test_avi_shows_every_frame_once_with_its_sound(
    codec: str, b_frames: int, sound: str, late: float, tmp_path: Path
) -> None:
    # The name says nothing: the streams have decode times only.
    path = movie(tmp_path / "film.bin", codec, b_frames=b_frames, sound=sound, form="avi")
    shown, heard, told = read(path)
    assert (shown, told) == (list(range(100)), [])
    # An MP3 encoder's own delay is 23 ms, and one that counts it against whole frames leaves 17 ms the other way.
    np.testing.assert_allclose(heard, CLICKS, atol=max(late, 1e-3))


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("a.mpg", "mpeg1video", "mp2"),
        ("a.mpg", "mpeg2video", "mp2"),
        ("a.ts", "mpeg2video", "mp2"),
        ("a.ts", "libx264", "aac"),
    ],
)
def test_joined_recordings_keep_their_sound_under_their_pictures(
    name: str, codec: str, sound: str, tmp_path: Path
) -> None:
    first = movie(tmp_path / f"1{name}", codec, sound=sound, frames=60, seconds=(0.5, 1.7))
    second = movie(tmp_path / f"2{name}", codec, sound=sound, frames=60, first=60, seconds=(0.9, 2.1))
    joined = tmp_path / name
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    shown, heard, told = read(joined)
    assert list(dict.fromkeys(shown)) == list(range(120))
    begins = shown.index(60) / 25
    assert begins == pytest.approx(2.4, abs=0.041)  # sound that is longer than its pictures is not cut
    np.testing.assert_allclose(heard, [0.5, 1.7, begins + 0.9, begins + 2.1], atol=0.034)
    assert "begin anew once" in told[0]
    assert len(told) == 1


@pytest.mark.parametrize("kinds", ["a", "v", "av"])
@pytest.mark.parametrize("by", [-70.0, -1.0, -0.3, 40.0])
def test_a_clock_that_jumps_drops_nothing_and_is_told(kinds: str, by: float, tmp_path: Path) -> None:
    path = movie(tmp_path / "a.ts", "mpeg2video", sound="mp2")
    rewound(path, kinds, 2.0, by)
    shown, heard, told = read(path)
    assert shown == list(range(100))
    np.testing.assert_allclose(heard, CLICKS, atol=1e-3)
    whose = {"a": "clock of its sound jumps once", "v": "clock of its pictures jumps once", "av": "begin anew once"}
    assert whose[kinds] in told[0]
    assert len(told) == 1


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_sound_alone_that_jumps_forward_is_not_pushed_out_of_the_clip(name: str, tmp_path: Path) -> None:
    path = copied(movie(tmp_path / f"s{name}", sound="aac"), tmp_path / name, {"audio": (2.0, 2.0)})
    flaws = Flaws()
    write_speech(path, tmp_path / "out.wav", 100, flaws=flaws)
    np.testing.assert_allclose(read(path)[1], CLICKS, atol=1e-3)
    assert "clock of its sound jumps once (+2.00 s); nothing is dropped" in flaws.sentences()[0]


def test_sound_that_was_lost_is_silence_and_told(tmp_path: Path) -> None:
    source = movie(tmp_path / "s.ts", sound="aac", seconds=(0.5, 3.3))
    # The sound of a second is cut out, so that the rest still ends with the pictures.
    shorter = copied(source, tmp_path / "a.mkv", {"audio": (0.0, 0.0)}, drop=("audio", 1.0, 2.0))
    shown, heard, told = read(shorter)
    assert shown == list(range(100))
    np.testing.assert_allclose(heard, [0.5, 3.3], atol=2e-3)
    assert "the clock of its sound pauses once" in told[0]
