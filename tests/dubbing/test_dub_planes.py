"""Planes in and out: colours against swscale, frames in any order, sound as it is, and a face that stays the chosen."""

import errno
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.face.choice import BoxedFace
from dubbench.media.audio import write_sound
from dubbench.media.container import Picture
from dubbench.media.planes import Layout, as_frame, as_planes, layout_of, paint, read_planes
from dubbench.media.segments import PlaneWriter, Stored, join, reorder
from dubbench.media.video import VideoWriter, read_frames
from tests import ROOT
from tests.data.videos import write
from tests.datamodules.prepare.test_track import face
from tests.dubbed import Image, planes, tone

MATRICES = {1: Colorspace.ITU709, 6: Colorspace.ITU601, 9: Colorspace.BT2020}


def smooth(height: int, width: int, seed: int = 0) -> Image:
    """A picture whose colours change slowly, so that subsampled chroma loses little."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(3 * (a * x + b * y) + c) for a, b, c in draw.uniform(-2, 2, (3, 3))]
    return np.asarray(np.stack([128 + 90 * wave for wave in waves], -1).round(), np.uint8)


def coded(picture: Image, layout: Layout) -> Any:  # noqa: ANN401
    """A picture as swscale makes planes of it."""
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    made = frame.reformat(
        format=layout.format,
        dst_colorspace=MATRICES[layout.matrix],
        dst_color_range=ColorRange(layout.range),
    )
    return as_planes(made)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [1, 2])
@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_painted_colours_are_those_of_swscale(form: str, full: int, matrix: int) -> None:
    layout = Layout(64, 48, form, full, matrix, 2, 2)
    picture = smooth(48, 64)
    expected, made = coded(picture, layout), coded(smooth(48, 64, 1), layout)
    paint(made, layout, picture, np.ones((48, 64), np.float32), 0, 0)
    for plane, truth in zip(made, expected, strict=True):
        error = (plane.astype(float) - truth) / 2 ** (layout.depth - 8)
        assert abs(error).max() < 4
        assert abs(error).mean() < 0.7


@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv444p"])
def test_paint_touches_what_alpha_reaches(form: str) -> None:
    layout = Layout(40, 30, form, 1, 1, 1, 1)
    draw = np.random.default_rng(0)
    across, down = layout.ratio
    for x, y, width, height in ((3, 5, 11, 9), (0, 0, 40, 30), (29, 21, 11, 9), (7, 2, 1, 1)):
        before = coded(smooth(30, 40), layout)
        made = tuple(plane.copy() for plane in before)
        alpha = (draw.random((height, width)) * (draw.random((height, width)) < 0.2)).astype(np.float32)
        picture = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        paint(made, layout, picture, alpha, x, y)
        everywhere = np.zeros((30, 40), bool)
        everywhere[y : y + height, x : x + width] = alpha > 0
        cells = everywhere.reshape(30 // down, down, 40 // across, across).any((1, 3))
        for plane, old, reached in zip(made, before, (everywhere, cells, cells), strict=True):
            assert not (plane != old)[~reached].any()
        luma = np.where(everywhere, 0.0, before[0])
        weights = np.array([0.2126, 0.7152, 0.0722]) * 219 / 255
        luma[y : y + height, x : x + width] += (alpha > 0) * (
            (1 - alpha) * before[0][y : y + height, x : x + width] + alpha * (picture @ weights + 16)
        )
        np.testing.assert_allclose(made[0], luma, atol=0.501)


def test_planes_are_the_files_own_and_their_colours_those_of_read_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [smooth(48, 64, seed) for seed in range(5)], rate=None)
    layout = layout_of(path)
    found = list(read_planes(path, layout))
    for ours, theirs in zip(found, planes(path), strict=True):
        assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))
    for ours, image in zip(found, read_frames(path), strict=True):
        frame: Any = as_frame(ours, layout)
        frame.colorspace, frame.color_range = layout.matrix, layout.range
        # A decoded frame also says where chroma lies between the pixels.
        assert abs(Picture().rgb(frame).astype(int) - image).mean() < 2


@pytest.mark.parametrize(
    "layout", [Layout(64, 48, "yuv420p", 1, 1, 1, 1, 1.5), Layout(63, 47, "yuv444p10le", 2, 9, 9, 16)]
)
def test_segments_join_without_loss(layout: Layout, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    most = 2**layout.depth
    kind = np.uint8 if layout.depth == 8 else np.uint16
    frames: list[Any] = [tuple(draw.integers(0, most, s, dtype=kind) for s in layout.shapes) for _ in range(7)]
    paths = [tmp_path / "0.mp4", tmp_path / "1.mp4"]
    for path, some in zip(paths, (frames[:4], frames[4:]), strict=True):
        with PlaneWriter(path, layout, 0) as writer:
            for one in some:
                writer.write(one)
    write_sound(tone(tmp_path / "a.wav", 0.2), tmp_path / "a.mka")
    join(paths, tmp_path / "a.mka", tmp_path / "out.mkv", {"title": "joined"})
    for ours, theirs in zip(frames, planes(tmp_path / "out.mkv"), strict=True):
        assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["TITLE" if "TITLE" in container.metadata else "title"] == "joined"
        stream: Any = container.streams.video[0]
        context = stream.codec_context
        assert (context.color_primaries, context.color_trc) == (layout.primaries, layout.transfer)
        assert (stream.sample_aspect_ratio or 0) == (Fraction(3, 2) if layout.aspect else 0)
        times = []
        for frame in container.decode(video=0):
            times.append(frame.time)
            assert (frame.colorspace, frame.color_range) == (layout.matrix, layout.range)
        np.testing.assert_allclose(times, np.arange(7) / 25)


def test_stored_frames_in_any_order(tmp_path: Path) -> None:
    layout = Layout(64, 48, "yuv420p", 1, 1, 1, 1)
    frames = [coded(smooth(48, 64, seed), layout) for seed in range(40)]
    with PlaneWriter(tmp_path / "a.mkv", layout, None) as writer:
        for one in frames:
            writer.write(one)
    with Stored(tmp_path / "a.mkv") as stored:
        for number in (39, 38, 37, 2, 3, 3, 0, 25, 39):
            assert all((a == b).all() for a, b in zip(stored.planes(number), frames[number], strict=True))


def test_reordered_video_decodes_frame_by_frame(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 64, 48, intra=True) as video:
        for seed in range(30):
            video.write(smooth(48, 64, seed))
    order = [*range(30), *range(28, 10, -1), 20, 20]
    reorder(tmp_path / "a.mp4", order, tmp_path / "b.mp4")
    plain, found = planes(tmp_path / "a.mp4"), planes(tmp_path / "b.mp4")
    assert len(found) == len(order)
    for number, one in zip(order, found, strict=True):
        assert all((a == b).all() for a, b in zip(one, plain[number], strict=True))


def test_sound_keeps_its_rate_channels_and_place(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    noise = draw.integers(-9000, 9000, (22_050, 2), dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", noise, 44_100)
    assert write_sound(tmp_path / "a.wav", tmp_path / "a.mka") == Fraction(1, 2)
    with av.open(str(tmp_path / "a.mka")) as container:
        sound = container.streams.audio[0]
        assert (sound.rate, sound.channels) == (44_100, 2)
        heard: NDArray[Any] = np.concatenate([f.to_ndarray().reshape(-1, 2) for f in container.decode(audio=0)])
    np.testing.assert_array_equal(heard, noise)
    # Of a video it begins with the first picture, which comes 0.2 s after the sound here.
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        voice = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        for k in range(5):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = 5 + k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        block = av.AudioFrame.from_ndarray(noise.reshape(1, -1), format="s16", layout="stereo")
        block.sample_rate, block.pts, block.time_base = 44_100, 0, Fraction(1, 44_100)
        container.mux([*voice.encode(block), *voice.encode(None), *stream.encode(None)])
    assert write_sound(tmp_path / "v.mkv", tmp_path / "v.mka") == Fraction(22_050 - 8_820, 44_100)


def test_the_face_in_the_box_is_followed_and_no_other() -> None:
    choice = BoxedFace((98, -2, 14, 14))
    assert choice.choose([]) is None
    assert choice.choose([face(0, 20), face(100)])[0, 0] == 100  # type: ignore[index]  # a face is found
    assert choice.choose([face(0, 20)]) is None
    assert choice.choose([face(0, 20), face(102)])[0, 0] == 102  # type: ignore[index]
    assert choice.choose([face(104)])[0, 0] == 104  # type: ignore[index]
    assert (choice.frames, choice.detected) == (5, 3)
    lost = BoxedFace((50, 0, 5, 5))
    assert lost.choose([]) is None
    with pytest.raises(DubbenchError, match=r"box 50,0,5,5 of frame 1.*give one of theirs, 0,0,10,10 and 100,0,10,10"):
        lost.choose([face(0), face(100)])


def test_a_full_disk_is_not_the_sources_fault(tmp_path: Path) -> None:
    """What fails while sound is written, or segments are joined, is an error of the system with its number."""
    layout = Layout(256, 256, "yuv444p", 1, 1, 1, 1)
    draw = np.random.default_rng(0)
    noise: Any = tuple(draw.integers(0, 256, shape, dtype=np.uint8) for shape in layout.shapes)
    with PlaneWriter(tmp_path / "0.mp4", layout, 0) as writer:
        for _ in range(3):
            writer.write(noise)
    write_sound(tone(tmp_path / "a.wav", 10), tmp_path / "a.mka")
    before = sorted(path.name for path in tmp_path.iterdir())
    code = f"""
import resource
from pathlib import Path
from dubbench.media.audio import write_sound
from dubbench.media.segments import join
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
root = Path({str(tmp_path)!r})
for use in (lambda: write_sound(root / "a.wav", root / "b.mka"),
            lambda: join([root / "0.mp4"], root / "a.mka", root / "out.mp4", {{}})):
    try:
        use()
    except OSError as error:
        print(error.errno == {errno.EFBIG})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"], done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000
