"""Video in at constant rate by time stamps, single frames out of all-intra files, and H.264 out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from dubbench.media import FPS, MediaError
from dubbench.media.clock import clock_of
from dubbench.media.container import Image, Picture, name_of, opened, pixel_aspect, video_stream
from dubbench.media.flaws import Flaws
from dubbench.media.pictures import declared, first_frame, length, opened_pictures, period, shown
from dubbench.media.writer import VideoWriter

__all__ = ["IndexedVideo", "VideoInfo", "VideoWriter", "at_constant_rate", "probe", "read_frames"]


@dataclass(frozen=True)
class VideoInfo:
    """What a file's headers and its first picture say.

    Attributes:
        width: of the picture as displayed, in square pixels.
        height: of the picture as displayed, in square pixels.
        frame_count_estimate: frames at the file's own rate; only decoding tells exactly.
        duration: of the video in seconds, 0 where the file does not say.
        has_audio: whether there is an audio stream.
        average_fps: frames a second, 0 where the file does not say.
    """

    width: int
    height: int
    frame_count_estimate: int
    duration: float
    has_audio: bool
    average_fps: float


def probe(path: Path | str) -> VideoInfo:
    """Describe a video by its headers and its first picture.

    Raises:
        MediaError: if it is no readable video.
    """
    with opened(path) as container:
        stream = video_stream(container)
        rate = stream.average_rate or stream.guessed_rate or Fraction(0)
        duration = declared(stream) or Fraction(container.duration or 0, av.time_base)
        frame = first_frame(path, container, stream)
        height, width = Picture(pixel_aspect(stream)).rgb(frame).shape[:2]
        count = stream.frames or round(duration * rate)
        return VideoInfo(
            width=width,
            height=height,
            frame_count_estimate=count,
            duration=float(duration),
            has_audio=bool(container.streams.audio),
            average_fps=float(rate),
        )


def read_frames(path: Path | str, fps: int = FPS, flaws: Flaws | None = None) -> Iterator[Image]:
    """Stream a video at a constant rate, whatever its own rate is.

    Output k is the frame whose time stamp is nearest to k / ``fps`` after the first one (the earlier of two equally
    near), so 24, 29.97, 30, 50 and variable rates keep sync to within half a frame and never drift. There are as many
    outputs as whole or half periods fit between the first time stamp and the end of the last frame, at least one.
    Pixels are made square by stretching the picture where they are not; colours follow the stream's tags, BT.601 where
    there are none.

    Args:
        path: file to read.
        fps: frames a second to give.
        flaws: takes what is damaged, and jumps of the clock; complete after the last frame.

    Yields:
        uint8 [H, W, 3] RGB, upright and mirrored as the file says it is shown.

    Raises:
        MediaError: if there is no video stream, or the file is unreadable, truncated, damaged in more than
            `dubbench.media.flaws.DAMAGED_SHARE` of the frames, or changes its picture size.
    """
    with opened_pictures(path) as (container, stream):
        picture = Picture(pixel_aspect(stream))
        for frame in _resampled(path, container, stream, fps=fps, flaws=flaws):
            yield picture.rgb(frame)


def at_constant_rate(path: Path | str, fps: int = FPS) -> Iterator[VideoFrame]:
    """The decoded frames that `read_frames` shows, as they are in the file; the same one may come again."""
    with opened_pictures(path) as (container, stream):
        yield from _resampled(path, container, stream, fps=fps, flaws=None)


def _resampled(
    path: Path | str, container: InputContainer, stream: VideoStream, *, fps: int, flaws: Flaws | None
) -> Iterator[VideoFrame]:
    flaws = Flaws() if flaws is None else flaws
    flaws.tell(clock_of(path).told)
    half = period(stream) / 2
    timed = shown(path, container, stream)
    held = next(timed)
    origin, k = held.time, 0
    for following in timed:
        while Fraction(k, fps) <= (held.time + following.time) / 2 - origin:
            stands_in = following.lost and Fraction(k, fps) + origin > held.time + half
            flaws.count(damaged=held.damaged or stands_in)
            yield held.frame
            k += 1
        held = following
    end = held.time - origin + length(held.frame, Fraction(1, fps))
    while k == 0 or Fraction(2 * k + 1, 2 * fps) <= end:
        flaws.count(damaged=held.damaged)
        yield held.frame
        k += 1
    flaws.judge(str(path))


class IndexedVideo:
    """Random frames of a video that `VideoWriter` wrote with ``intra=True``.

    Opened once; only the frames asked for are decoded. Use as a context manager.
    """

    SKIP = 64  # packets: reading past this many is dearer than a seek

    def __init__(self, path: Path | str) -> None:
        self._file = opened(path)
        self._container = self._file.__enter__()
        self._stream = video_stream(self._container)
        self._stream.codec_context.thread_count = 1
        self._packets = self._container.demux(self._stream)
        self._next = 0
        self._picture = Picture()
        self.size = self._stream.width, self._stream.height

    def __enter__(self) -> "IndexedVideo":
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def __len__(self) -> int:
        return self._stream.frames

    def read(self, indices: Sequence[int] | NDArray[np.int64], size: int | None = None) -> Image:
        """Decode some frames.

        Args:
            indices: frame numbers in 0..len-1, in any order, repeats allowed.
            size: side of the square to resize to (area averaging when shrinking), or None for the stored size.

        Returns:
            uint8 [N, h, w, 3] RGB.

        Raises:
            MediaError: if an index lies outside, or the file is damaged or not all-intra.
        """
        wanted = np.asarray(indices, np.int64).reshape(-1)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise MediaError(
                f"{name_of(self._container)} has frames 0 to {len(self) - 1}, asked were {wanted.tolist()}"
            )
        width, height = self.size if size is None else (size, size)
        frames = np.empty((len(wanted), height, width, 3), np.uint8)
        for index in np.unique(wanted):
            frames[wanted == index] = self._picture.rgb(self._decode(int(index)), width, height)
        return frames

    def _decode(self, index: int) -> VideoFrame:
        """One frame; packets between are read but not decoded, which all-intra coding allows."""
        name, stamp = name_of(self._container), self._stamp(index)
        try:
            if not self._next <= index < self._next + self.SKIP:
                self._container.seek(stamp, stream=self._stream)
                self._packets, self._next = self._container.demux(self._stream), index
            for packet in self._packets:
                if packet.pts is None or packet.pts < stamp:
                    continue
                if packet.pts != stamp or not packet.is_keyframe:
                    raise MediaError(f"{name} is not an all-intra video at {FPS} fps; run dubbench prepare again")
                self._next = index + 1
                for frame in self._stream.decode(packet):
                    return frame
                break
        except av.FFmpegError as error:
            raise MediaError(f"{name} is damaged at frame {index} ({error.strerror}); prepare it again") from error
        raise MediaError(f"{name} is damaged, frame {index} is missing; prepare it again")

    def _stamp(self, index: int) -> int:
        return round(Fraction(index, FPS) / Fraction(self._stream.time_base or 1))
