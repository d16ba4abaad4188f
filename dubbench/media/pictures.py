"""Decoded pictures of a file with the times at which they are shown, and what is damaged among them."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dubbench.media import FPS, MediaError
from dubbench.media.clock import LONGEST_GAP, Clock, clock_of, seconds
from dubbench.media.container import UNGUESSED, name_of, opened, video_stream
from dubbench.media.limits import check_picture

DECODERS = 2  # threads: more would fight with the workers of prepare


class Shown(NamedTuple):
    """A decoded frame.

    Attributes:
        frame: as decoded.
        time: in seconds, rising from frame to frame.
        damaged: whether its decoder concealed something, or predicted it from such a frame.
        lost: whether one before it did not decode, so that its predecessor stands in for it.
    """

    frame: VideoFrame
    time: Fraction
    damaged: bool
    lost: bool


@contextmanager
def opened_pictures(path: Path | str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file to decode its pictures, with the time stamps that count for them.

    Raises:
        MediaError: as `opened`, or if there is no video stream.
    """
    with opened(path, UNGUESSED if clock_of(path).decode_times else None) as container:
        yield container, video_stream(container)


def first_video_time(path: Path | str) -> Fraction:
    """Time stamp of the first picture that decodes, in seconds: the zero of our clips.

    Raises:
        MediaError: if there is no picture.
    """
    with opened_pictures(path) as (container, stream):
        for _, time in _Decoder(container, stream, clock_of(path)).frames():
            return time or Fraction(0)
    raise MediaError(f"{path} has no picture that decodes; fetch it again")


def first_frame(path: Path | str, container: InputContainer, stream: VideoStream) -> VideoFrame:
    """The first picture that decodes.

    Raises:
        MediaError: if there is none.
    """
    for frame, _ in _Decoder(container, stream, Clock()).frames():
        check_picture(frame.width, frame.height, str(path))
        return frame
    raise MediaError(f"{path} has no picture that decodes; fetch it again")


def shown(path: Path | str, container: InputContainer, stream: VideoStream) -> Iterator[Shown]:
    """Decoded frames with strictly rising times; the file is checked to be whole on the way.

    Raises:
        MediaError: if it is not, has no picture, or changes its picture's size.
    """
    clock = clock_of(path)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = DECODERS
    decoder = _Decoder(container, stream, clock)
    nominal = period(stream)
    frame: VideoFrame | None = None
    first = last = Fraction(0)
    for following, stamp in decoder.frames():
        time = stamp
        if frame is None:
            check_picture(following.width, following.height, str(path))
            first = time = time or Fraction(0)
        elif (frame.width, frame.height) != (following.width, following.height):
            raise MediaError(f"{path} changes its picture size on the way; cut it there or re-encode it")
        elif time is None or time <= last:
            time = last + nominal
        elif time - last > LONGEST_GAP:
            raise MediaError(f"{path} jumps by {float(time - last):.0f} s in its time stamps; re-mux it")
        frame, last = following, time
        damaged, lost = decoder.state(following, time)
        yield Shown(frame, time, damaged, lost)
    if frame is None:
        raise MediaError(f"{path} has no picture that decodes; fetch it again")
    if decoder.incomplete:
        raise MediaError(f"{path} is truncated, it ends within a picture; fetch it again")
    if frame.is_corrupt:
        raise MediaError(f"{path} is truncated, its last picture is incomplete; fetch it again")
    if not clock.shifts:
        began = first if decoder.began is None else min(first, decoder.began)
        _check_length(container, stream, last - began + length(frame, nominal), clock.reached)


class _Decoder:
    """Packets in, frames out; what does not decode is remembered instead of ending it."""

    def __init__(self, container: InputContainer, stream: VideoStream, clock: Clock) -> None:
        self._container, self._stream, self._clock = container, stream, clock
        self.incomplete = False
        self.began: Fraction | None = None  # time of the first packet, which need not decode
        self._broken: Fraction | None = None  # time from which on frames are damaged
        self._lost = self._begun = False

    def frames(self) -> Iterator[tuple[VideoFrame, Fraction | None]]:
        """Frames with the times of the file.

        Writers of AVI that had to shift a file leave empty chunks behind its first frame: it begins before the second.
        """
        coming = self._decoded()
        if self._clock.decode_times:
            begun = list(islice(coming, 2))
            if len(begun) == 2 and begun[0][1] is not None and begun[1][1] is not None:
                begun[0] = begun[0][0], max(begun[0][1], begun[1][1] - period(self._stream))
            yield from begun
        yield from coming

    def _decoded(self) -> Iterator[tuple[VideoFrame, Fraction | None]]:
        first: Packet[Any] | None = None
        time_of = self._clock.shown()
        for packet in self._clock.packets(self._container, self._stream.index):
            if packet.size and first is None:
                first, self.began = packet, seconds(packet.dts if packet.pts is None else packet.pts, packet)
            if self.incomplete and packet.size and not self._clock.shifts:  # where recordings meet, packets look broken
                self._break(packet)
            self.incomplete = packet.is_corrupt if packet.size else self.incomplete
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:
                self._lost = self._begun
                self._break(packet)
                continue
            for frame in frames:
                self._begun = True
                yield frame, time_of(first or packet, frame)

    def state(self, frame: VideoFrame, time: Fraction) -> tuple[bool, bool]:
        """Whether a frame is damaged, and whether one before it was lost."""
        lost, self._lost = self._lost, False
        if frame.is_corrupt:
            self._broken = time if self._broken is None else min(self._broken, time)
        elif self._broken is not None and frame.key_frame and time > self._broken:
            self._broken = None
        return self._broken is not None and time >= self._broken, lost

    def _break(self, packet: "Packet[Any]") -> None:
        """From this packet's time on, frames are damaged."""
        stamp = packet.dts if packet.pts is None or self._clock.decode_times else packet.pts
        time = seconds(stamp, packet)
        if self._begun and self._broken is None and time is not None:
            self._broken = time


def period(stream: VideoStream) -> Fraction:
    """Seconds from frame to frame, as a stream declares it."""
    return 1 / (stream.average_rate or stream.guessed_rate or Fraction(FPS))


def declared(stream: VideoStream) -> Fraction | None:
    """A stream's length in seconds, None where the file does not say."""
    if stream.duration is None or stream.time_base is None:
        return None
    return stream.duration * stream.time_base


def length(frame: VideoFrame, otherwise: Fraction) -> Fraction:
    """How long a frame is shown; ``otherwise`` where the file says nothing sensible."""
    shown_for = (frame.duration or 0) * (frame.time_base or Fraction(0))
    return shown_for if 0 < shown_for <= LONGEST_GAP else otherwise


def _check_length(container: InputContainer, stream: VideoStream, ends: Fraction, reached: Fraction) -> None:
    says = declared(stream)
    if says is None and container.duration is not None:
        says = Fraction(container.duration, av.time_base)
        ends = reached - Fraction(container.start_time or 0, av.time_base)
    if says is not None and says - ends > max(Fraction(1, 2), says / 10):
        raise MediaError(
            f"{name_of(container)} is truncated, it declares {float(says):.1f} s and ends after {float(ends):.1f} s; "
            "fetch it again"
        )
