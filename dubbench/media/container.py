"""Opening a media file, and the first moment of its picture: what video and audio reading share."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from dubbench.media import MediaError

Image = NDArray[np.uint8]

# swscale's flags, which PyAV names from 18 on only; Python 3.10 has 17.
ACCURATE_RND, FULL_CHR_H_INP, FULL_CHR_H_INT = 1 << 18, 1 << 14, 1 << 13
# Without these swscale truncates: a grey level darker a generation. FULL_CHR_H_INT needs ACCURATE_RND to take effect.
EXACT = ACCURATE_RND | FULL_CHR_H_INT


@contextmanager
def opened(path: Path | str) -> Iterator[InputContainer]:
    """Open a media file for reading; whatever FFmpeg objects to inside the block becomes one sentence.

    Raises:
        MediaError: if the file is absent, empty, no media file, or breaks off while it is read.
    """
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path} is not a file; check the path")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes); fetch or make it again")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{path} is not a media file or is truncated ({reason}); check that it plays, or fetch it again"
        ) from error
    try:
        _check_index(container, path)
        yield container
    except av.FFmpegError as error:
        raise MediaError(
            f"{path} is truncated or damaged ({error.strerror}); fetch it again or re-encode it"
        ) from error
    finally:
        container.close()


def _check_index(container: InputContainer, path: Path) -> None:
    """A cut mp4 whose header came first opens well; its index then points past the end."""
    size = path.stat().st_size
    for stream in container.streams:
        entries = stream.index_entries
        if len(entries) and (last := entries[len(entries) - 1]).pos + last.size > size:
            raise MediaError(f"{path} is truncated, its index points past its end; fetch it again")


def video_stream(container: InputContainer) -> VideoStream:
    """The stream that shows moving pictures; cover art does not count.

    Raises:
        MediaError: if there is none.
    """
    streams = _moving(container)
    if not streams:
        raise MediaError(f"{container.name} has no video stream; give a file with moving pictures")
    best = container.streams.best("video")
    return next((s for s in streams if best is not None and s.index == best.index), streams[0])


def has_pictures(container: InputContainer) -> bool:
    """Whether a file shows moving pictures; cover art does not count."""
    return bool(_moving(container))


def _moving(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]


def frame_time(frame: VideoFrame) -> Fraction | None:
    """Presentation time in seconds, exact, or None where the file gives none."""
    if frame.pts is None or frame.time_base is None:
        return None
    return frame.pts * Fraction(frame.time_base)


def first_video_time(path: Path | str) -> Fraction:
    """Time stamp of the first picture that decodes, in seconds: the zero of our clips.

    Raises:
        MediaError: if there is no picture.
    """
    with opened(path) as container:
        for frame in container.decode(video_stream(container)):
            return frame_time(frame) or Fraction(0)
    raise MediaError(f"{path} has no picture that decodes; fetch it again")


class Picture:
    """Decoded frames to upright RGB; kept over a stream, since setting up the conversion costs more than doing it."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def rgb(self, frame: VideoFrame, width: int | None = None, height: int | None = None) -> Image:
        """Convert one frame, scaling on the way.

        Args:
            frame: as decoded; its colour tags are followed, BT.601 where there are none.
            width: to scale to, before turning upright, or None for the frame's own.
            height: as width.

        Returns:
            uint8 [H, W, 3] RGB.
        """
        width, height = width or frame.width, height or frame.height
        shrinks = width * height < frame.width * frame.height
        enlarges = width * height > frame.width * frame.height
        method = Interpolation.AREA if shrinks else Interpolation.BICUBIC if enlarges else Interpolation.BILINEAR
        scaled = self._reformatter.reformat(
            frame, width, height, format="rgb24", interpolation=int(method) | EXACT, threads=1
        )
        image = np.asarray(scaled.to_ndarray(), np.uint8)
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
