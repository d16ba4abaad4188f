"""Rows of a leaderboard: what results folders say of each method, equal rows once."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dubbench.core.foreign import read_json
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.results.numbers import number
from dubbench.results.rows import (
    COPY_REFERENCE,
    GROUND_TRUTH,
    INFORMATIVE,
    Row,
    clip_values,
    is_pooled,
    read_summary,
    results_folders,
    summary_path,
)
from dubbench.speed import report as speed_report

ENDS = {GROUND_TRUTH: 0, COPY_REFERENCE: 1}
TIMING = "seconds_per_frame"
LABELS = ("method", "dataset", "protocol", "protocol_hash", "split_hash")
GROUP = LABELS[1:]
FACTS = ("split", "checkpoint_sha256", "parameters", "version", "seed", "device")
COUNTS = ("clips", "failed", "missed")
DIGITS = 8
# By method and metric: the value of each clip.
ClipValues = Mapping[tuple[str, str], Mapping[str, float]]


@dataclass
class Entry:
    """One row of a leaderboard: a method on a corpus under a protocol.

    Attributes:
        labels: method, dataset, protocol, protocol_hash and split_hash.
        rows: by metric.
        facts: what ``run.json`` says: split, seed, device, version, checkpoint and parameters; empty without it.
        absent: metrics that the run could not compute, with the reason.
        failed: clips that could not be scored, with the reason.
        without: clips scored that lack a metric, with the reason by metric.
        missing: clips that the protocol names and that were not scored, with the reason.
        left_out: rows that the run could not have, with the reason.
        style: how alike the styles of the ground truth's clips are, within and between speakers.
        choices: the protocol's, by name.
        networks: what the metrics' networks were, by their keys.
        videos: the folder of finished videos that was scored; empty for models.
        folders: results folders that hold this row.
    """

    labels: dict[str, str]
    rows: dict[str, Row] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    without: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    style: dict[str, dict[str, float | None]] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, Any] = field(default_factory=dict)
    videos: str = ""
    folders: list[Path] = field(default_factory=list)

    @property
    def method(self) -> str:
        """Name of the row."""
        return self.labels["method"]

    @property
    def end(self) -> bool:
        """Whether it is an end of the scale, which is not ranked."""
        return self.method in ENDS

    @property
    def group(self) -> tuple[str, ...]:
        """What must agree before two rows may be ranked."""
        return tuple(self.labels[key] for key in GROUP)

    @property
    def order(self) -> tuple[object, ...]:
        """Groups together, both ends of the scale first in each."""
        return (*self.group, ENDS.get(self.method, len(ENDS)), self.method, self.facts.get("checkpoint_sha256", ""))

    @property
    def clips(self) -> int:
        """Clips with a value; a pooled metric counts frames."""
        return max((row.count for row in self.rows.values() if not is_pooled(row.metric)), default=0)

    @property
    def failures(self) -> int:
        """Clips that could not be scored."""
        return max((row.failed for row in self.rows.values()), default=0)

    @property
    def missed(self) -> int:
        """Frames without a face, which have no landmark metrics."""
        return max((row.missed for row in self.rows.values()), default=0)

    def cells(self, metrics: Iterable[str]) -> dict[str, str]:
        """The wide CSV's cells."""
        return {
            **self.labels,
            **self.facts,
            "clips": str(self.clips),
            "failed": str(self.failures),
            "missed": str(self.missed),
            **{name: number(self.rows[name].value) if name in self.rows else "" for name in metrics},
        }


def expanded(folders: Iterable[Path]) -> list[Path]:
    """Places with folders of results folders replaced by those in them; speeds beside these stay."""
    found: list[Path] = []
    for folder in folders:
        inner = results_folders([folder])
        found += [folder] if inner != [folder] and speed_report.speed_file(folder) else []
        found += inner
    return found


