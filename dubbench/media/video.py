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
from dubbench.media.container import Image, Picture, frame_time, opened, video_stream
from dubbench.media.writer import VideoWriter

__all__ = ["IndexedVideo", "VideoInfo", "VideoWriter", "at_constant_rate", "probe", "read_frames"]

LONGEST_GAP = Fraction(60)
DECODERS = 2  # threads: more would fight with the workers of prepare


@dataclass(frozen=True)
class VideoInfo:
    """What a file's headers and its first picture say.

    Attributes:
        width: of the picture as displayed, in pixels.
        height: of the picture as displayed, in pixels.
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
        duration = _declared(stream) or Fraction(container.duration or 0, av.time_base)
        frame = next(container.decode(stream), None)
        if frame is None:
            raise MediaError(f"{path} has no picture that decodes; fetch it again")
        height, width = Picture().rgb(frame).shape[:2]
        count = stream.frames or round(duration * rate)
        return VideoInfo(
            width=width,
            height=height,
            frame_count_estimate=count,
            duration=float(duration),
            has_audio=bool(container.streams.audio),
            average_fps=float(rate),
        )


def read_frames(path: Path | str, fps: int = FPS) -> Iterator[Image]:
    """Stream a video at a constant rate, whatever its own rate is.

    Output k is the frame whose time stamp is nearest to k / ``fps`` after the first one (the earlier of two equally
    near), so 24, 29.97, 30, 50 and variable rates keep sync to within half a frame and never drift. There are as many
    outputs as whole or half periods fit between the first time stamp and the end of the last frame, at least one.
    Pixels count as square; colours follow the stream's tags, BT.601 where there are none.

    Yields:
        uint8 [H, W, 3] RGB, upright by the display rotation.

    Raises:
        MediaError: if there is no video stream, or the file is unreadable, truncated or changes its picture size.
    """
    picture = Picture()
    return (picture.rgb(frame) for frame in at_constant_rate(path, fps))


def at_constant_rate(path: Path | str, fps: int = FPS) -> Iterator[VideoFrame]:
    """The decoded frames that `read_frames` shows, as they are in the file; the same one may come again."""
    with opened(path) as container:
        timed = _timed(container, video_stream(container))
        held, origin = next(timed)
        time, k = origin, 0
        for frame, following in timed:
            while Fraction(k, fps) <= (time + following) / 2 - origin:
                yield held
                k += 1
            held, time = frame, following
        end = time - origin + _length(held, Fraction(1, fps))
        while k == 0 or Fraction(2 * k + 1, 2 * fps) <= end:
            yield held
            k += 1


def _timed(container: InputContainer, stream: VideoStream) -> Iterator[tuple[VideoFrame, Fraction]]:
    """Decoded frames with strictly rising times; the file is checked to be whole on the way."""
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = DECODERS
    nominal = _period(stream)
    frame: VideoFrame | None = None
    first = last = reached = Fraction(0)
    for packet in container.demux():
        if packet.pts is not None:
            reached = max(reached, (packet.pts + (packet.duration or 0)) * packet.time_base)
        if packet.stream.index != stream.index:
            continue
        if packet.is_corrupt:
            raise MediaError(f"{container.name} is truncated, it ends within a picture; fetch it again")
        for following in stream.decode(packet):
            time = frame_time(following)
            if frame is None:
                first = time = time or Fraction(0)
            elif (frame.width, frame.height) != (following.width, following.height):
                raise MediaError(f"{container.name} changes its picture size on the way; cut it there or re-encode it")
            elif time is None or time <= last:
                time = last + nominal
            elif time - last > LONGEST_GAP:
                raise MediaError(f"{container.name} jumps by {float(time - last):.0f} s in its time stamps; re-mux it")
            frame, last = following, time
            yield frame, time
    if frame is None:
        raise MediaError(f"{container.name} has no picture that decodes; fetch it again")
    if frame.is_corrupt:
        raise MediaError(f"{container.name} is truncated, its last picture is incomplete; fetch it again")
    ends = last - first + _length(frame, nominal)
    declared = _declared(stream)
    if declared is None and container.duration is not None:
        declared = Fraction(container.duration, av.time_base)
        ends = reached - Fraction(container.start_time or 0, av.time_base)
    if declared is not None and declared - ends > max(Fraction(1, 2), declared / 10):
        raise MediaError(
            f"{container.name} is truncated, it declares {float(declared):.1f} s and ends after {float(ends):.1f} s; "
            "fetch it again"
        )


def _period(stream: VideoStream) -> Fraction:
    return 1 / (stream.average_rate or stream.guessed_rate or Fraction(FPS))


def _declared(stream: VideoStream) -> Fraction | None:
    if stream.duration is None or stream.time_base is None:
        return None
    return stream.duration * stream.time_base


def _length(frame: VideoFrame, otherwise: Fraction) -> Fraction:
    """How long a frame is shown; ``otherwise`` where the file says nothing sensible."""
    length = (frame.duration or 0) * (frame.time_base or Fraction(0))
    return length if 0 < length <= LONGEST_GAP else otherwise


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
            raise MediaError(f"{self._container.name} has frames 0 to {len(self) - 1}, asked were {wanted.tolist()}")
        width, height = self.size if size is None else (size, size)
        frames = np.empty((len(wanted), height, width, 3), np.uint8)
        for index in np.unique(wanted):
            frames[wanted == index] = self._picture.rgb(self._decode(int(index)), width, height)
        return frames

    def _decode(self, index: int) -> VideoFrame:
        """One frame; packets between are read but not decoded, which all-intra coding allows."""
        name, stamp = self._container.name, self._stamp(index)
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
