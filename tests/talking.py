"""A miniature talking corpus of one photograph: the lower face stretches, the head moves, a tone sounds."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

Image = NDArray[np.uint8]
# The longest takes more than one of the chunks that scoring works in.
LENGTHS = {"ann/one": 18, "ann/two": 10, "bob/one": 12}
WIDTH, HEIGHT = 221, 231  # odd, since sources are
MOUTH_ROW, CHIN_ROW = 145, 185


def frames(clip: str) -> Iterator[Image]:
    """The frames of a clip, uint8 [231, 221, 3]; bob is ann's mirror image."""
    load: Callable[[], Image] = astronaut
    photograph = load()[:256, 100:356]
    phase = 0.9 * sum(map(ord, clip))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for k in range(LENGTHS[clip]):
        opening = 4 + 4 * np.sin(phase + 0.8 * k)
        # Rows below the mouth come from higher up: the chin drops by ``opening`` pixels.
        drop = opening * np.clip((y - MOUTH_ROW) / (CHIN_ROW - MOUTH_ROW), 0, 1) * np.clip((231 - y) / 30, 0, 1)
        image = cv2.remap(photograph, x + 10 + 0.5 * k, y + 5 - drop, cv2.INTER_LINEAR)
        yield np.ascontiguousarray(image[:, ::-1] if clip.startswith("bob") else image, np.uint8)


def speech(clip: str) -> NDArray[np.float32]:
    """A tone of its own for each clip, float32 [frames * 640]."""
    pitch = 200 + 100 * list(LENGTHS).index(clip)
    return np.asarray(0.3 * np.sin(2 * np.pi * pitch * np.arange(LENGTHS[clip] * 640) / 16_000), np.float32)


def make(root: Path) -> Path:
    """Write the corpus below ``root``, a folder a speaker."""
    for clip in LENGTHS:
        write(root / f"{clip}.mkv", frames(clip), speech(clip))
    return root


def unrecorded(clip: Path) -> None:
    """Make a prepared clip one of the versions that did not record what its files hold."""
    about = json.loads((clip / "clip.json").read_text())
    about.pop("files")
    (clip / "clip.json").write_text(json.dumps(about))


def write(path: Path, images: Iterable[Image], sound: NDArray[np.float32] | None = None) -> None:
    """Write frames without loss (FFV1, of any size) and sound as PCM, at 25 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream("ffv1", rate=25)
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for k, image in enumerate(images):
            if k == 0:
                video.height, video.width, video.pix_fmt = *image.shape[:2], "bgr0"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="bgr0")
            frame.pts = k
            container.mux(video.encode(frame))
            samples = np.zeros(640, np.float32) if sound is None else sound[640 * k : 640 * (k + 1)]
            block = av.AudioFrame.from_ndarray((samples[None] * 32767).astype(np.int16), format="s16", layout="mono")
            block.sample_rate, block.pts = 16_000, 640 * k
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
