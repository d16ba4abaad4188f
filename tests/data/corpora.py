"""Miniatures of the corpora: their own folders, names, label files, frame rates and sizes, with a few grey frames."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import numpy as np

from tests.data import videos

FRAMES = 5
GREY = 128


def make(name: str, root: Path) -> Path:
    """Build the miniature of a corpus below ``root``, as it is unpacked; gives the folder to name with ``--root``."""
    MAKERS[name](root)
    return root


def clip(path: Path, width: int, height: int, fps: int = 25, *, sound: bool = True) -> Path:
    """A video of a few grey frames."""
    frames = [np.full((height, width, 3), GREY, np.uint8)] * FRAMES
    return videos.write(path, frames, fps=fps, rate=16_000 if sound else None)


def mpeg(path: Path, width: int, height: int) -> Path:
    """The same in MPEG-1 with MP2 sound at 44.1 kHz, as GRID has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg1video", rate=25)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = out.add_stream("mp2", rate=44_100, layout="stereo")
        for _ in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), GREY, np.uint8), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for k in range(FRAMES * 44_100 // 25 // 1152 + 1):
            samples = np.zeros((1, 2 * 1152), np.int16)
            block = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            block.sample_rate, block.pts = 44_100, k * 1152
            out.mux(audio.encode(block))
        out.mux(audio.encode(None))
    return path


def sound(path: Path, seconds: float, *, start: float = 0.0, hertz: int = 44_100) -> Path:
    """A sound file: silence up to ``start``, then a 200 Hz tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * hertz)) / hertz
    wave = np.where(times < start, 0, 0.3 * np.sin(2 * np.pi * 200 * times)).astype(np.float32)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le" if path.suffix == ".wav" else "aac", rate=hertz, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = hertz, 0
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=hertz, frame_size=1024)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def text(path: Path, lines: Iterable[str]) -> Path:
    """A label file or list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _grid(root: Path) -> None:
    mpeg(root / "s1/bbaf2n.mpg", 360, 288)
    mpeg(root / "s2/video/mpg_6000/swwp2s.mpg", 720, 576)
    text(root / "s1/align/bbaf2n.align", ["0 23750 sil", "23750 29500 bin"])


def _hdtf(root: Path) -> None:
    for name in ("WDA_BarbaraLee0_000", "WDA_BarbaraLee1_000", "WRA_AdamKinzinger2_002", "RD_Radio11_001"):
        clip(root / f"{name}.mp4", 512, 512, 30 if name.startswith("RD") else 25)
    clip(root / "_videos_raw/WDA_BarbaraLee0.mp4", 640, 360, sound=False)


def _voxceleb1(root: Path) -> None:
    clip(root / "id10001/1zcIwhmdeo4/00001.mp4", 256, 256)
    clip(root / "id10270/5r0dWxy17C8/00003.mp4", 256, 256)
    clip(root / "Eartha_Kitt/1.6/x6uYqmx31kE/00002.mp4", 256, 256)
    clip(root / "test/id10283#8NgJ8hWrVXA#003107#003233.mp4", 256, 256)
    text(root / "txt/id10001/1zcIwhmdeo4/00001.txt", ["Identity  : \tid10001", "", "FRAME \tX \tY \tW \tH "])


def _voxceleb2(root: Path) -> None:
    clip(root / "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", 224, 224)
    clip(root / "test/mp4/id00017/01dfn2spqyE/00001.mp4", 224, 224)


def _lrw(root: Path) -> None:
    for word in ("ABOUT", "YOUNG"):
        for part in ("train", "val", "test"):
            path = root / "lipread_mp4" / word / part / f"{word}_00001"
            clip(path.with_suffix(".mp4"), 256, 256)
            lines = ["Disk reference: 5665040019089459571", "Channel: BBC", "Program start: -", "Clip start: -"]
            text(path.with_suffix(".txt"), [*lines, "Duration: 0.40 seconds"])


def _lrs2(root: Path) -> None:
    for sentence in ("5535415699068794046/00001", "6000000000000000001/00002", "6330311066473698535/00011"):
        clip(root / "mvlrs_v1/main" / f"{sentence}.mp4", 160, 160)
        text(root / "mvlrs_v1/main" / f"{sentence}.txt", ["Text:  WHEN YOU'RE COOKING CHIPS", "Conf:  4"])
    for sentence in ("5535415699068794046/00009", "6000000000000000001/00005", "7000000000000000001/00001"):
        clip(root / "mvlrs_v1/pretrain" / f"{sentence}.mp4", 160, 160)
        words = ["Text:  WHEN", "Conf:  4", "", "WORD START END ASDSCORE", "WHEN 0.04 0.16 5.2"]
        text(root / "mvlrs_v1/pretrain" / f"{sentence}.txt", words)
    text(root / "train.txt", ["5535415699068794046/00001"])
    text(root / "val.txt", ["6000000000000000001/00002"])
    text(root / "test.txt", ["6330311066473698535/00011 NF"])
    text(root / "pretrain.txt", ["5535415699068794046/00009", "6000000000000000001/00005"])


def _mead(root: Path) -> None:
    for speaker, emotion in (("M003", "angry/level_1"), ("W021", "neutral/level_1")):
        video = root / speaker / "video" / ("1/front" if speaker == "W021" else "front") / emotion
        clip(video / "001.mp4", 1920, 1080, 30, sound=False)
        sound(root / speaker / "audio" / emotion / "001.m4a", FRAMES / 30)
    clip(root / "M003/video/left_30/angry/level_1/001.mp4", 1920, 1080, 30, sound=False)


def _celebvhq(root: Path) -> None:
    names = ("M2Ohb0FAaJU_1", "_0tf2n3rlJU_0", "0A4uuYNxg44_0_0")
    for name in names:
        clip(root / "processed" / f"{name}.mp4", 512, 512, 30, sound=name != names[1])
    clip(root / "raw/M2Ohb0FAaJU.mp4", 640, 360, 30)
    clips = {name: {"ytb_id": name[:11], "duration": {"start_sec": 81.62, "end_sec": 86.17}} for name in names}
    text(root / "celebvhq_info.json", [json.dumps({"meta_info": {}, "clips": clips})])


def _vfhq(root: Path) -> None:
    for name in ("Clip+-0QvYQYiNGE+P0+C1+F3000-3110", "Clip+-0QvYQYiNGE+P1+C0+F100-210"):
        clip(root / "clips" / f"{name}.mp4", 640, 640, 24)
        lines = ["Video ID: -0QvYQYiNGE", "H: 1080", "W: 1920", "FPS: 24.0", "CROP: 640 20 1280 660"]
        text(root / "meta_info" / f"{name}.txt", lines)


MAKERS: dict[str, Callable[[Path], None]] = {
    "celebvhq": _celebvhq,
    "grid": _grid,
    "hdtf": _hdtf,
    "lrs2": _lrs2,
    "lrw": _lrw,
    "mead": _mead,
    "vfhq": _vfhq,
    "voxceleb1": _voxceleb1,
    "voxceleb2": _voxceleb2,
}
