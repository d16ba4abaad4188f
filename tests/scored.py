"""What tests read from a results folder, and the evaluation's crops made anew."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip
from dubbench.face import nose_crop
from dubbench.face.warp import warp
from dubbench.media.video import read_frames
from tests import talking

Image = NDArray[np.uint8]
Table = dict[tuple[str, str], dict[str, str]]


def table(results: Path) -> Table:
    """``summary.csv`` by method and metric."""
    with (results / "summary.csv").open() as file:
        return {(row["method"], row["metric"]): row for row in csv.DictReader(file)}


def values(results: Path, method: str) -> dict[str, str]:
    rows = table(results)
    return {metric: row["value"] for (name, metric), row in rows.items() if name == method}


def clip_values(results: Path, metric: str) -> dict[tuple[str, str], str]:
    with (results / "clips.csv").open() as file:
        return {(r["method"], r["clip"]): r["value"] for r in csv.DictReader(file) if r["metric"] == metric}


def record(results: Path) -> dict[str, dict[str, dict[str, object]]]:
    return dict(json.loads((results / "run.json").read_text()))


def nose_crops(prepared: Path, corpus: Path, name: str, video: Path) -> Iterator[tuple[Image, Image]]:
    """The evaluation crops of a clip's source and of a video, one warp each."""
    clip = PreparedClip(prepared, name)
    pairs = zip(read_frames(corpus / f"{name}.mkv"), read_frames(video), strict=False)
    for k, (source, other) in enumerate(pairs):
        centre, radius = nose_crop(clip.aligned_points([k], clip.info.size)[0])
        corners = centre + radius * np.array([[-1, -1], [1, -1], [-1, 1]])
        placed = corners @ clip.transforms([k])[0][:, :2].T + clip.transforms([k])[0][:, 2]
        columns = [(placed[1] - placed[0]) / 256, (placed[2] - placed[0]) / 256, placed[0]]
        yield (
            warp(source, np.stack(columns, axis=1), 256),
            warp(other[: talking.HEIGHT, : talking.WIDTH], np.stack(columns, axis=1), 256),
        )
