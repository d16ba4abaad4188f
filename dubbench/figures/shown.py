"""The videos of results folders, a row a method: what frame strips and opinion studies show."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dubbench.core.files import inside
from dubbench.datamodules.sources import videos, without_suffix
from dubbench.errors import DubbenchError
from dubbench.results.rows import COPY_REFERENCE, GROUND_TRUTH, places, read_csv

ENDS = (GROUND_TRUTH, COPY_REFERENCE)


@dataclass(frozen=True)
class MethodVideos:
    """One method's videos in one results folder.

    Attributes:
        label: the method's name, after its folder's where two folders have a method of that name.
        method: its name.
        results: folder.
        videos: file by clip id.
    """

    label: str
    method: str
    results: Path
    videos: Mapping[str, Path]


def shown(given: Iterable[Path], methods: Sequence[str] | None = None) -> list[MethodVideos]:
    """What results folders have to show: the ground truth, copy-the-reference, then methods by folder.

    The two ends of the scale are taken from the first folder that has them.

    Args:
        given: results folders, or folders of such.
        methods: only these, by label or name, in the order of the others.

    Raises:
        DubbenchError: if a folder holds no results or no videos, or a method that is asked for is in none.
    """
    rows: list[MethodVideos] = []
    for place in places(given):
        for row in _rows(place):
            if row.method not in ENDS or row.method not in [each.method for each in rows]:
                rows.append(row)
    names = [row.method for row in rows]
    rows = [
        row if names.count(row.method) == 1 else replace(row, label=f"{row.results.resolve().name}/{row.method}")
        for row in rows
    ]
    rows.sort(key=lambda row: ENDS.index(row.method) if row.method in ENDS else len(ENDS))
    labels = [row.label for row in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise DubbenchError(f"two folders bring a {label}; give one of them, or copy the other to another name")
    for name in methods or ():
        if not any(name in (row.label, row.method) for row in rows):
            raise DubbenchError(f"no method is called {name!r} in these results; there are {', '.join(labels)}")
    return [row for row in rows if methods is None or row.label in methods or row.method in methods]


def _rows(place: Path) -> list[MethodVideos]:
    try:
        record: dict[str, Any] = json.loads((place / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DubbenchError(
            f"{place} holds no results (no run.json that can be read); dubbench eval makes them"
        ) from error
    clips = list(dict.fromkeys(line["clip"] for line in read_csv(place / "clips.csv", ("method", "clip"))))
    rows = []
    for method, facts in record.get("methods", {}).items():
        foreign = facts.get("folder")
        found = _foreign(Path(foreign), clips) if foreign else _own(place / "videos" / method, clips)
        if found:
            rows.append(MethodVideos(method, method, place, found))
    if not rows:
        raise DubbenchError(f"{place} holds no videos; `dubbench eval --out {place}` writes them")
    return rows


def _own(folder: Path, clips: Sequence[str]) -> dict[str, Path]:
    files = {clip: inside(folder, f"{clip}.mp4") for clip in clips}
    return {clip: path for clip, path in files.items() if path.is_file()}


def _foreign(folder: Path, clips: Sequence[str]) -> dict[str, Path]:
    """Videos that were scored where they lie, matched as `dubbench.evaluation.finished_videos.Videos` does."""
    found: dict[str, Path] = {}
    for path in sorted(videos(folder)) if folder.is_dir() else ():
        for key in (without_suffix(path, folder), path.relative_to(folder).as_posix()):
            found.setdefault(key.replace("/", "__"), path)
    return {clip: found[name] for clip in clips if (name := clip.replace("/", "__")) in found}
