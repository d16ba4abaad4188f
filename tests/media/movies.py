"""Miniature films of any codec and container, with pictures that count and clicks at known times."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.media.conftest import BITS, CELL, clicks, picture

SIZE = BITS * CELL, 2 * CELL
CLICKS = (0.5, 1.7, 3.3)


def movie(
    path: Path,
    codec: str = "libx264",
    *,
    frames: int = 100,
    first: int = 0,
    b_frames: int = 0,
    gop: int = 25,
    sound: str | None = "pcm_s16le",
    rate: int = 48_000,
    seconds: Sequence[float] = CLICKS,
    aspect: Fraction | None = None,
    form: str | None = None,
    size: tuple[int, int] = SIZE,
) -> Path:
    """Write a file whose frame i shows ``picture(first + i)``, with clicks of 2 ms; ``form`` names the muxer."""
    with av.open(str(path), "w", format=form) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height = size
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.codec_context.gop_size, video.codec_context.max_b_frames = gop, b_frames
        video.codec_context.options = {"crf": "10"} if codec == "libx264" else {"qscale": "2"}
        if codec != "libx264":
            video.codec_context.bit_rate = 4_000_000
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        audio = None if sound is None else container.add_stream(sound, rate=rate, layout="mono")
        heard = clicks(seconds, rate, 1, frames / 25)
        for i in range(frames):
            image = picture(first + i) if size == SIZE else np.zeros((size[1], size[0], 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(video.encode(frame))
            if audio is not None:
                container.mux(audio.encode(_block(heard, i, rate)))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def _block(heard: NDArray[np.float32], i: int, rate: int) -> av.AudioFrame:
    """The sound under frame i."""
    start, stop = i * rate // 25, (i + 1) * rate // 25
    values = np.ascontiguousarray((heard[:, start:stop] * 32767).astype(np.int16))
    block = av.AudioFrame.from_ndarray(values, format="s16", layout="mono")
    block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
    return block


def copied(
    source: Path,
    target: Path,
    shift: "dict[str, tuple[float, float]]",
    drop: tuple[str, float, float] = ("", 0, 0),
) -> Path:
    """Copy packets; by type of stream, from a second on, so many seconds are added to the time stamps.

    ``drop`` names a type of stream that has no packets between two times.
    """
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in given.streams}
        packets = [packet for packet in given.demux() if packet.size and packet.dts is not None]
        for packet in packets:
            time = packet.dts * packet.time_base - Fraction(given.start_time or 0, av.time_base)
            if packet.stream.type == drop[0] and drop[1] <= time < drop[2]:
                continue
            begin, by = shift.get(packet.stream.type, (0.0, 0.0))
            if packet.time_base and packet.dts * packet.time_base >= begin:
                ticks = round(Fraction(by) / Fraction(packet.time_base))
                packet.dts += ticks
                packet.pts += ticks
            packet.stream = streams[packet.stream.index]
            out.mux_one(packet)
    return target


def rewound(path: Path, kinds: str, begin: float, by: float) -> Path:
    """Add seconds to the clocks of a transport stream's pictures ("v"), sound ("a") or both, from a second on."""
    data = bytearray(path.read_bytes())
    first: dict[int, int] = {}
    for at in range(0, len(data), 188):
        start = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
        if not data[at + 1] & 0x40 or data[start : start + 3] != b"\0\0\1":
            continue
        kind = data[start + 3] >> 4
        places = [start + 9, start + 14][: data[start + 7] >> 6 if data[start + 7] >> 6 < 3 else 2]
        if data[start + 7] >> 6 == 2:
            places = [start + 9]
        began = first.setdefault(kind, _stamp(data, start + 9))
        if {0xE: "v", 0xC: "a"}.get(kind, "") in kinds and _stamp(data, start + 9) - began >= begin * 90_000:
            for place in places:
                _put(data, place, _stamp(data, place) + round(by * 90_000))
    path.write_bytes(data)
    return path


def _stamp(data: bytearray, at: int) -> int:
    """A time stamp of 33 bits as MPEG packs it."""
    high, middle, low = data[at] >> 1 & 7, int.from_bytes(data[at + 1 : at + 3], "big") >> 1, data[at + 3 : at + 5]
    return high << 30 | middle << 15 | int.from_bytes(low, "big") >> 1


def _put(data: bytearray, at: int, stamp: int) -> None:
    stamp %= 1 << 33
    data[at] = data[at] & 0xF1 | stamp >> 30 << 1
    data[at + 1 : at + 3] = ((stamp >> 15 & 0x7FFF) << 1 | 1).to_bytes(2, "big")
    data[at + 3 : at + 5] = ((stamp & 0x7FFF) << 1 | 1).to_bytes(2, "big")
