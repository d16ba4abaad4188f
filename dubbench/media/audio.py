"""Speech out of any audio or video file: 16 kHz mono, aligned with the video's first frame."""

import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from numpy.typing import NDArray

from dubbench.core.files import atomic
from dubbench.media import SAMPLE_RATE, SAMPLES_PER_FRAME, MediaError
from dubbench.media.container import first_video_time, has_pictures, opened

JUMP = Fraction(1, 20)  # seconds: time stamps this far off mean lost or doubled sound, not rounding


class Form(NamedTuple):
    """Samples a second, and the layout of the channels as FFmpeg names it."""

    rate: int = SAMPLE_RATE
    layout: str = "mono"


SPEECH = Form()


def write_speech(source: Path | str, out_wav: Path | str, frames: int, *, apart: bool = False) -> None:
    """Write the speech under a video's first ``frames`` frames at 25 fps, streaming.

    Sample 0 lies at the time stamp of the first picture, gaps in the time stamps become silence, and the file holds
    exactly ``frames`` * 640 samples: silence is added or the rest left out.

    Args:
        source: any file with audio and video.
        out_wav: PCM16 mono wav at 16 kHz, written whole or not at all.
        frames: video frames at 25 fps.
        apart: ``source`` is sound alone, which begins with the first picture of its video.

    Raises:
        MediaError: if there is no audio stream, or the file is unreadable.
    """
    total = frames * SAMPLES_PER_FRAME
    start = Fraction(0) if apart else first_video_time(source)
    with (
        opened(source) as container,
        atomic(Path(out_wav)) as temporary,
        wave.open(str(temporary), "wb") as wav,  # unlike libsndfile it says when the disk is full
    ):
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        written = 0
        for gap, samples in _placed(container, start):
            written += _silence(wav, min(gap, total - written))
            samples = samples[: total - written, 0]
            wav.writeframes(samples.astype("<i2").tobytes())
            written += len(samples)
            if written >= total:
                break
        _silence(wav, total - written)


def write_sound(source: Path | str, out: Path) -> Fraction:
    """Write all sound of a file as it is, streaming: its own rate and channels, and silence where there are gaps.

    It begins at the time stamp of the first picture; where there is none, with the first sound.

    Args:
        source: any file with audio.
        out: matroska with PCM16, written whole or not at all.

    Returns:
        Its length in seconds.

    Raises:
        MediaError: if there is no audio stream or no sound in it, or the file is unreadable.
    """
    start, form, samples = _start(source), _own_form(source), 0
    options = {"fflags": "+bitexact"}
    with atomic(out) as temporary, av.open(str(temporary), "w", format="matroska", options=options) as written:
        stream = written.add_stream("pcm_s16le", rate=form.rate, layout=form.layout)
        # From a generator: what goes wrong while it is written is not said of the source.
        for block in _blocks(source, start, form):
            frame = AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout=form.layout)
            frame.sample_rate, frame.pts, frame.time_base = form.rate, samples, Fraction(1, form.rate)
            written.mux(stream.encode(frame))
            samples += len(block)
        if not samples:
            raise MediaError(f"{source} has an audio track without any sound; give a file with sound")
        written.mux(stream.encode(None))
    return Fraction(samples, form.rate)


def aligned_speech(path: Path | str) -> NDArray[np.float32]:
    """All speech of a video from its first picture on, placed as `write_speech` places it.

    Args:
        path: any file with audio and video.

    Returns:
        float32 [S] in [-1, 1], 16 kHz mono; as long as the sound, which may end before or after the pictures.

    Raises:
        MediaError: if there is no audio stream, or the file is unreadable.
    """
    start = first_video_time(path)
    parts = [np.zeros(0, np.int16)]
    with opened(path) as container:
        for gap, samples in _placed(container, start):
            parts += [np.zeros(gap, np.int16), samples[:, 0]]
    return np.asarray(np.concatenate(parts), np.float32) / np.float32(32768)


def read_speech(path: Path | str, start: int = 0, samples: int | None = None) -> NDArray[np.float32]:
    """Read speech as 16 kHz mono.

    Of a 16 kHz mono wav only the asked part is read; any other audio or video file is decoded whole, from its first
    sample on.

    Args:
        path: file to read.
        start: first sample, at 16 kHz.
        samples: how many, or None for all; the end of the file cuts them short.

    Returns:
        float32 [S] in [-1, 1].

    Raises:
        MediaError: if there is no audio stream, or the file is unreadable.
    """
    path = Path(path)
    stop = None if samples is None else start + samples
    if path.suffix.lower() == ".wav" and path.is_file():
        try:
            with soundfile.SoundFile(path) as wav:
                if (wav.samplerate, wav.channels) == (SAMPLE_RATE, 1):
                    wav.seek(min(start, wav.frames))
                    return np.asarray(wav.read(-1 if samples is None else samples, dtype="float32"), np.float32)
        except soundfile.LibsndfileError as error:
            raise MediaError(f"{path} is not a sound file ({error}); check that it plays") from error
    with opened(path) as container:
        parts = [part[:, 0] for _, part in _sound(container)]
    whole = np.concatenate([*parts, np.zeros(0, np.int16)])
    return np.asarray(whole[start:stop], np.float32) / np.float32(32768)


