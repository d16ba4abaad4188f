"""Prepared clips of a drawn face that speaks, and a small G4G for them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.media.video import VideoWriter
from dubbench.models.g4g.module import G4G
from dubbench.models.g4g.networks import Generator
from tests.datamodules import miniature
from tests.datamodules.miniature import SIZE, Clip
from tests.models.conftest import merged
from tests.models.g4g.test_masks import face

CLIPS = [Clip("anna/one", 30), Clip("anna/val", 14, "val"), Clip("bert/one", 20), Clip("bert/two", 3)]
TEN = Clip("bert/ten", 10, "test")
MOUTH = 32
Frames = NDArray[np.uint8]


def landmarks(clip: Clip) -> NDArray[np.float32]:
    """The 68 landmarks of a face that drifts, speaks and frowns, [T, 68, 2] in the aligned square of `SIZE`."""
    k, phase = np.arange(clip.frames), sum(clip.clip.encode())
    openings = 0.5 + 0.5 * np.sin(phase + 0.9 * k)
    points = torch.cat([face(24, float(opening)) for opening in openings]).numpy()
    points[:, 17:27, 1] -= 1 + np.sin(phase + 0.5 * k)[:, None]  # brows
    return np.asarray(points + np.stack([16 + 0.1 * k, 15 + 0.05 * k], 1)[:, None], np.float32)


def pictures(clip: Clip) -> Iterator[Frames]:
    """That face, drawn four times as large and shrunk."""
    for points in landmarks(clip) * 4:
        image = np.full((4 * SIZE, 4 * SIZE, 3), 40, np.uint8)
        image[..., 0] = np.linspace(40, 110, 4 * SIZE)
        for first, last, colour in ((0, 27, (200, 150, 120)), (48, 60, (170, 60, 60)), (60, 68, (30, 10, 10))):
            outline = cv2.convexHull(points[first:last])
            cv2.fillPoly(image, [outline.round().astype(np.int32)], colour)
        for x, y in points[[30, 38, 44]].round().astype(int).tolist():
            cv2.circle(image, (x, y), 5, (60, 60, 90), -1)
        yield np.asarray(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def make(folder: Path) -> Path:
    """A prepared folder of all clips."""
    root = miniature.make(folder, [*CLIPS, TEN])
    for clip in [*CLIPS, TEN]:
        path = root / clip.clip / "track.npz"
        track = dict(np.load(path))
        np.savez(path, **{**track, "points": (landmarks(clip) * miniature.SCALE + miniature.OFFSET).astype(np.float32)})
        with VideoWriter(root / clip.clip / "video.mp4", SIZE, SIZE, intra=True) as video:
            for frame in pictures(clip):
                video.write(frame)
    return root


def small(**options: Any) -> G4G:  # noqa: ANN401
    torch.manual_seed(0)
    values: dict[str, Any] = {
        "size": MOUTH,
        "aligned_size": SIZE,
        "networks": {
            "widths": [8, 8],
            "channels": 16,
            "dim": 32,
            "hidden": 16,
            "alignment_blocks": 1,
            "decoder_blocks": 1,
            "landmark_widths": [4, 8],
            "speech_widths": [4, 8, 8, 8],
            "speech_blocks": [1, 1, 1, 1],
            "blend_widths": [8, 8, 8],
        },
        "perceptual": "none",
        "adversarial": {"weight": 0.0, "widths": [4, 8, 8]},
        "optim": {"lr": 3e-3, "ema_decay": 0.9},
    }
    return G4G(**merged(values, options))


def network(model: G4G) -> Generator:
    return cast(Generator, model.ema.module).eval()
