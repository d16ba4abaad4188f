"""Results folders as `dubbench eval` writes them, with clips and videos, for tests of leaderboards."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dubbench.media.writer import VideoWriter
from dubbench.results.rows import INFORMATIVE, ClipResult, Pooled, summarise, write_clips, write_summary

LABELS = {"dataset": "grid", "protocol": "first_frame", "protocol_hash": "p1", "split_hash": "s1"}
# By name, a number a frame.
Curves = Mapping[str, list[float | None]]
# By method and metric, a value a clip.
Scores = Mapping[str, Mapping[str, NDArray[np.float64] | list[float]]]


def clip_names(count: int) -> list[str]:
    return [f"s1/c{place:03d}" for place in range(count)]


def results(
    folder: Path,
    scores: Scores,
    run: Mapping[str, Any] | None = None,
    methods: Mapping[str, Mapping[str, Any]] | None = None,
    pooled: Mapping[str, Pooled] | None = None,
    curves: Mapping[str, Mapping[str, Curves]] | None = None,
    **labels: str,
) -> Path:
    """Write ``summary.csv``, ``clips.csv`` and ``run.json``; NaN is a clip without the value.

    Args:
        folder: to make.
        scores: what each method got on each clip.
        run: more of ``run.json``.
        methods: more of ``run.json`` by method.
        pooled: metrics over all frames.
        curves: by method and clip, how far mouths are open; they alone are worth a file in ``parts``.
        labels: instead of `LABELS`.
    """
    metrics = [
        metric for metric in dict.fromkeys(m for own in scores.values() for m in own) if metric not in INFORMATIVE
    ]
    clips = []
    for method, own in scores.items():
        for place, name in enumerate(clip_names(max(len(values) for values in own.values()))):
            values = {metric: float(found[place]) for metric, found in own.items() if found[place] == found[place]}
            clips.append(ClipResult(method, name, "f", 75, values=values))
    folder.mkdir(parents=True)
    wanted = [*metrics, *dict.fromkeys(metric for pool in (pooled or {}).values() for metric in pool.values)]
    write_summary(folder / "summary.csv", summarise(clips, wanted, {**LABELS, **labels}, 0, pooled))
    write_clips(folder / "clips.csv", clips, metrics)
    for method, of_clips in (curves or {}).items():
        for clip, lines in of_clips.items():
            ClipResult(method, clip, "f", 75, curves=dict(lines)).write(folder / "parts" / method / f"{clip}.json")
    record = {
        "split": "test",
        "seed": 0,
        "device": "cpu",
        "versions": {"dubbench": "0.1.0"},
        "methods": {
            method: {"parameters": 1_000_000 + place, "checkpoint_sha256": "c0ffee", **(methods or {}).get(method, {})}
            for place, method in enumerate(scores)
        },
        **(run or {}),
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def video(path: Path, seconds: float = 1.0, shade: int = 0) -> None:
    """A browser's H.264 with a tone; pictures change with every frame."""
    frames = round(25 * seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.2 * np.sin(2 * np.pi * 330 * np.arange(frames * 640) / 16_000)
    with VideoWriter(path, 80, 64, crf=30, speech=np.asarray(tone, np.float32)) as writer:
        for place in range(frames):
            writer.write(np.full((64, 80, 3), (shade + 3 * place) % 256, np.uint8))


def videos(folder: Path, methods: list[str], clips: list[str], seconds: float = 1.0) -> None:
    """Videos of a results folder, each with pictures of its own."""
    for place, method in enumerate(methods):
        for other, clip in enumerate(clips):
            video(folder / "videos" / method / f"{clip}.mp4", seconds, 40 * place + 7 * other)
