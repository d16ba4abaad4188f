"""Speech out of any audio or video file: 16 kHz mono, aligned with the video's first frame."""

import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from numpy.typing import NDArray

from dubbench.files import atomic
from dubbench.media import SAMPLE_RATE, SAMPLES_PER_FRAME, MediaError
from dubbench.media.container import first_video_time, opened

JUMP = Fraction(1, 20)  # seconds: time stamps this far off mean lost or doubled sound, not rounding


def write_speech(source: Path | str, out_wav: Path | str, frames: int) -> None:
    """Write the speech under a video's first ``frames`` frames at 25 fps, streaming.

    Sample 0 lies at the time stamp of the first picture, gaps in the time stamps become silence, and the file holds
    exactly ``frames`` * 640 samples: silence is added or the rest left out.

    Args:
        source: any file with audio and video.
        out_wav: PCM16 mono wav at 16 kHz, written whole or not at all.
        frames: video frames at 25 fps.

    Raises:
        MediaError: if there is no audio stream, or the file is unreadable.
    """
    total = frames * SAMPLES_PER_FRAME
    start = first_video_time(source)
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
            samples = samples[: total - written]
            wav.writeframes(samples.astype("<i2").tobytes())
            written += len(samples)
            if written >= total:
                break
        _silence(wav, total - written)


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
            parts += [np.zeros(gap, np.int16), samples]
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
        parts = [part for _, part in _speech(container)]
    whole = np.concatenate([*parts, np.zeros(0, np.int16)])
    return np.asarray(whole[start:stop], np.float32) / np.float32(32768)


def _placed(container: InputContainer, start: Fraction) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """Lay sound out by its time stamps, seconds from ``start``.

    Yields:
        How many samples of silence come first, and int16 [S] at 16 kHz mono.
    """
    reached = 0
    for position, samples in _speech(container):
        offset = round((position - start) * SAMPLE_RATE)
        gap = max(offset - reached, 0)
        samples = samples[max(reached - offset, 0) :]
        reached += gap + len(samples)
        yield gap, samples


def _speech(container: InputContainer) -> Iterator[tuple[Fraction, NDArray[np.int16]]]:
    """Decode and resample chunk by chunk.

    Yields:
        Time in seconds of the chunk's first sample, and int16 [S] at 16 kHz mono.
    """
    if not container.streams.audio:
        raise MediaError(f"{container.name} has no audio track; give a file with sound")
    resampler, begin, form = _resampler(), Fraction(0), None
    fed, made = Fraction(0), 0
    for frame in _frames(container):
        time = None if frame is None or frame.pts is None else frame.pts * Fraction(frame.time_base or 0)
        new_form = None if frame is None else (frame.sample_rate, frame.layout.name, frame.format.name)
        jumped = time is not None and abs(time - begin - fed) > JUMP
        if form is not None and (jumped or new_form != form):
            for samples in _converted(resampler, None):
                yield begin + Fraction(made, SAMPLE_RATE), samples
                made += len(samples)
        if jumped or new_form != form:
            begin = time if time is not None else begin + fed
            resampler, form, fed, made = _resampler(), new_form, Fraction(0), 0
        if frame is not None:
            fed += Fraction(frame.samples, frame.sample_rate)
            for samples in _converted(resampler, frame):
                yield begin + Fraction(made, SAMPLE_RATE), samples
                made += len(samples)


def _frames(container: InputContainer) -> Iterator[AudioFrame | None]:
    """Decoded audio frames, and None for the end."""
    yield from container.decode(container.streams.audio[0])
    yield None


def _resampler() -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


def _converted(resampler: AudioResampler, frame: AudioFrame | None) -> Iterator[NDArray[np.int16]]:
    """Feed one frame, or the end, to the resampler."""
    if frame is not None:
        frame.pts = None
    for piece in resampler.resample(frame):
        yield np.asarray(piece.to_ndarray(), np.int16).reshape(-1)


def _silence(wav: wave.Wave_write, samples: int) -> int:
    """Write zeros block by block; returns how many."""
    for done in range(0, samples, SAMPLE_RATE):
        wav.writeframes(bytes(2 * min(SAMPLE_RATE, samples - done)))
    return max(samples, 0)
