"""Sound decoded, resampled and laid out in time; what does not decode is silence of its length."""

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from numpy.typing import NDArray

from dubbench.media import SAMPLE_RATE, MediaError
from dubbench.media.clock import clock_of, seconds
from dubbench.media.container import opened, sound_streams
from dubbench.media.flaws import Flaws
from dubbench.media.jumps import JUMP, LONGEST_GAP


class Form(NamedTuple):
    """Samples a second, and the layout of the channels as FFmpeg names it."""

    rate: int = SAMPLE_RATE
    layout: str = "mono"


SPEECH = Form()
SILENT = "its sound is silent from beginning to end"


def own_form(path: Path | str) -> Form:
    """The form that a file's sound begins in; a wav need not name its layout.

    Raises:
        MediaError: if it has no sound that can be decoded.
    """
    with opened(path) as container:
        context = heard(path, container).codec_context
        plain = {1: "mono", 2: "stereo"}.get(context.channels, context.layout.name)
        return Form(context.sample_rate, plain)


def heard(path: Path | str, container: InputContainer) -> AudioStream:
    """The track that is heard: the default one, else the first that decodes.

    Raises:
        MediaError: if there is none, or none that can be decoded here.
    """
    tracks = sound_streams(container)
    sound = clock_of(path).sound
    return next((track for track in tracks if track.index == sound), tracks[0])


def placed(
    path: Path | str, start: Fraction | None, form: Form = SPEECH, flaws: Flaws | None = None
) -> Generator[tuple[int, NDArray[np.int16]], None, None]:
    """Lay a file's sound out by its time stamps, seconds from ``start``, or from the first sound.

    Args:
        path: any file with sound.
        start: time of sample 0.
        form: to convert to.
        flaws: takes what is damaged, how clocks jump and whether all is silent; complete when this is closed.

    Yields:
        How many samples of silence come first, and int16 [S, channels].

    Raises:
        MediaError: if there is no sound that can be decoded, more of it is damaged than
            `dubbench.media.flaws.DAMAGED_SHARE`, or the file is unreadable.
    """
    flaws = Flaws() if flaws is None else flaws
    flaws.tell(clock_of(path).told)
    reached, loud = 0, False
    try:
        for position, samples in sound_of(path, form, flaws):
            start = position if start is None else start
            offset = round((position - start) * form.rate)
            gap = max(offset - reached, 0)
            part = samples[max(reached - offset, 0) :]
            reached += gap + len(part)
            loud = loud or bool(part.any())
            yield gap, part
    finally:
        flaws.tell([] if loud else [SILENT])


def sound_of(
    path: Path | str, form: Form = SPEECH, flaws: Flaws | None = None
) -> Iterator[tuple[Fraction, NDArray[np.int16]]]:
    """Decode and resample chunk by chunk.

    Yields:
        Time in seconds of the chunk's first sample, and int16 [S, channels].
    """
    with opened(path) as container:
        yield from _resampled(path, container, form, Flaws() if flaws is None else flaws)


def _resampled(
    path: Path | str, container: InputContainer, form: Form, flaws: Flaws
) -> Iterator[tuple[Fraction, NDArray[np.int16]]]:
    resampler, begin, given = _resampler(form), Fraction(0), None
    fed, made = Fraction(0), 0
    for frame in _frames(path, container, flaws):
        time = None if frame is None else seconds(frame.pts, frame)
        new = None if frame is None else (frame.sample_rate, frame.layout.name, frame.format.name)
        jumped = time is not None and abs(time - begin - fed) > JUMP
        if given is not None and (jumped or new != given):
            for samples in _converted(resampler, None, path):
                yield begin + Fraction(made, form.rate), samples
                made += len(samples)
        if jumped or new != given:
            begin = time if time is not None else begin + fed
            resampler, given, fed, made = _resampler(form), new, Fraction(0), 0
        if frame is not None:
            fed += Fraction(frame.samples, frame.sample_rate)
            for samples in _converted(resampler, frame, path):
                yield begin + Fraction(made, form.rate), samples
                made += len(samples)


def _frames(path: Path | str, container: InputContainer, flaws: Flaws) -> Iterator[AudioFrame | None]:
    """Decoded audio frames, silent ones for packets that do not decode, and None for the end.

    A stream may begin in its middle: what does not decode before the first whole frame is left out.
    """
    stream = heard(path, container)
    last: AudioFrame | None = None
    expected: Fraction | None = None
    missing: list[Packet[Any]] = []  # of which nothing has come since
    for packet in clock_of(path).packets(container, stream.index):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            frames = []
        flaws.packets += bool(packet.size)
        for frame in frames:
            time = seconds(frame.pts, frame)
            yield from _silent(missing, last, None if time is None or expected is None else time - expected, flaws)
            missing = []
            yield frame
            last = frame
            expected = (expected if time is None else time) or Fraction(0)
            expected += Fraction(frame.samples, frame.sample_rate)
        if not frames and packet.size and last is not None:
            missing.append(packet)
    yield from _silent(missing, last, None, flaws)
    flaws.judge(str(path))
    yield None


def _silent(
    missing: "list[Packet[Any]]", like: AudioFrame | None, gap: Fraction | None, flaws: Flaws
) -> Iterator[AudioFrame]:
    """Zeros for packets of which nothing came, in whole frames of their codec.

    As long as the gap that they left until the next frame, which is none where a decoder only held back what it gave
    later, and more than their own lengths where a parser took what follows a broken header for part of it.
    """
    if like is None or not missing:
        return
    own = Fraction(like.samples, like.sample_rate)
    lengths = sum((seconds(packet.duration, packet) or own for packet in missing), Fraction(0))
    # Where so much more is missing, the clock jumped too.
    count = round((lengths if gap is None or gap > lengths + LONGEST_GAP else gap) / own)
    if count <= 0:
        return
    flaws.spoilt += len(missing)
    flaws.silence += count * own
    zero = b"\x80" if like.format.name.startswith("u8") else b"\0"
    for _ in range(count):
        silent = AudioFrame(like.format, like.layout, like.samples)
        for plane in silent.planes:
            plane.update(zero * plane.buffer_size)
        silent.sample_rate, silent.pts, silent.time_base = like.sample_rate, None, like.time_base
        yield silent


def _resampler(form: Form) -> AudioResampler:
    return AudioResampler(format="s16", layout=form.layout, rate=form.rate)


def _converted(resampler: AudioResampler, frame: AudioFrame | None, path: Path | str) -> Iterator[NDArray[np.int16]]:
    """Feed one frame, or the end, to the resampler; int16 [S, channels] come out."""
    if frame is not None:
        frame.pts = None
    try:
        pieces = resampler.resample(frame)
    except (av.FFmpegError, ValueError) as error:
        layout = "sound" if frame is None else f"{frame.layout.nb_channels} channels of sound ({frame.layout.name})"
        raise MediaError(f"{path} has {layout} that cannot be mixed down; give mono, stereo or 5.1") from error
    for piece in pieces:
        yield np.asarray(piece.to_ndarray(), np.int16).reshape(piece.samples, -1)
