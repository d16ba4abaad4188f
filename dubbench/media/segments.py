"""Planes out: H.264 in finished segments, their joining with sound, and frames kept without loss for any order."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dubbench.core.files import atomic
from dubbench.media import FPS, MediaError
from dubbench.media.container import name_of, opened, video_stream, written
from dubbench.media.planes import Layout, Planes, as_frame, as_planes
from dubbench.media.writer import X264

# Suffix: name of the container, and options that keep clock and chance out of its bytes and its index in front.
CONTAINERS = {
    ".mp4": ("mp4", {"fflags": "+bitexact", "movflags": "+faststart"}),
    ".mov": ("mov", {"fflags": "+bitexact", "movflags": "+faststart"}),
    ".mkv": ("matroska", {"fflags": "+bitexact"}),
}
TICK = Fraction(1, FPS)
CHANNEL_BITS = 96_000
RATE_BITS = 4  # bits to a sample at most: low rates need fewer
FRAME_SAMPLES = 1024  # of AAC
# Every frame alone, and in slices that several processors code.
FFV1 = {"level": "3", "g": "1", "slices": "4", "context": "0"}


class PlaneWriter:
    """Frames as planes to a file at 25 fps; equal frames give equal bytes.

    Use as a context manager: the file appears under its name only when the block ends well.

    Args:
        path: to write.
        layout: of the planes.
        crf: constant rate factor of x264, 0 for lossless; None writes FFV1, lossless with any frame decodable alone.
    """

    def __init__(self, path: Path, layout: Layout, crf: int | None) -> None:
        self.layout, self._path, self._crf = layout, path, crf
        self._frames = 0

    def __enter__(self) -> "PlaneWriter":
        self._stack = ExitStack()
        temporary = self._stack.enter_context(atomic(self._path))
        form, options = CONTAINERS[self._path.suffix]
        self._container = self._stack.enter_context(written(temporary, form, options))
        self._video = self._container.add_stream("ffv1" if self._crf is None else "libx264", rate=FPS)
        self._video.width, self._video.height = self.layout.width, self.layout.height
        self._video.pix_fmt = self.layout.format
        context: Any = self._video.codec_context
        context.color_range, context.colorspace = self.layout.range, self.layout.matrix
        context.color_primaries, context.color_trc = self.layout.primaries, self.layout.transfer
        if self.layout.aspect:
            context.sample_aspect_ratio = Fraction(self.layout.aspect).limit_denominator(1000)
        context.options = dict(FFV1) if self._crf is None else _x264(self._crf)
        context.thread_count = 4 if self._crf is None else 1
        self._stack.push(self._flush)
        return self

    def write(self, planes: Planes) -> None:
        """Append one frame."""
        frame = as_frame(planes, self.layout)
        frame.pts, frame.time_base = self._frames, TICK
        context: Any = frame
        context.colorspace, context.color_range = self.layout.matrix, self.layout.range
        self._container.mux(self._video.encode(frame))
        self._frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _flush(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._container.mux(self._video.encode(None))


def _x264(crf: int) -> dict[str, str]:
    """Options of x264; with more than 8 bits a rate factor of 0 is not lossless, a quantiser of 0 always is."""
    quality = {"crf": str(crf)} if crf else {"qp": "0"}
    return {**quality, **X264}


class Stored:
    """Random frames of a file in which each decodes alone: packets to copy, or planes to look at.

    Use as a context manager.
    """

    SKIP = 16  # packets: reading past this many is dearer than a seek

    def __init__(self, path: Path) -> None:
        """Open what `PlaneWriter` wrote without a rate factor, or `VideoWriter` with ``intra``."""
        self._file = opened(path)
        self._container: InputContainer = self._file.__enter__()
        self.stream: VideoStream = video_stream(self._container)
        self._packets: Iterator[Packet[Any]] = self._container.demux(self.stream)
        self._next = 0

    def __enter__(self) -> "Stored":
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def planes(self, number: int) -> Planes:
        """The planes of a frame."""
        for frame in self.stream.decode(self.packet(number)):
            return as_planes(frame)
        # A decoder with threads holds frames back until it is drained.
        frame = self.stream.decode(None)[0]
        self.stream.codec_context.flush_buffers()
        return as_planes(frame)

    def packet(self, number: int) -> "Packet[Any]":
        """The packet of a frame.

        Raises:
            MediaError: if the file has no such frame.
        """
        if not self._next <= number < self._next + self.SKIP:
            self._container.seek(round(number * TICK / (self.stream.time_base or 1)), stream=self.stream)
            self._packets = self._container.demux(self.stream)
        for packet in self._packets:
            if packet.pts is not None and _number(packet) == number:
                self._next = number + 1
                return packet
        raise MediaError(f"{name_of(self._container)} is damaged, frame {number} is missing; remove it and begin again")


def reorder(path: Path, order: Sequence[int], out: Path) -> None:
    """Copy the frames of an all-intra video in another order, any of them any number of times, without coding."""
    with (
        Stored(path) as stored,
        atomic(out) as temporary,
        written(temporary, "mp4", {"fflags": "+bitexact"}) as container,
    ):
        video = container.add_stream_from_template(stored.stream)
        for number, source in enumerate(order):
            _place(container, stored.packet(source), video, number)


def join(segments: Sequence[Path], sound: Path, out: Path, metadata: Mapping[str, str]) -> None:
    """Put segments behind one another without coding them again, with sound as AAC at its own rate and channels.

    Args:
        segments: of `PlaneWriter`, with one layout and rate factor.
        sound: as `write_sound` left it; followed by silence or cut at the end of the pictures.
        out: file to write, whole or not at all; its suffix is one of `CONTAINERS`.
        metadata: tags of the file.
    """
    form, options = CONTAINERS[out.suffix.lower()]
    with atomic(out) as temporary, written(temporary, form, options) as container:
        container.metadata.update(metadata)
        with opened(segments[0]) as first:
            video = container.add_stream_from_template(video_stream(first))
        voice = _Voice(container, sound)
        for number, packet in enumerate(_packets(segments)):
            _place(container, packet, video, number)
            voice.write(number + 1)
        voice.finish(number + 1)


def _packets(segments: Sequence[Path]) -> "Iterator[Packet[Any]]":
    """All pictures in order. What goes wrong while they are written is not said of these files."""
    for path in segments:
        with opened(path) as segment:
            yield from (packet for packet in segment.demux(video_stream(segment)) if packet.size)


class _Voice:
    """Sound that is encoded as far as the pictures have come, so that the muxer never waits for one stream."""

    def __init__(self, container: OutputContainer, sound: Path) -> None:
        with opened(sound) as heard:
            rate, channels = heard.streams.audio[0].rate, heard.streams.audio[0].channels
        rates = av.codec.Codec("aac", "w").audio_rates or [rate]
        self._rate = rate if rate in rates else 48_000
        # Those that every player knows; others are mixed down.
        self._layout = "mono" if channels == 1 else "stereo" if channels < 6 else "5.1"
        self._container = container
        self._stream: AudioStream = container.add_stream("aac", rate=self._rate)
        self._stream.layout = self._layout
        self._stream.bit_rate = min(CHANNEL_BITS, RATE_BITS * self._rate) * self._stream.channels
        self._decoded = self._blocks(sound)
        self._samples = 0

    def write(self, frames: int) -> None:
        """Encode what is heard until the end of frame ``frames`` - 1, in whole blocks."""
        while (self._samples + FRAME_SAMPLES) * FPS <= frames * self._rate:
            self._encode(FRAME_SAMPLES)

    def finish(self, frames: int) -> None:
        """Encode the rest up to the end of the pictures."""
        rest = round(Fraction(frames * self._rate, FPS)) - self._samples
        if rest > 0:
            self._encode(rest)
        self._container.mux(self._stream.encode(None))

    def _encode(self, count: int) -> None:
        """Encode so many of the next block's samples; zeros after the last block."""
        block = np.zeros((self._stream.channels, count), np.float32)
        for frame in islice(self._decoded, 1):
            values = frame.to_ndarray()[:, :count]
            block[:, : values.shape[1]] = values
        made = AudioFrame.from_ndarray(block, format="fltp", layout=self._layout)
        made.sample_rate, made.pts, made.time_base = self._rate, self._samples, Fraction(1, self._rate)
        self._container.mux(self._stream.encode(made))
        self._samples += count

    def _blocks(self, sound: Path) -> Iterator[AudioFrame]:
        """The sound in blocks of `FRAME_SAMPLES`, the last one shorter."""
        resampler = AudioResampler("fltp", self._layout, self._rate, FRAME_SAMPLES)
        with opened(sound) as heard:
            for frame in heard.decode(heard.streams.audio[0]):
                frame.pts = None
                yield from resampler.resample(frame)
        yield from resampler.resample(None)


def _place(container: OutputContainer, packet: "Packet[Any]", stream: VideoStream, number: int) -> None:
    packet.stream, packet.time_base = stream, TICK
    packet.pts = packet.dts = number
    packet.duration = 1
    container.mux(packet)


def _number(packet: "Packet[Any]") -> int:
    return round((packet.pts or 0) * Fraction(packet.time_base) * FPS)
