"""Speech out of any audio or video file: 16 kHz mono, aligned with the video's first frame."""

import wave
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from dubbench.core.files import atomic
from dubbench.media import SAMPLE_RATE, SAMPLES_PER_FRAME, MediaError
from dubbench.media.container import has_pictures, opened, written
from dubbench.media.flaws import Flaws
from dubbench.media.pictures import first_video_time
from dubbench.media.sound import Form, own_form, placed, sound_of


def write_speech(
    source: Path | str, out_wav: Path | str, frames: int, *, apart: bool = False, flaws: Flaws | None = None
) -> None:
    """Write the speech under a video's first ``frames`` frames at 25 fps, streaming.

    Sample 0 lies at the time stamp of the first picture, gaps in the time stamps become silence, and the file holds
    exactly ``frames`` * 640 samples: silence is added or the rest left out.

    Args:
        source: any file with audio and video.
        out_wav: PCM16 mono wav at 16 kHz, written whole or not at all.
        frames: video frames at 25 fps.
        apart: ``source`` is sound alone, which begins with the first picture of its video.
        flaws: takes what is damaged, jumps of the clock, and whether it is all silence.

    Raises:
        MediaError: if no audio stream can be decoded, too much of it is damaged, or the file is unreadable.
    """
    total = frames * SAMPLES_PER_FRAME
    start, flaws = Fraction(0) if apart else first_video_time(source), Flaws() if flaws is None else flaws
    with (
        closing(placed(source, start, flaws=flaws)) as sound,
        atomic(Path(out_wav)) as temporary,
        wave.open(str(temporary), "wb") as wav,  # unlike libsndfile it says when the disk is full
    ):
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        done = 0
        for gap, samples in sound:
            done += _silence(wav, min(gap, total - done))
            samples = samples[: total - done, 0]
            wav.writeframes(samples.astype("<i2").tobytes())
            done += len(samples)
            if done >= total:
                break
        _silence(wav, total - done)
        flaws.judge(str(source))


def write_sound(source: Path | str, out: Path, flaws: Flaws | None = None) -> Fraction:
    """Write all sound of a file as it is, streaming: its own rate and channels, and silence where there are gaps.

    It begins at the time stamp of the first picture; where there is none, with the first sound.

    Args:
        source: any file with audio.
        out: matroska with PCM16, written whole or not at all.
        flaws: as for `write_speech`.

    Returns:
        Its length in seconds.

    Raises:
        MediaError: if there is no audio stream or no sound in it, or the file is unreadable.
    """
    start, form, samples = _start(source), own_form(source), 0
    with atomic(out) as temporary, written(temporary, "matroska", {"fflags": "+bitexact"}) as container:
        stream = container.add_stream("pcm_s16le", rate=form.rate, layout=form.layout)
        # From a generator: what goes wrong while it is written is not said of the source.
        for block in _blocks(source, start, form, Flaws() if flaws is None else flaws):
            frame = AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout=form.layout)
            frame.sample_rate, frame.pts, frame.time_base = form.rate, samples, Fraction(1, form.rate)
            container.mux(stream.encode(frame))
            samples += len(block)
        if not samples:
            raise MediaError(f"{source} has an audio track without any sound; give a file with sound")
        container.mux(stream.encode(None))
    return Fraction(samples, form.rate)


def aligned_speech(path: Path | str, flaws: Flaws | None = None) -> NDArray[np.float32]:
    """All speech of a video from its first picture on, placed as `write_speech` places it.

    Args:
        path: any file with audio and video.
        flaws: as for `write_speech`.

    Returns:
        float32 [S] in [-1, 1], 16 kHz mono; as long as the sound, which may end before or after the pictures.

    Raises:
        MediaError: if there is no audio stream, or the file is unreadable.
    """
    start = first_video_time(path)
    parts = [np.zeros(0, np.int16)]
    for gap, samples in placed(path, start, flaws=flaws):
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
        except soundfile.LibsndfileError:
            pass  # a name says little: what it is, FFmpeg finds out
    parts = [part[:, 0] for _, part in sound_of(path)]
    whole = np.concatenate([*parts, np.zeros(0, np.int16)])
    return np.asarray(whole[start:stop], np.float32) / np.float32(32768)


def _start(path: Path | str) -> Fraction | None:
    """Time of sample 0 in seconds: that of the first picture; None, the first sound's own, where there is none."""
    with opened(path) as container:
        pictures = has_pictures(container)
    return first_video_time(path) if pictures else None


def _blocks(path: Path | str, start: Fraction | None, form: Form, flaws: Flaws) -> Iterator[NDArray[np.int16]]:
    """All sound with its silence, int16 [S, channels]."""
    for gap, samples in placed(path, start, form, flaws):
        yield from _silences(gap, samples.shape[1], form.rate)
        if len(samples):
            yield samples


def _silences(samples: int, channels: int, rate: int) -> Iterator[NDArray[np.int16]]:
    """Zeros in blocks of a second at most, int16 [S, channels]."""
    for done in range(0, samples, rate):
        yield np.zeros((min(rate, samples - done), channels), np.int16)


def _silence(wav: wave.Wave_write, samples: int) -> int:
    """Write zeros block by block; returns how many."""
    for block in _silences(samples, 1, SAMPLE_RATE):
        wav.writeframes(block.tobytes())
    return max(samples, 0)
