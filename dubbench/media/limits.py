"""What a file may declare: beyond it nothing is meant seriously, and memory or time would run out."""

from fractions import Fraction

import av
from av.container import InputContainer

from dubbench.media import MediaError

SIDE = 16_384  # pixels; the sides of H.264 and HEVC are shorter
PIXELS = 8192 * 4320  # of a frame: cinema's 8K
SECONDS = 10 * 3600
FRAME_RATE = 1000
SAMPLE_RATE = 384_000
CHANNELS = 64
ASPECT = 8  # of a pixel
# Their length is an estimate from the clocks, which may jump; what is read of them is measured instead.
ESTIMATED = frozenset({"mpegts", "mpeg"})


def check_declared(container: InputContainer, name: str) -> None:
    """Look at what a file's headers say of its streams.

    Raises:
        MediaError: if sizes, lengths, rates or channels are beyond reason.
    """
    length = Fraction(container.duration or 0, av.time_base)
    if container.format.name not in ESTIMATED:
        check_length(length, name)
    for video in container.streams.video:
        if video.codec_context is not None:
            check_picture(video.codec_context.width, video.codec_context.height, name)
        if video.average_rate is not None and video.average_rate > FRAME_RATE:
            raise MediaError(
                f"{name} declares {float(video.average_rate):.0f} frames a second; at most {FRAME_RATE} are taken"
            )
    for audio in container.streams.audio:
        if audio.codec_context is None:
            continue
        if audio.codec_context.sample_rate >= SAMPLE_RATE:
            raise MediaError(
                f"{name} declares sound of {audio.codec_context.sample_rate} Hz; less than {SAMPLE_RATE} is taken"
            )
        if audio.codec_context.channels >= CHANNELS:
            raise MediaError(
                f"{name} declares {audio.codec_context.channels} channels of sound "
                f"({audio.codec_context.layout.name}); fewer than {CHANNELS} are taken"
            )


def check_length(seconds: Fraction, name: str) -> None:
    """See that a length is less than `SECONDS`."""
    if seconds >= SECONDS:
        raise MediaError(
            f"{name} declares a length of {float(seconds) / 3600:.1f} hours; less than {SECONDS // 3600} are taken, "
            "cut it or re-mux it"
        )


def check_picture(width: int, height: int, name: str) -> None:
    """See that a picture's sides and its pixels are few enough."""
    if max(width, height) >= SIDE or width * height > PIXELS:
        raise MediaError(
            f"{name} has pictures of {width} x {height}; sides below {SIDE} and at most {PIXELS} pixels (8192 x 4320) "
            "are taken, scale it down"
        )
