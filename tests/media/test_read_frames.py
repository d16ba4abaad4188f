"""Video in: time stamps, rates, rotation, and files that are not what they should be."""

import gc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dubbench.media import MediaError
from dubbench.media.video import probe, read_frames
from tests.media.conftest import MakeVideo, number, picture
from tests.media.movies import movie

NTSC = Fraction(30_000, 1001)


def variable(frames: int) -> list[Fraction]:
    """Times that rise by 20 to 80 ms at random."""
    steps = np.random.default_rng(0).integers(20, 80, frames)
    return [Fraction(int(t), 1000) for t in np.cumsum(steps)]


@pytest.mark.parametrize(
    "times",
    [
        [Fraction(i, 25) for i in range(150)],
        [Fraction(i, 24) for i in range(480)],
        [i / NTSC for i in range(600)],
        [Fraction(i, 30) for i in range(300)],
        [Fraction(i, 50) for i in range(500)],
        [Fraction(2, 5) + Fraction(i, 25) for i in range(100)],
        variable(400),
    ],
    ids=["25", "24", "29.97", "30", "50", "late start", "variable"],
)
def test_output_k_shows_the_frame_nearest_to_its_time(times: list[Fraction], make_video: MakeVideo) -> None:
    shown = [number(frame) for frame in read_frames(make_video("clip.mp4", times))]
    since_first = np.array([float(t - times[0]) for t in times])
    wanted = np.arange(len(shown)) / 25
    nearest = np.abs(since_first[:, None] - wanted).min(0)
    np.testing.assert_allclose(np.abs(since_first[shown] - wanted), nearest, atol=2e-5)
    last = since_first[-1] + float(np.median(np.diff(since_first)))
    assert abs(len(shown) - last * 25) <= 1.3


def test_constant_25_fps_passes_every_frame_once(make_video: MakeVideo) -> None:
    path = make_video("clip.mpg", [Fraction(i, 25) for i in range(80)])
    assert [number(frame) for frame in read_frames(path)] == list(range(80))


