"""Miniature corpora and every kind of bad file, made on the spot from scikit-image's astronaut."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

Image = NDArray[np.uint8]
SIDE = 128


def portraits(count: int, *, faces: int = 1, side: int = SIDE) -> list[Image]:
    """Frames uint8 [side, side * faces, 3] of a face that sways; several faces stand side by side, larger first."""
    astronaut = data.astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no types
    frames = []
    for k in range(count):
        shift = round(8 * np.sin(k / 5))
        crop = astronaut[10:290, 85 + shift : 365 + shift]
        picture = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        rest = np.full((side, side, 3), 128, np.uint8)
        small = (side * 7 // 8) // 2 * 2
        rest[-small:, -small:] = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
        frames.append(np.hstack([picture, *[rest] * (faces - 1)]))
    return frames


def blank(count: int, side: int = SIDE) -> list[Image]:
    """Frames without a face."""
    return [np.full((side, side, 3), 128, np.uint8)] * count


def write(
    path: Path,
    frames: Iterable[Image],
    *,
    fps: int = 25,
    times: list[float] | None = None,
    rate: int | None = 16_000,
    layout: str = "mono",
) -> Path:
    """Encode a video.

    Args:
        path: its suffix chooses the container.
        frames: uint8 [H, W, 3] RGB.
        fps: frames a second.
        times: of the frames in seconds, for a variable rate.
        rate: of the sound, a 200 Hz tone, in Hz; None for no sound track.
        layout: ``mono`` or ``stereo``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        video, frames = None, list(frames)
        video = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "12"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv444p" if video.width % 2 or video.height % 2 else "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = out.add_stream("aac", rate=rate, layout=layout) if rate else None
        for k, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = round(1000 * (times[k] if times else k / fps)), Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None and rate is not None:
            seconds = (times[-1] if times else len(frames) / fps) + 1 / fps
            for block in _tone(round(seconds * rate), rate, 2 if layout == "stereo" else 1, layout):
                out.mux(audio.encode(block))
            out.mux(audio.encode(None))
    return path


def bad_files(root: Path) -> dict[str, str]:
    """Make one file of every kind that cannot be prepared; gives a word of the reason for every clip id."""
    write(root / "no face.mp4", blank(12))
    write(root / "half faceless.mp4", [*portraits(5), *blank(7)])
    write(root / "two faces.mp4", portraits(12, faces=2))
    write(root / "silent.mp4", portraits(12), rate=None)
    write(root / "one frame.mp4", portraits(1))
    whole = write(root / "truncated.mp4", portraits(30)).read_bytes()
    (root / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    cut = write(root / "cut.mkv", portraits(75)).read_bytes()
    (root / "cut.mkv").write_bytes(cut[: len(cut) // 2])
    (root / "text.mp4").write_text("this is no video\n")
    (root / "empty.mp4").write_bytes(b"")
    return {
        "no face": "no face in 12 of 12",
        "half faceless": "no face in 7 of 12",
        "two faces": "two faces in 12 of 12",
        "silent": "no audio track",
        "one frame": "too short: 1 of at least 5",
        "truncated": "truncated",
        "cut": "truncated",
        "text": "not a media file",
        "empty": "empty (0 bytes)",
    }


def odd_files(root: Path) -> list[str]:
    """Make files that look odd but are fine; gives their clip ids."""
    faces = portraits(12)
    write(root / "odd" / "sides.mp4", [frame[:-1, :-3] for frame in faces])
    write(root / "odd" / "8 kHz.mp4", faces, rate=8_000)
    write(root / "odd" / "48 kHz.mkv", faces, rate=48_000, layout="stereo")
    write(root / "odd" / "rate.mp4", faces, times=[k * 0.04 + (k + 1) % 3 * 0.012 for k in range(12)])
    write(root / "odd" / "ünï 'quoted', (1).mov", faces)
    write(root / "odd" / "blinks.mp4", [*blank(2), *faces[:8], *blank(3), *faces[8:]])
    return sorted(f"odd/{name}" for name in ("sides", "8 kHz", "48 kHz", "rate", "ünï 'quoted', (1)", "blinks"))


def _tone(samples: int, rate: int, channels: int, layout: str) -> Iterator[av.AudioFrame]:
    for start in range(0, samples, 1024):
        times = np.arange(start, min(start + 1024, samples)) / rate
        wave = np.tile(0.3 * np.sin(2 * np.pi * 200 * times).astype(np.float32), (channels, 1))
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame
