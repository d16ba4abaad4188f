"""What the tests of dubbing share: checkpoints without training, small videos, and their planes as PyAV reads them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from dubbench.dubbing.dub import DubOptions, DubSummary, dub
from dubbench.models.base import DubbingModel
from dubbench.models.load import load_model
from tests.data.videos import portraits
from tests.models.conftest import small_radio

Image = NDArray[np.uint8]
Planes = list[NDArray[Any]]


def checkpoint(path: Path, model: DubbingModel | None = None) -> Path:
    """A model as `fit` would save it, untrained."""
    model = small_radio() if model is None else model
    saved: dict[str, Any] = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(saved)
    torch.save(saved, path)
    return path


def video(
    path: Path, images: Sequence[Image], pix_fmt: str = "yuv420p", fps: Fraction | int = 25, codec: str = "libx264"
) -> Path:
    """A silent video."""
    with av.open(str(path), "w") as out:
        options = {"crf": "14", "preset": "ultrafast"} if codec == "libx264" else {}
        stream: Any = out.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = number, 1 / Fraction(fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def tone(path: Path, seconds: float, rate: int = 16_000, channels: int = 1) -> Path:
    """Speech of a kind: a tone that swells and fades."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.4 * np.sin(2 * np.pi * 180 * time) * np.sin(2 * np.pi * 2 * time)
    soundfile.write(path, np.stack([wave] * channels, 1), rate, "PCM_16")
    return path


def face_video(path: Path, frames: int, **options: Any) -> Path:  # noqa: ANN401
    return video(path, portraits(frames), **options)


def inputs(folder: Path, frames: int) -> Path:
    """A folder with a checkpoint, a face that sways, and speech as long."""
    checkpoint(folder / "radio.ckpt")
    face_video(folder / "face.mp4", frames)
    return tone(folder / "tone.wav", frames / 25, 44_100, 2).parent


def planes(path: Path) -> list[Planes]:
    """Every frame's planes, read by nothing of ours."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            deep = np.uint16 if "10" in frame.format.name else np.uint8
            found.append([np.frombuffer(p, deep).reshape(p.height, -1)[:, : p.width].copy() for p in frame.planes])
    return found


@contextmanager
def quiet(step: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda frames: None


def dubbed(folder: Path, ckpt: Path, source: Path, sound: Path, out: str = "out.mp4", **options: Any) -> DubSummary:  # noqa: ANN401
    """Dub without a word."""
    shown, say = options.pop("shown", quiet), options.pop("say", lambda sentence: None)
    return dub(load_model(ckpt), ckpt, source, sound, folder / out, DubOptions(**options), shown, say)


def run(given: Path, folder: Path, video: str = "face.mp4", audio: str = "tone.wav", **options: Any) -> DubSummary:  # noqa: ANN401
    """Dub what `inputs` made."""
    return dubbed(folder, given / "radio.ckpt", given / video, given / audio, **options)
