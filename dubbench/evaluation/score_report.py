"""What ``dubbench score`` found: a table on the screen, and everything in a JSON file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dubbench.assets.store import ASSETS, NOT_HERE
from dubbench.core.files import write_json
from dubbench.datamodules import tree
from dubbench.evaluation.pairs import PRED, PairedSides
from dubbench.face.choice import Faces
from dubbench.metrics.suite import Suite
from dubbench.protocols.protocol import Protocol
from dubbench.results.numbers import ARROWS, number
from dubbench.results.record import definitions, versions
from dubbench.results.rows import GROUND_TRUTH, ClipResult, Pooled, Row, is_pooled, summarise

NAMED = 5


@dataclass(frozen=True)
class ScoreReport:
    """Results of all pairs.

    Attributes:
        pairing: what was compared with what.
        results: of predictions, and of ground truth where it was scored too.
        pooled: by method, what the metrics over all frames gave.
        suite: the metrics.
        rules: the choices.
        backend: of the landmarks.
        faces: whose face was scored.
    """

    pairing: PairedSides
    results: Sequence[ClipResult]
    pooled: Mapping[str, Pooled]
    suite: Suite
    rules: Protocol
    backend: str
    faces: Faces = "largest"

    @cached_property
    def rows(self) -> dict[tuple[str, str], Row]:
        """By method and metric; the ground truth's where it has values of its own."""
        labels = {"dataset": "", "protocol": self.rules.name, "protocol_hash": self.rules.hash, "split_hash": ""}
        rows = summarise(self.results, self.suite.metrics, labels=labels, seed=0, pooled=self.pooled)
        return {(row.method, row.metric): row for row in rows if row.method == PRED or row.count}

    def show(self, console: Console) -> None:
        """Print the table, and below it what is missing and why."""
        table = Table(box=box.SIMPLE_HEAD)
        for heading in ("metric", "unit"):
            table.add_column(heading, no_wrap=True)
        own = [GROUND_TRUTH.replace("_", " ")] if any(method == GROUND_TRUTH for method, _ in self.rows) else []
        for heading in ("better", PRED, "n", *own):
            table.add_column(heading, justify="right", no_wrap=True)
        for (method, metric), row in self.rows.items():
            if method == PRED:
                truth = self.rows.get((GROUND_TRUTH, metric))
                count = f"{row.count} frames" if is_pooled(metric) else str(row.count)
                cells = metric, row.unit, ARROWS[row.better], number(row.value) or "-", count
                table.add_row(*cells, *([number(truth.value)] if truth else []))
        console.print(table)
        for note in self.notes():
            console.print(Text(note), soft_wrap=True)

    def notes(self) -> list[str]:
        """Sentences on what has no value, each reason once."""
        own = [result for result in self.results if result.method == PRED]
        notes: list[str] = []
        reasons: dict[str, dict[str, set[str]]] = {}
        for result in own:
            for metric, reason in result.notes.items():
                of_reason = reasons.setdefault(reason, {})
                of_reason.setdefault(metric, set()).add(result.clip)
        for reason, metrics in reasons.items():
            clips = set().union(*metrics.values())
            notes.append(f"{', '.join(metrics)}: {reason} ({_of(len(clips), len(own))})")
        for pool in self.pooled.values():
            notes += [f"{metric}: {reason}" for metric, reason in pool.notes.items()]
        notes += _on_faces(own, self.faces)
        for result in own:
            if result.frames < result.shown:
                notes.append(f"{result.clip}: {result.frames} of {result.shown} frames were compared")
        missed = sum(result.missed for result in own)
        if missed:
            frames = sum(result.frames for result in own)
            notes.append(f"{missed} of {frames} frames without a face on both sides have no landmark distance")
        remarks = [f"  {result.clip}: {remark}" for result in own for remark in result.remarks]
        if remarks:
            notes += ["read all the same:", *remarks]
        failures = [f"{result.clip}: {result.failure}" for result in own if result.failure]
        if failures:
            notes.append(f"failed, {_of(len(failures), len(own))}:")
            notes += [f"  {failure}" for failure in failures]
        for names, lone in (
            (self.pairing.pred_only, "predictions without ground truth"),
            (self.pairing.target_only, "ground truth without a prediction"),
        ):
            if names:
                notes.append(f"{lone}, {len(names)}: {_some(names)}")
        notes += [f"{side}: {told}" for side, counts in self.pairing.ignored.items() if (told := tree.told(counts))]
        return notes + _absences(self.suite.absent)

    def write(self, path: Path) -> None:
        """Write everything atomically; infinity is the text ``inf`` and what has no value is null."""
        write_json(path, self.document())

    def document(self) -> dict[str, Any]:
        """Everything, as it is written."""
        clips: dict[str, dict[str, Any]] = {}
        for result in self.results:
            values = {metric: _plain(value) for metric, value in result.values.items()}
            if result.method == PRED:
                facts = asdict(result)
                names = ("frames", "shown", "missed", "several", "face", "notes", "remarks", "failure")
                kept = {key: facts[key] for key in names}
                clips.setdefault(result.clip, {}).update(kept, values=values)
            else:
                clips.setdefault(result.clip, {})[GROUND_TRUTH] = values
        failed = sum(bool(clip["failure"]) for clip in clips.values())
        means: dict[str, dict[str, Any]] = {PRED: {}, GROUND_TRUTH: {}}
        for (method, metric), row in self.rows.items():
            means[method][metric] = {"value": _plain(row.value), "count": row.count}
        described = self.suite.describe()
        return {
            "clips": clips,
            "means": means,
            "counts": {"pairs": len(clips), "scored": len(clips) - failed, "failed": failed},
            "unmatched": {PRED: list(self.pairing.pred_only), "target": list(self.pairing.target_only)},
            "ignored": self.pairing.ignored,
            "absent": self.suite.absent,
            "pooled_notes": {name: pool.notes for name, pool in self.pooled.items()},
            "definitions": definitions(self.suite.metrics),
            "networks": described["networks"],
            "choices": {
                key: getattr(self.rules, key)
                for key in ("crop", "size", "border", "length", "sync", "embedder", "pool_minimum")
            }
            | {"faces": self.faces},
            "device": str(self.suite.device),
            "versions": versions(self.backend),
        }