def test_another_output_rate(make_video: MakeVideo) -> None:
    path = make_video("clip.mp4", [Fraction(i, 25) for i in range(50)])
    assert [number(frame) for frame in read_frames(path, fps=50)] == [i // 2 for i in range(100)]


def test_real_variable_rate_clip_keeps_its_timing(shared: Path) -> None:
    path = shared / "data/talking/retalking_1.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        duration = stream.duration * stream.time_base
        frames = [(float(f.time), f.to_ndarray(format="gray")) for f in container.decode(stream)]
    times = np.array([t for t, _ in frames]) - frames[0][0]
    assert np.ptp(np.diff(times)) > 0.02
    outputs = list(read_frames(path))
    assert abs(len(outputs) - duration * 25) <= 0.5
    for k in range(0, len(outputs), 12):
        grey = cv2.cvtColor(outputs[k], cv2.COLOR_RGB2GRAY).astype(float)
        near = int(np.argmin(np.abs(times - k / 25)))
        around = range(max(near - 3, 0), min(near + 4, len(frames)))
        # Full-range luma against the stream's limited range: compare by correlation, which scale leaves alone.
        likeness = [np.corrcoef(grey[::4, ::4].ravel(), frames[i][1][::4, ::4].ravel())[0, 1] for i in around]
        best = list(around)[int(np.argmax(likeness))]
        assert abs(times[best] - k / 25) <= abs(times[near] - k / 25) + 1e-3


def test_grid_clip_gives_its_75_frames_in_true_colours(shared: Path) -> None:
    frames = list(read_frames(shared / "data/grid/u_lwbsza/lwbsza.mpg"))
    assert len(frames) == 75
    golden = cv2.imread(str(shared / "goldens/align_grid_lwbsza_f020_source.png"))[..., ::-1].astype(float)
    # The golden went through swscale's fast path, which is about one grey level dark.
    assert [int(np.argmin([np.abs(f - golden).mean() for f in frames]))] == [20]
    assert np.abs(frames[20] - golden).mean() < 1.8


def test_display_rotation_is_honoured(make_video: MakeVideo) -> None:
    path = make_video("turned.mp4", [Fraction(i, 25) for i in range(5)])
    data = path.read_bytes()
    matrix = data.index(b"tkhd") + 4 + 40
    one, none, minus = (1 << 16).to_bytes(4, "big"), bytes(4), (-(1 << 16)).to_bytes(4, "big", signed=True)
    clockwise = none + one + none + minus + none + none + none + none + (1 << 30).to_bytes(4, "big")
    path.write_bytes(data[:matrix] + clockwise + data[matrix + 36 :])
    frames = list(read_frames(path))
    info = probe(path)
    assert (info.width, info.height) == (32, 192)
    assert np.abs(frames[3] - np.rot90(picture(3), -1).astype(float)).mean() < 8


def test_one_frame(make_video: MakeVideo) -> None:
    assert [number(f) for f in read_frames(make_video("clip.mp4", [Fraction(0)]))] == [0]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("options", [{}, {"movflags": "+faststart"}], ids=["header last", "header first"])
def test_cut_mp4_is_an_error(options: dict[str, str], share: float, make_video: MakeVideo) -> None:
    path = make_video("a.mp4", [Fraction(i, 25) for i in range(150)], options=options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(MediaError, match=r"a\.mp4 .*truncated"):
        list(read_frames(path))


def test_mp4_that_lacks_only_its_tail_is_an_error(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", [Fraction(i, 25) for i in range(150)], options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[:-20])
    for use in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(MediaError, match="its index points past its end"):
            use(path)


def test_mkv_that_ends_before_its_declared_length_is_an_error(make_video: MakeVideo) -> None:
    path = make_video("a.mkv", [Fraction(i, 25) for i in range(150)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"declares 6\.0 s and ends after"):
        list(read_frames(path))


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_cut_mpg_is_an_error(share: float, shared: Path, tmp_path: Path) -> None:
    data = (shared / "data/grid/u_lbax4n/lbax4n.mpg").read_bytes()
    path = tmp_path / "cut.mpg"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError, match="truncated"):
        list(read_frames(path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "not a file"), (b"", "0 bytes"), (b"Dear diary, no video here.\n" * 99, "not a media")],
)
def test_what_is_no_video_is_named(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    for use in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(MediaError, match=f"clip.mp4 .*{reason}"):
            use(path)


def test_sound_alone_is_no_video(shared: Path) -> None:
    with pytest.raises(MediaError, match="no video stream"):
        list(read_frames(shared / "data/speech/librivox_0870.wav"))


def test_a_garbled_middle_without_another_keyframe_is_an_error(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", [Fraction(i, 25) for i in range(150)])
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 1500
    data[start : start + 600] = bytes(600)
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"damaged in 10\d of 151 frames, more than 10%"):
        list(read_frames(path))


def test_a_leap_in_the_time_stamps_is_an_error(make_video: MakeVideo) -> None:
    times = [Fraction(i, 25) + (3600 if i > 20 else 0) for i in range(40)]
    with pytest.raises(MediaError, match="jumps by 3600 s"):
        list(read_frames(make_video("clip.mkv", times)))


def test_probe_reads_the_headers(shared: Path) -> None:
    info = probe(shared / "data/talking/retalking_1.mp4")
    assert (info.width, info.height, info.frame_count_estimate, info.has_audio) == (700, 700, 135, True)
    assert info.duration == pytest.approx(6.1)
    assert info.average_fps == pytest.approx(22.131, abs=1e-3)


def test_frames_are_freed_as_they_pass(tmp_path: Path) -> None:
    """Without the garbage collector's help, which comes by too late for pictures of many megabytes."""
    path = movie(tmp_path / "a.mp4", frames=40, sound=None)
    gc.collect()
    gc.disable()
    try:
        for _ in read_frames(path):
            pass
        assert sum(type(each) is av.VideoFrame for each in gc.get_objects()) <= 2  # one is what was given last
    finally:
        gc.enable()