def collect(folders: Iterable[Path]) -> list[Entry]:
    """Read results folders or ``summary.csv`` files into ordered entries.

    Entries that agree in everything but times and floors are one: every run brings its own ground-truth row. Places
    that hold nothing but speeds have none; a folder of results folders stands for them.

    Raises:
        DubbenchError: if a folder holds no results, or a file names a metric of a method twice.
    """
    entries: dict[tuple[tuple[str, str], ...], Entry] = {}
    for folder in expanded(folders):
        if speed_report.holds_only_speeds(folder):
            continue
        for entry in _entries(folder):
            cells = entry.cells(name for name in entry.rows if name not in INFORMATIVE)
            kept = entries.setdefault(tuple(sorted(cells.items())), entry)
            if kept is not entry:
                kept.folders += [path for path in entry.folders if path not in kept.folders]
                kept.absent = {**entry.absent, **kept.absent}
    return sorted(entries.values(), key=lambda entry: entry.order)


def _entries(folder: Path) -> list[Entry]:
    path = summary_path(folder)
    record = _record(path.with_name("run.json"))
    found: dict[tuple[str, ...], Entry] = {}
    for row in read_summary(folder):
        key = tuple(str(getattr(row, label)) for label in LABELS)
        if key not in found:
            found[key] = _entry(dict(zip(LABELS, key, strict=True)), record, path.parent)
        rows = found[key].rows
        if row.metric in rows:
            raise DubbenchError(f"{folder} holds {row.metric} of {row.method} twice; write it again with dubbench eval")
        rows[row.metric] = row
    return list(found.values())


def _entry(labels: dict[str, str], record: Mapping[str, Any], folder: Path) -> Entry:
    own = record.get("methods", {}).get(labels["method"], {})
    return Entry(
        labels,
        facts=_facts(record, own) if record else {},
        absent={**record.get("not_computed", {}), **own.get("pooled_without_value", {})},
        failed=own.get("failed", {}),
        without=own.get("without_value", {}),
        missing=record.get("missing", {}),
        left_out=record.get("left_out", {}),
        style=record.get("style_sim_of_ground_truth", {}),
        choices=record.get("protocol_choices", {}),
        networks=record.get("networks", {}),
        videos=str(own.get("folder", "")),
        folders=[folder],
    )


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        record = read_json(path)
        kept = ("methods", "not_computed", "missing", "left_out", "versions")
        parts = [record, *(record.get(name, {}) for name in kept)]
        for own in record.get("methods", {}).values():
            parts += [own, *(own.get(name, {}) for name in ("failed", "without_value", "pooled_without_value"))]
        if not all(isinstance(part, dict) for part in parts):
            raise ValueError("a list or a text where names with values belong")
    except (ValueError, AttributeError) as error:
        raise DubbenchError(f"{path} is damaged ({error}); run dubbench eval again") from error
    return dict(record)


def _facts(record: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, str]:
    return {
        "split": str(record.get("split", "")),
        "checkpoint_sha256": str(own.get("checkpoint_sha256", "")),
        "parameters": str(own.get("parameters", "")),
        "version": str(record.get("versions", {}).get("dubbench", "")),
        "seed": str(record.get("seed", "")),
        "device": str(record.get("device", "")),
    }


def read_clips(folder: Path) -> ClipValues:
    """Values of each clip from the ``clips.csv`` of a results folder; nothing where there is none.

    Raises:
        DubbenchError: if it is damaged.
    """
    path = folder / "clips.csv"
    return clip_values(path) if path.is_file() else {}


def metrics_of(entries: Iterable[Entry], absent: bool = False) -> list[str]:
    """Metrics that entries have rows of, in the catalogue's order; with those that they lack where ``absent``."""
    asked = {name for entry in entries for name in (*entry.rows, *(entry.absent if absent else ()))}
    return [name for name in (*DEFINITIONS, *INFORMATIVE) if name in asked]


def names_of(entries: Sequence[Entry]) -> list[str]:
    """A name for each row that no other row has: the method's, where need be with its checkpoint or a number."""
    names = [entry.method for entry in entries]
    names = _told_apart(names, [entry.facts.get("checkpoint_sha256", "")[:DIGITS] for entry in entries])
    return _told_apart(names, [str(number) for number in range(1, len(entries) + 1)])


def _told_apart(names: Sequence[str], extras: Sequence[str]) -> list[str]:
    often = Counter(names)
    return [
        f"{name} ({extra})" if often[name] > 1 and extra else name for name, extra in zip(names, extras, strict=True)
    ]
