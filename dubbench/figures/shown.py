"""The videos of results folders, a row a method: what frame strips and opinion studies show."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dubbench.core.foreign import read_json
from dubbench.core.tables import read_csv
from dubbench.errors import DubbenchError
from dubbench.results.rows import COPY_REFERENCE, GROUND_TRUTH, results_folders
from dubbench.results.videos import lies_in, match, names_below, outside

ENDS = (GROUND_TRUTH, COPY_REFERENCE)


@dataclass(frozen=True)
class MethodVideos:
    """One method's videos in one results folder.

    Attributes:
        label: the method's name, after its folder's where two folders have a method of that name.
        method: its name.
        results: folder.
        videos: file by clip id.
        refused: by clip id, why nobody knows which of its videos is meant.
        outside: why none of its videos is shown; empty where they lie in the results, or in a folder that was named.
    """

    label: str
    method: str
    results: Path
    videos: Mapping[str, Path]
    refused: Mapping[str, str] = field(default_factory=dict)
    outside: str = ""


def shown(
    folders: Iterable[Path], methods: Sequence[str] | None = None, roots: Sequence[Path] = ()
) -> list[MethodVideos]:
    """What results folders have to show: the ground truth, copy-the-reference, then methods by folder.

    The two ends of the scale are taken from the first folder that has them.

    Args:
        folders: results folders, or folders of such.
        methods: only these, by label or name, in the order of the others.
        roots: folders whose videos may be shown, beside those of the results.

    Raises:
        DubbenchError: if a folder holds no results or no videos, or a method that is asked for is in none.
    """
    rows: list[MethodVideos] = []
    for results in results_folders(folders):
        for row in _rows(results, roots):
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


def refuse_outside(rows: Iterable[MethodVideos]) -> None:
    """Raise `DubbenchError` if a row's videos lie in a folder that nobody named."""
    for row in rows:
        if row.outside:
            raise DubbenchError(f"{row.label} cannot be shown: {row.outside}")


def _rows(results: Path, roots: Sequence[Path]) -> list[MethodVideos]:
    try:
        record: dict[str, Any] = read_json(results / "run.json")
        methods = {method: facts.get("folder") or "" for method, facts in record.get("methods", {}).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise DubbenchError(
            f"{results} holds no results (no run.json that can be read); dubbench eval makes them"
        ) from error
    clips = list(dict.fromkeys(line["clip"] for line in read_csv(results / "clips.csv", ("method", "clip"))))
    rows = []
    allowed = [results, *roots]
    for method, given in methods.items():
        folder = Path(given or results / "videos" / method)
        if not lies_in(folder, allowed):
            rows.append(MethodVideos(method, method, results, {}, outside=outside(folder)))
            continue
        matches = match(clips, [name for name in names_below(folder) if lies_in(folder / name, allowed)])
        refused = {clip: f"{folder}, {clip}: {matches.refusal(clip)}" for clip in matches.ambiguous}
        if matches.found or refused:
            found = {clip: folder / name for clip, name in matches.found.items()}
            rows.append(MethodVideos(method, method, results, found, refused=refused))
    if not rows:
        raise DubbenchError(f"{results} holds no videos; `dubbench eval --out {results}` writes them")
    return rows