def _start(path: Path | str) -> Fraction | None:
    """Time of sample 0 in seconds: that of the first picture; None, the first sound's own, where there is none."""
    with opened(path) as container:
        pictures = has_pictures(container)
    return first_video_time(path) if pictures else None


def _own_form(path: Path | str) -> Form:
    """The form that a file's sound begins in; a wav need not name its layout."""
    with opened(path) as container:
        _check_sound(container)
        context = container.streams.audio[0].codec_context
        plain = {1: "mono", 2: "stereo"}.get(context.channels, context.layout.name)
        return Form(context.sample_rate, plain)


def _blocks(path: Path | str, start: Fraction | None, form: Form) -> Iterator[NDArray[np.int16]]:
    """All sound with its silence, int16 [S, channels]."""
    with opened(path) as container:
        for gap, samples in _placed(container, start, form):
            yield from _silences(gap, samples.shape[1], form.rate)
            if len(samples):
                yield samples


def _check_sound(container: InputContainer) -> None:
    if not container.streams.audio:
        raise MediaError(f"{container.name} has no audio track; give a file with sound")


def _placed(
    container: InputContainer, start: Fraction | None, form: Form = SPEECH
) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Lay sound out by its time stamps, seconds from ``start``, or from the first sound.

    Yields:
        How many samples of silence come first, and int16 [S, channels].
    """
    reached = 0
    for position, samples in _sound(container, form):
        start = position if start is None else start
        offset = round((position - start) * form.rate)
        gap = max(offset - reached, 0)
        samples = samples[max(reached - offset, 0) :]
        reached += gap + len(samples)
        yield gap, samples


def _sound(container: InputContainer, form: Form = SPEECH) -> Iterator[tuple[Fraction, NDArray[np.int16]]]:
    """Decode and resample chunk by chunk.

    Yields:
        Time in seconds of the chunk's first sample, and int16 [S, channels].
    """
    _check_sound(container)
    resampler, begin, given = _resampler(form), Fraction(0), None
    fed, made = Fraction(0), 0
    for frame in _frames(container):
        time = None if frame is None or frame.pts is None else frame.pts * Fraction(frame.time_base or 0)
        new = None if frame is None else (frame.sample_rate, frame.layout.name, frame.format.name)
        jumped = time is not None and abs(time - begin - fed) > JUMP
        if given is not None and (jumped or new != given):
            for samples in _converted(resampler, None):
                yield begin + Fraction(made, form.rate), samples
                made += len(samples)
        if jumped or new != given:
            begin = time if time is not None else begin + fed
            resampler, given, fed, made = _resampler(form), new, Fraction(0), 0
        if frame is not None:
            fed += Fraction(frame.samples, frame.sample_rate)
            for samples in _converted(resampler, frame):
                yield begin + Fraction(made, form.rate), samples
                made += len(samples)


def _frames(container: InputContainer) -> Iterator[AudioFrame | None]:
    """Decoded audio frames, and None for the end."""
    yield from container.decode(container.streams.audio[0])
    yield None


def _resampler(form: Form) -> AudioResampler:
    return AudioResampler(format="s16", layout=form.layout, rate=form.rate)


def _converted(resampler: AudioResampler, frame: AudioFrame | None) -> Iterator[NDArray[np.int16]]:
    """Feed one frame, or the end, to the resampler; int16 [S, channels] come out."""
    if frame is not None:
        frame.pts = None
    for piece in resampler.resample(frame):
        yield np.asarray(piece.to_ndarray(), np.int16).reshape(piece.samples, -1)


def _silences(samples: int, channels: int, rate: int) -> Iterator[NDArray[np.int16]]:
    """Zeros in blocks of a second at most, int16 [S, channels]."""
    for done in range(0, samples, rate):
        yield np.zeros((min(rate, samples - done), channels), np.int16)


def _silence(wav: wave.Wave_write, samples: int) -> int:
    """Write zeros block by block; returns how many."""
    for block in _silences(samples, 1, SAMPLE_RATE):
        wav.writeframes(block.tobytes())
    return max(samples, 0)
