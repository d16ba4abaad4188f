"""Video out and random access: colours, bytes, sound, odd sizes, interruptions."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.media import MediaError
from dubbench.media.audio import read_speech, write_speech
from dubbench.media.video import IndexedVideo, VideoWriter, probe, read_frames
from tests import ROOT, talking
from tests.media.conftest import clicks, number, onsets, picture


def smooth_colours(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Soft blobs over the whole colour cube."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def write(path: Path, frames: list[NDArray[np.uint8]], **options: Any) -> Path:  # noqa: ANN401
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width, height, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_one(path: Path, frame: NDArray[Any]) -> None:
    with VideoWriter(path, 192, 32) as writer:
        writer.write(frame)


def test_colours_come_back_and_do_not_darken(tmp_path: Path) -> None:
    image = smooth_colours(256, 256)
    (back,) = read_frames(write(tmp_path / "a.mp4", [image], intra=True))
    difference = back.astype(float) - image
    assert np.abs(difference).mean() < 1
    assert np.abs(difference.mean((0, 1))).max() < 0.2


def test_readers_that_ignore_colour_tags_agree(tmp_path: Path) -> None:
    image = smooth_colours(256, 256)
    capture = cv2.VideoCapture(str(write(tmp_path / "a.mp4", [image] * 3)))
    seen, frame = capture.read()
    assert seen
    assert np.abs(frame[..., ::-1].astype(float) - image).mean() < 3.5


def test_pure_colours_tell_the_matrix(tmp_path: Path) -> None:
    for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 120, 90]):
        image = np.full((64, 64, 3), colour, np.uint8)
        (back,) = read_frames(write(tmp_path / "a.mp4", [image]))
        assert np.abs(back.astype(float) - image).max() <= 4


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    frames = [smooth_colours(96, 128, seed) for seed in range(20)]
    speech = np.random.default_rng(0).normal(0, 0.1, 20 * 640).astype(np.float32)
    for intra in (True, False):
        files = [write(tmp_path / f"{i}.mp4", frames, intra=intra, speech=speech).read_bytes() for i in range(2)]
        assert files[0] == files[1]


def test_the_bytes_do_not_depend_on_what_lay_in_memory_before(tmp_path: Path) -> None:
    """x264's macroblock tree made one file in thirty otherwise, when other work lay between; it says if it is on."""
    frames = list(talking.frames("ann/one"))
    talking.write(tmp_path / "other.mkv", frames)
    files = set()
    for _ in range(10):
        other = list(read_frames(tmp_path / "other.mkv"))
        files.add(write(tmp_path / "a.mp4", frames, crf=18).read_bytes())
        del other
    (file,) = files
    assert b" mbtree=0 " in file


def test_speech_lies_under_its_frames(tmp_path: Path) -> None:
    speech = clicks([0.2, 2.0, 3.8], 16_000, 1, 6)[0]
    path = write(tmp_path / "a.mp4", [picture(i) for i in range(100)], crf=18, speech=speech)
    assert [number(frame) for frame in read_frames(path)] == list(range(100))
    write_speech(path, tmp_path / "a.wav", 100)
    np.testing.assert_allclose(onsets(read_speech(tmp_path / "a.wav")), [0.2, 2.0, 3.8], atol=1e-3)
    assert probe(path).duration == pytest.approx(4)
    with av.open(str(path)) as container:
        sound = container.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(4, abs=0.1)


def test_odd_sides_are_padded_by_repetition(tmp_path: Path) -> None:
    image = smooth_colours(63, 95)
    (back,) = read_frames(write(tmp_path / "a.mp4", [image], intra=True))
    assert back.shape == (64, 96, 3)
    assert np.abs(back[:63, :95].astype(float) - image).mean() < 2
    assert np.abs(back[63].astype(float) - back[62]).mean() < 4


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [picture(1)])
    before = path.read_bytes()

    def fail() -> None:
        with VideoWriter(path, 192, 32) as writer:
            writer.write(picture(2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_wrong_frames_and_no_frames_are_refused(tmp_path: Path) -> None:
    for wrong in (picture(0)[:-2], picture(0).astype(np.float32)):
        with pytest.raises(MediaError, match=r"takes uint8 frames \[32, 192, 3\]"):
            write_one(tmp_path / "a.mp4", wrong)
    with pytest.raises(MediaError, match="no frame"), VideoWriter(tmp_path / "a.mp4", 192, 32):
        pass
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
import resource
import numpy as np
from dubbench.media.audio import write_speech
from dubbench.media.video import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
def video():
    with VideoWriter({str(tmp_path / "a.mp4")!r}, 256, 256, intra=True) as writer:
        for _ in range(30):
            writer.write(noise)
def speech():
    write_speech({str(tmp_path / "in.mp4")!r}, {str(tmp_path / "a.wav")!r}, 1000)
for use in (video, speech):
    try:
        use()
    except OSError as error:
        print(error.errno == 27)
"""
    write(tmp_path / "in.mp4", [picture(0)], speech=np.zeros(640, np.float32))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_any_frames_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [picture(i) for i in range(200)], intra=True)
    streamed = list(read_frames(path))
    wanted = [199, 0, 3, 4, 5, 3, 150, 149, 70, 0]
    with IndexedVideo(path) as video:
        assert (len(video), video.size) == (200, (192, 32))
        for _ in range(2):
            np.testing.assert_array_equal(video.read(wanted), np.stack([streamed[i] for i in wanted]))
        assert video.read([]).shape == (0, 32, 192, 3)


def test_only_the_frames_asked_for_are_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [picture(i) for i in range(60)], intra=True)
    wanted = [7, 8, 31, 59]
    with IndexedVideo(path) as video:
        whole = video.read(wanted)
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for i, (position, size) in enumerate(places):
        if i not in wanted and i > 0:  # the first picture also carries the encoder's headers
            assert position is not None
            data[position + 4 : position + size] = bytes(size - 4)
    path.write_bytes(data)
    with IndexedVideo(path) as video:
        np.testing.assert_array_equal(video.read(wanted), whole)
        with pytest.raises(MediaError, match=r"all-intra video|damaged"):
            video.read([20])


def test_resized_reading_averages_areas(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [smooth_colours(256, 256, seed) for seed in range(3)], intra=True)
    with IndexedVideo(path) as video:
        small, whole = video.read([2, 0], 96), video.read([2, 0])
        assert video.read([1], 320).shape == (1, 320, 320, 3)
    for a, b in zip(small, whole, strict=True):
        area = cv2.resize(b, (96, 96), interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(a - area).mean() < 1


def test_what_indexed_reading_refuses(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [picture(i) for i in range(30)])
    with IndexedVideo(path) as video:
        with pytest.raises(MediaError, match="not an all-intra video"):
            video.read([12])
        with pytest.raises(MediaError, match="frames 0 to 29"):
            video.read([30])
        with pytest.raises(MediaError, match="frames 0 to 29"):
            video.read([-1])


def test_time_stamps_are_constant(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [picture(i) for i in range(40)], crf=18)
    with av.open(str(path)) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert times == [Fraction(i, 25) for i in range(40)]
