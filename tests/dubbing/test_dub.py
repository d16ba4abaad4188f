"""Dubbing for people: what is touched and what is not, lengths, faces, going on after a kill, and what is refused."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.cli import main
from dubbench.core.files import sha256
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.demo.portraits import ASTRONAUT
from dubbench.errors import DubbenchError
from dubbench.media.audio import read_speech
from tests import dubbed as making
from tests.data.people import Person, film
from tests.data.speakers import MIRRORED
from tests.data.videos import blank, portraits, write
from tests.dubbed import Planes, checkpoint, dubbed, face_video, planes, run, tone, video
from tests.models.conftest import small_expert

FRAMES = 12
ABOVE = 40  # rows of 128 above all that is drawn


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return making.inputs(tmp_path_factory.mktemp("inputs"), FRAMES)


@pytest.fixture(scope="module")
def lossless(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face dubbed without loss, with its work folder."""
    folder = tmp_path_factory.mktemp("lossless")
    run(inputs, folder, crf=0, keep=True)
    return folder


def reach(clip: PreparedClip, number: int, shape: Sequence[int], step: int) -> NDArray[np.bool_]:
    """Samples of a plane, one to ``step`` pixels, that lie near the lower half of a frame's aligned square."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    near = np.zeros(tuple(shape), bool)
    transform = clip.transforms([number])[0]
    inverse = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))[:2] / clip.info.size
    border = 1.5 / np.sqrt(np.linalg.det(transform[:, :2])) / clip.info.size
    for down in range(step):
        for right in range(step):
            x, y = inverse @ np.stack([columns * step + right, rows * step + down, np.ones_like(rows)]).reshape(3, -1)
            inside = (abs(x - 0.5) < 0.5 + border) & (y > 0.5 - border) & (y < 1 + border)
            near |= inside.reshape(near.shape)
    return near


def differing(before: Planes, after: Planes) -> list[NDArray[np.bool_]]:
    return [old != new for old, new in zip(before, after, strict=True)]


def test_outside_the_mask_every_sample_is_the_sources(inputs: Path, lossless: Path) -> None:
    before, after = planes(inputs / "face.mp4"), planes(lossless / "out.mp4")
    clip = PreparedClip(lossless / "out.mp4.work", "faces")
    assert len(before) == len(after) == len(clip) == FRAMES
    for number in range(FRAMES):
        for kind, differs in enumerate(differing(before[number], after[number])):
            near = reach(clip, number, differs.shape, 2 if kind else 1)
            assert not differs[~near].any()
            assert differs[near].mean() > 0.2


def test_most_of_the_lower_half_beside_the_face_stays_sharp(inputs: Path, lossless: Path) -> None:
    before, after = planes(inputs / "face.mp4"), planes(lossless / "out.mp4")
    clip = PreparedClip(lossless / "out.mp4.work", "faces")
    for number in (0, 6, 11):
        differs = differing(before[number], after[number])[0]
        points = clip.points([number])[0]
        eyes = np.hypot(*(points[45] - points[36]))
        assert differs[tuple(points[48:60].round().astype(int).T[::-1])].all()
        assert not differs[:, : int(points[:, 0].min() - 0.5 * eyes)].any()
        assert not differs[int(points[8, 1] + 0.6 * eyes) :].any()


def test_the_file_says_what_it_is(inputs: Path, lossless: Path) -> None:
    with av.open(str(lossless / "out.mp4")) as container:
        assert container.metadata["title"].startswith("Synthetic")
        digest = sha256(inputs / "radio.ckpt")[:12]
        for word in ("Synthetic speech-driven face", "dubbench 0.1", "models.radio.module.Radio", f"sha256 {digest}"):
            assert word in container.metadata["comment"]
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (picture.width, picture.height, picture.average_rate, picture.frames) == (128, 128, 25, FRAMES)
        assert (sound.codec_context.name, sound.rate, sound.channels) == ("aac", 44_100, 2)


def test_the_speech_lies_under_the_pictures(inputs: Path, lossless: Path) -> None:
    given, heard = read_speech(inputs / "tone.wav"), read_speech(lossless / "out.mp4")
    assert abs(len(heard) - FRAMES * 640) < 1100
    lags = range(-400, 401)
    alike = [float(np.dot(given[1000:7_000], heard[1000 + lag : 7_000 + lag])) for lag in lags]
    assert abs(lags[int(np.argmax(alike))]) <= 16


@pytest.mark.parametrize(
    ("rule", "speech", "shown"),
    [
        ("longer", 16, [*range(12), *range(10, 6, -1)]),
        ("longer", 6, range(12)),
        ("video", 16, range(12)),
        ("speech", 6, range(6)),
        ("speech", 28, [*range(12), *range(10, -1, -1), *range(1, 6)]),
        ("shorter", 16, range(12)),
        ("shorter", 6, range(6)),
    ],
)
def test_lengths(rule: str, speech: int, shown: Sequence[int], inputs: Path, tmp_path: Path) -> None:
    tone(tmp_path / "tone.wav", speech / 25)
    said: list[str] = []
    dubbed(
        tmp_path,
        inputs / "radio.ckpt",
        inputs / "face.mp4",
        tmp_path / "tone.wav",
        length=rule,
        crf=0,
        say=said.append,
    )
    before, after = planes(inputs / "face.mp4"), planes(tmp_path / "out.mp4")
    assert len(after) == len(shown)
    for number, frame in zip(shown, after, strict=True):
        # The upper half is the source's own, forwards and backwards.
        assert (before[number][0][:ABOVE] == frame[0][:ABOVE]).all()
    words = " ".join(said)
    assert ("goes back and forth" in words) == (len(shown) > FRAMES)
    assert ("silence follows" in words) == (len(shown) > speech)
    assert ("and is cut" in words) == (len(shown) < speech)


def test_one_face_of_two_by_its_box(inputs: Path, tmp_path: Path) -> None:
    source = video(tmp_path / "two.mp4", portraits(6, faces=2, side=192))
    before = planes(source)
    for box, left in ((None, True), ((20.0, 20.0, 150.0, 150.0), True), ((220.0, 40.0, 150.0, 150.0), False)):
        dubbed(tmp_path, inputs / "radio.ckpt", source, inputs / "tone.wav", length="video", face=box, crf=0)
        for old, new in zip(before, planes(tmp_path / "out.mp4"), strict=True):
            differs = (old[0] != new[0]).any(0)
            assert differs[:192].any() == left
            assert differs[192:].any() == (not left)


def test_the_chosen_face_ends_at_a_cut_to_another_person(inputs: Path, tmp_path: Path) -> None:
    """Half of the frames show her, half somebody else at the same place: these are left as they are, and it is said."""
    shots = [film(FRAMES // 2, 240, 280, Person(who, 140, 120, 110)) for who in (ASTRONAUT, MIRRORED)]
    source, said = video(tmp_path / "cut.mp4", [image for shot in shots for image in shot]), list[str]()
    made = dubbed(
        tmp_path,
        inputs / "radio.ckpt",
        source,
        inputs / "tone.wav",
        face=(100.0, 70.0, 80.0, 100.0),
        crf=0,
        say=said.append,
    )
    assert made.faceless == FRAMES // 2
    assert said == ["from frame 6 (0.2 s) on another face is in the place of the chosen one, and is left as it is"]
    touched = [(old[0] != new[0]).any() for old, new in zip(planes(source), planes(tmp_path / "out.mp4"), strict=True)]
    assert touched == [True] * 6 + [False] * 6


def test_a_box_without_a_face_names_those_with_one(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match=r"no face lies in the box 0,0,10,10 of frame 0.*give one of theirs, \d+,"):
        run(inputs, tmp_path, face=(0.0, 0.0, 10.0, 10.0))


def test_frames_without_a_face_pass_through(inputs: Path, tmp_path: Path) -> None:
    faces = portraits(10)
    source = video(tmp_path / "in.mp4", [*blank(3), *faces[:5], *blank(4), *faces[5:]])
    report = dubbed(tmp_path, inputs / "radio.ckpt", source, inputs / "tone.wav", length="video", crf=0)
    assert report.frames == 17
    same = [
        all((a == b).all() for a, b in zip(old, new, strict=True))
        for old, new in zip(planes(source), planes(tmp_path / "out.mp4"), strict=True)
    ]
    assert same[:3] == [True] * 3
    assert same[8:12] == [True] * 4
    assert report.faceless == sum(same) == 7


def test_a_visible_mark(inputs: Path, lossless: Path, tmp_path: Path) -> None:
    plain = planes(lossless / "out.mp4")
    found = []
    for text in ("FAKE", "SOMETHING ELSE"):
        run(inputs, tmp_path, out=f"{text}.mp4", crf=0, mark=text)
        found.append(planes(tmp_path / f"{text}.mp4"))
        for old, new in zip(plain, found[-1], strict=True):
            differs = old[0] != new[0]
            assert differs.sum() > 40
            assert not differs[:110].any()
            assert new[0][differs].max() > 200
    assert (found[0][0][0] != found[1][0][0]).any()


@pytest.mark.parametrize(
    ("pix_fmt", "kept"), [("yuv444p", "yuv444p"), ("yuv422p10le", "yuv422p10le"), ("bgr0", "yuv444p")]
)
def test_pixel_formats(pix_fmt: str, kept: str, inputs: Path, tmp_path: Path) -> None:
    source = face_video(tmp_path / "in.mkv", 6, pix_fmt=pix_fmt, codec="ffv1")
    dubbed(tmp_path, inputs / "radio.ckpt", source, inputs / "tone.wav", "o.mkv", length="video", crf=0)
    with av.open(str(tmp_path / "o.mkv")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == kept
    after = planes(tmp_path / "o.mkv")
    if pix_fmt == kept:
        for old, new in zip(planes(source), after, strict=True):
            differs = differing(old, new)
            assert all(not plane[: plane.shape[0] * ABOVE // 128].any() and plane.any() for plane in differs)
    else:
        with av.open(str(source)) as first, av.open(str(tmp_path / "o.mkv")) as second:
            old, new = (next(c.decode(video=0)).to_ndarray(format="rgb24")[:ABOVE].astype(int) for c in (first, second))
        assert abs(old - new).max() <= 3


def test_odd_sides_and_another_rate(inputs: Path, tmp_path: Path) -> None:
    """H.264 has no odd sides in 4:2:0, as FFV1 has: chroma is repeated, not resampled."""
    images = [frame[:-1, :-3] for frame in portraits(24)]
    source = video(tmp_path / "in.mkv", images, codec="ffv1", fps=Fraction(30_000, 1001))
    said: list[str] = []
    dubbed(tmp_path, inputs / "radio.ckpt", source, inputs / "tone.wav", length="video", crf=0, say=said.append)
    before, after = planes(source), planes(tmp_path / "out.mp4")
    assert (len(after), after[0][0].shape, after[0][1].shape) == (20, (127, 125), (127, 125))
    assert "29.97 frames a second" in " ".join(said)
    for number, new in enumerate(after):
        old = before[int(np.ceil(number / 25 * 30_000 / 1001 - 0.5))]
        assert (old[0][:ABOVE] == new[0][:ABOVE]).all()
        assert (old[1].repeat(2, 0).repeat(2, 1)[:ABOVE, :125] == new[1][:ABOVE]).all()


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_video_comes_out_upright(turn: int, inputs: Path, tmp_path: Path) -> None:
    quarter = turn // 90
    lying = [np.ascontiguousarray(np.rot90(frame[:, :112], -quarter)) for frame in portraits(6)]
    video(tmp_path / "lying.mp4", lying)
    with av.open(str(tmp_path / "lying.mp4")) as given, av.open(str(tmp_path / "in.mp4"), "w") as out:
        stream: Any = out.add_stream_from_template(given.streams.video[0])
        stream.set_display_rotation(turn)
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    with av.open(str(tmp_path / "in.mp4")) as given:
        assert next(given.decode(video=0)).rotation % 360 == turn
    dubbed(tmp_path, inputs / "radio.ckpt", tmp_path / "in.mp4", inputs / "tone.wav", length="video", crf=0)
    for old, new in zip(planes(tmp_path / "in.mp4"), planes(tmp_path / "out.mp4"), strict=True):
        for kind, (plane, made) in enumerate(zip(old, new, strict=True)):
            upright = np.rot90(plane, quarter)
            assert made.shape == upright.shape
            assert (made[: ABOVE // (1 + bool(kind))] == upright[: ABOVE // (1 + bool(kind))]).all()
            assert (made != upright).any()


def test_the_command(inputs: Path, lossless: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--ckpt_path", str(inputs / "radio.ckpt"), "--audio", str(inputs / "tone.wav")]
    words = ["dub", "--model", "radio", *given, "--video", str(inputs / "face.mp4"), "--out", str(tmp_path / "o.mp4")]
    assert main([*words, "--crf", "0", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{tmp_path / 'o.mp4'}: {FRAMES} frames (0.5 s), dubbed in ")
    assert f"\nnext:    dubbench score --pred {tmp_path / 'o.mp4'} --target {inputs / 'face.mp4'} " in told.err
    assert (tmp_path / "o.mp4").read_bytes() == (lossless / "out.mp4").read_bytes()
    assert main([*words, "--crf", "0", "--size", "48", "--precision", "bfloat16"]) == 0
    assert (tmp_path / "o.mp4").read_bytes() != (lossless / "out.mp4").read_bytes()


def test_mistakes_are_sentences(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "blank.mp4", blank(6))
    write(tmp_path / "silent.mp4", portraits(6), rate=None)
    (tmp_path / "text.mp4").write_text("no video")
    checkpoint(tmp_path / "expert.ckpt", small_expert())
    face, sound, ckpt = str(inputs / "face.mp4"), str(inputs / "tone.wav"), str(inputs / "radio.ckpt")

    def said(**changes: str) -> str:
        given = {"ckpt_path": ckpt, "video": face, "audio": sound, "out": str(tmp_path / "o.mp4"), **changes}
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        assert main(["dub", *words, "--quiet"]) == 1
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        return told

    assert "shows no face in any of its 6 frames" in said(video=str(tmp_path / "blank.mp4"))
    assert "has no audio track; give a file with sound" in said(audio=str(tmp_path / "silent.mp4"))
    assert "is not a media file" in said(video=str(tmp_path / "text.mp4"))
    assert "--video nothing.mp4 is not there" in said(video="nothing.mp4")
    assert "--audio nothing.wav is not there" in said(audio="nothing.wav")
    assert "there is no checkpoint nothing.ckpt" in said(ckpt_path="nothing.ckpt")
    assert "has no video stream" in said(video=sound)
    assert "names no container that can be written; end it with .mp4, .mov, .mkv" in said(out="o.avi")
    assert "would be written over what it is made from" in said(out=face)
    assert "but --model g4g is a dubbench.models.g4g.module.G4G" in said(model="g4g")
    assert "no model is called 'wav2lip'" in said(model="wav2lip")
    assert "SyncExpert, which generates no frames" in said(ckpt_path=str(tmp_path / "expert.ckpt"))
    assert "--face 1,2,3 is no box" in said(face="1,2,3")
    assert "is an empty box" in said(face="1,2,0,5")
    assert "--crf 52" in said(crf="52")
    assert "--size 8" in said(size="8")
    assert "cannot be drawn" in said(mark="\u4eba\u5de5")
    assert not (tmp_path / "o.mp4").exists()
