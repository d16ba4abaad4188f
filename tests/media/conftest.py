"""Miniature videos whose pictures count, so that time can be read off them."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

BITS, CELL = 12, 16
CLOCK = Fraction(1, 90_000)
MakeVideo = Callable[..., Path]


def picture(number: int) -> NDArray[np.uint8]:
    """[32, 192, 3]: the number in binary, a cell a bit, above its complement."""
    bits = np.array([number >> k & 1 for k in range(BITS)], np.uint8) * 255
    return np.kron(np.stack([bits, 255 - bits])[..., None], np.ones((CELL, CELL, 3), np.uint8)).astype(np.uint8)


def number(image: NDArray[np.uint8]) -> int:
    """The number that a picture shows."""
    cells = image.reshape(2, CELL, BITS, CELL, 3).mean((1, 3, 4))
    assert np.abs(cells[0] + cells[1] - 255).max() < 40
    return int(sum(1 << k for k in range(BITS) if cells[0, k] > 127))


def clicks(seconds: Sequence[float], rate: int, channels: int, length: float) -> NDArray[np.float32]:
    """Silence [channels, samples] with bursts of 2 ms at the given times."""
    sound = np.zeros((channels, round(length * rate)), np.float32)
    for second in seconds:
        sound[:, round(second * rate) :][:, : rate // 500] = 0.8
    return sound


def onsets(speech: NDArray[np.float32]) -> NDArray[np.float64]:
    """Times in seconds where 16 kHz sound sets in after at least 0.1 s of silence."""
    loud = np.flatnonzero(np.abs(speech) > 0.35)
    return loud[np.diff(loud, prepend=-10_000) > 1600] / 16_000


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Write a file whose frame i shows ``picture(i)`` at times[i], with sound [channels, samples] from a time on."""

    def make(
        name: str,
        times: Sequence[Fraction],
        sound: NDArray[np.float32] | None = None,
        rate: int = 16_000,
        sound_start: Fraction = Fraction(0),
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        layout = "mono" if sound is None or len(sound) == 1 else "stereo"
        mpeg = path.suffix == ".mpg"
        with av.open(str(path), "w", options=options or {}) as container:
            video = container.add_stream("mpeg1video" if mpeg else "libx264", rate=25)
            video.width, video.height, video.pix_fmt = BITS * CELL, 2 * CELL, "yuv420p"
            if not mpeg:
                video.codec_context.time_base = CLOCK
            audio = None
            if sound is not None:
                audio = container.add_stream("mp2" if mpeg else "aac", rate=rate)
                audio.layout = layout
            for i, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(picture(i), format="rgb24")
                frame.time_base = Fraction(1, 25) if mpeg else CLOCK
                frame.pts = round(time / frame.time_base)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            if audio is not None and sound is not None:
                packed = np.ascontiguousarray((sound * 32767).astype(np.int16).T.reshape(1, -1))
                chunk = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
                chunk.sample_rate, chunk.pts, chunk.time_base = rate, round(sound_start * rate), Fraction(1, rate)
                container.mux(audio.encode(chunk))
                container.mux(audio.encode(None))
        return path

    return make
