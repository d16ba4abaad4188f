"""Whole clips that malformed ones are made of: a face that sways and a tone, in many containers and codecs."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.data.corpora import sound
from tests.data.videos import Image, blank, portraits

FRAMES, RATE = 20, 16_000
# By file name: codecs of pictures and sound, and the distance of two frames that need no other.
FILMS = {
    "h264.mp4": ("libx264", "aac", 250),
    "short_gop.mp4": ("libx264", "aac", 5),
    "mpeg4.mp4": ("mpeg4", "aac", 12),
    "h264.mkv": ("libx264", "pcm_s16le", 12),
    "ffv1.mkv": ("ffv1", "flac", 1),
    "h264.avi": ("libx264", "pcm_s16le", 12),
    "mpeg4.avi": ("mpeg4", "libmp3lame", 12),
    "mjpeg.avi": ("mjpeg", "pcm_s16le", 1),
    "h264.mov": ("libx264", "aac", 12),
    "h264.ts": ("libx264", "aac", 12),
    "mpeg2.ts": ("mpeg2video", "mp2", 12),
    "mpeg1.mpg": ("mpeg1video", "mp2", 12),
    "vp8.webm": ("libvpx", "libopus", 12),
    "vp9.webm": ("libvpx-vp9", "libopus", 12),
    "h264.flv": ("libx264", "aac", 12),
}
SOUNDS = ("speech.wav", "speech.m4a")
STRICT = {"mpeg2.ts": 44_100, "mpeg1.mpg": 44_100, "h264.flv": 44_100, "vp8.webm": 48_000, "vp9.webm": 48_000}


def films(folder: Path, names: Iterable[str] = FILMS) -> dict[str, Path]:
    """Write the films whose encoders are here; gives their files by name."""
    frames = portraits(FRAMES)
    made = {}
    for name in names:
        pictures, heard, gop = FILMS[name]
        if {pictures, heard} <= av.codecs_available:
            made[name] = film(
                folder / name, frames, pictures=pictures, heard=heard, gop=gop, rate=STRICT.get(name, RATE)
            )
    return made


def sounds(folder: Path) -> dict[str, Path]:
    """Write speech that lies beside silent films; gives the files by name."""
    return {name: sound(folder / name, FRAMES / 25, hertz=RATE) for name in SOUNDS}


def silent_film(path: Path) -> Path:
    """A whole film without sound."""
    return film(path, portraits(FRAMES), heard=None)


def film(
    path: Path,
    frames: list[Image],
    *,
    pictures: str | None = "libx264",
    heard: str | None = "aac",
    gop: int = 12,
    rate: int = RATE,
) -> Path:
    """Write frames at 25 a second with a tone of 200 Hz; a codec of None leaves its stream out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        video = None if pictures is None else out.add_stream(pictures, rate=25)
        if video is not None:
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuvj420p" if pictures == "mjpeg" else "yuv420p"
            video.codec_context.gop_size, video.codec_context.bit_rate = gop, 600_000
            video.codec_context.options = {"preset": "ultrafast"} if pictures == "libx264" else {}
        audio = None if heard is None else out.add_stream(heard, rate=rate, layout="mono")
        if video is not None:
            for k, rgb in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 25)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        if audio is not None:
            times = np.arange(rate * len(frames) // 25) / rate
            wave = (0.3 * np.sin(2 * np.pi * 200 * times) * 32767).astype(np.int16)
            block = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
            context = audio.codec_context
            fitting = av.AudioResampler(
                format=context.format, layout="mono", rate=rate, frame_size=context.frame_size or 1024
            )
            for piece in (*fitting.resample(block), *fitting.resample(None)):
                out.mux(audio.encode(piece))
            out.mux(audio.encode(None))
    return path


def sound_alone(path: Path) -> Path:
    """A film of sound without pictures."""
    heard = "mp2" if path.suffix == ".mpg" else "libopus" if path.suffix == ".webm" else "aac"
    return film(path, blank(FRAMES), pictures=None, heard=heard, rate=48_000)


def vast(path: Path, width: int, height: int) -> Path:
    """A few grey pictures of a size, without sound, in JPEG, which keeps them small."""
    return film(path, [np.full((height, width, 3), 128, np.uint8)] * 6, pictures="mjpeg", heard="pcm_s16le")
