"""Results folders made by hand: videos of one colour a method, with a tone, and their records."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dubbench.media.video import VideoWriter

FRAMES, WIDTH, HEIGHT = 10, 64, 48
COLOURS = {
    "ground_truth": (40, 160, 40),
    "copy_reference": (120, 120, 120),
    "dinet": (200, 40, 40),
    "wav2lip": (40, 40, 200),
}


def film(path: Path, colour: Sequence[int], frames: int = FRAMES, sound: bool = True) -> Path:
    """A video of one colour that gets lighter from frame to frame in its right half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.arange(frames * 640) / 10).astype(np.float32) / 4 if sound else None
    with VideoWriter(path, WIDTH, HEIGHT, speech=tone) as video:
        for k in range(frames):
            picture = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
            picture[:, WIDTH // 2 :] += np.uint8(5 * k)
            video.write(picture)
    return path


def results(
    folder: Path, methods: Sequence[str], clips: Sequence[str], foreign: Mapping[str, Path] | None = None
) -> Path:
    """A results folder; ``foreign`` methods have their videos elsewhere, which are left to be made."""
    folder.mkdir(parents=True)
    record: dict[str, dict[str, str]] = {method: {} for method in methods}
    for method in methods:
        for clip in clips:
            film(folder / "videos" / method / f"{clip}.mp4", COLOURS[method])
    for method, place in (foreign or {}).items():
        record[method] = {"folder": str(place)}
    (folder / "run.json").write_text(json.dumps({"methods": record}))
    lines = [f"{method},{clip},psnr,1" for method in record for clip in clips]
    (folder / "clips.csv").write_text("\n".join(["method,clip,metric,value", *lines]) + "\n")
    return folder