def _on_faces(results: Sequence[ClipResult], faces: Faces) -> list[str]:
    """A sentence on clips that show several people."""
    clips = [result for result in results if result.several]
    if not clips:
        return []
    frames = f"{sum(result.several for result in clips)} of {sum(result.frames for result in clips)} frames"
    followed = "the one in the box is scored"
    if isinstance(faces, str):
        followed = "the one that is largest at first is scored; --faces X,Y,W,H names another, --faces one refuses such"
    return [f"more than one face in {frames} ({_of(len(clips), len(results))}): {followed}"]


def _absences(absent: Mapping[str, str]) -> list[str]:
    """Metrics that do not work here: a line a missing file, and where the rest is told."""
    files: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for metric, reason in absent.items():
        missing = [name for name in ASSETS if name in reason] if NOT_HERE in reason else []
        (files if missing else reasons)[metric] = " or ".join(missing) or reason
    lines = [f"{', '.join(names)} left out: {reason}" for reason, names in _grouped(reasons.items())]
    lines += [f"{', '.join(names)} left out: {name} {NOT_HERE}" for name, names in _grouped(files.items())]
    return [*lines, *(["`dubbench assets` says how to get what is not here"] if files else [])]


def _grouped(reasons: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Metrics by reason."""
    found: dict[str, list[str]] = {}
    for metric, reason in reasons:
        found.setdefault(reason, []).append(metric)
    return list(found.items())


def _of(count: int, total: int) -> str:
    return f"{count} of {total} clip{'s' if total > 1 else ''}"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _plain(value: float) -> float | str | None:
    if np.isfinite(value):
        return float(value)
    return number(value) or None
