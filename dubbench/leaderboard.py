"""``dubbench leaderboard``: results side by side, as a wide CSV and as a table on the screen."""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dubbench import speed_report
from dubbench.errors import DubbenchError
from dubbench.files import write_text
from dubbench.metrics.definitions import DEFINITIONS
from dubbench.results import (
    COPY_REFERENCE,
    GROUND_TRUTH,
    INFORMATIVE,
    Row,
    as_csv,
    is_pooled,
    number,
    read_summary,
    summary_path,
)

ENDS = {GROUND_TRUTH: 0, COPY_REFERENCE: 1}
TIMING = "seconds_per_frame"
ON_SCREEN = (
    "psnr", "ssim", "ms_ssim", "psnr_mouth", "ssim_mouth", "lpips_alex", "fid", "csim", "lmd", "lmd_iod", "f_lmd",
    "sync_c", "sync_d", "sync_similarity", "style_sim", TIMING,
)  # fmt: skip
DECIMALS = {"dB": 2, "px@256": 3}
NARROWEST = 148


@dataclass
class Entry:
    """One row of a leaderboard: a method on a corpus under a protocol.

    Attributes:
        labels: method, dataset, protocol, protocol_hash and split_hash.
        rows: by metric.
        facts: what ``run.json`` says: split, seed, device, version, checkpoint and parameters; empty without it.
        absent: metrics that the run could not compute, with the reason.
        failed: clips that could not be scored, with the reason.
        style: how alike the styles of the ground truth's clips are, within and between speakers.
    """

    labels: dict[str, str]
    rows: dict[str, Row] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    style: dict[str, dict[str, float | None]] = field(default_factory=dict)

    @property
    def group(self) -> tuple[str, ...]:
        """What must agree before two rows may be ranked."""
        return tuple(self.labels[key] for key in ("dataset", "protocol", "protocol_hash", "split_hash"))

    @property
    def order(self) -> tuple[object, ...]:
        """Groups together, both ends of the scale first in each."""
        method = self.labels["method"]
        return (*self.group, ENDS.get(method, len(ENDS)), method, self.facts.get("checkpoint_sha256", ""))

    @property
    def clips(self) -> int:
        """Clips with a value; a pooled metric counts frames."""
        return max((row.count for row in self.rows.values() if not is_pooled(row.metric)), default=0)

    def cells(self, metrics: Iterable[str]) -> dict[str, str]:
        """The wide CSV's cells."""
        rows = list(self.rows.values())
        return {
            **self.labels,
            **self.facts,
            "clips": str(self.clips),
            "failed": str(max((row.failed for row in rows), default=0)),
            "missed": str(max((row.missed for row in rows), default=0)),
            **{name: number(self.rows[name].value) if name in self.rows else "" for name in metrics},
        }


LABELS = ("method", "dataset", "protocol", "protocol_hash", "split_hash")
FACTS = ("split", "checkpoint_sha256", "parameters", "version", "seed", "device")
COUNTS = ("clips", "failed", "missed")


def collect(places: Iterable[Path]) -> list[Entry]:
    """Read results folders or ``summary.csv`` files into ordered entries.

    Entries that agree in everything but time are one: every run brings its own ground-truth row. Places that hold
    nothing but speeds have none.

    Raises:
        DubbenchError: if a place holds no results, or a file names a metric of a method twice.
    """
    entries: dict[tuple[tuple[str, str], ...], Entry] = {}
    for place in places:
        if speed_report.alone(place):
            continue
        for entry in _entries(place):
            cells = entry.cells(name for name in entry.rows if name != TIMING)
            entries.setdefault(tuple(sorted(cells.items())), entry)
    return sorted(entries.values(), key=lambda entry: entry.order)


def _entries(place: Path) -> list[Entry]:
    record = _record(summary_path(place).with_name("run.json"))
    found: dict[tuple[str, ...], Entry] = {}
    for row in read_summary(place):
        key = tuple(str(getattr(row, label)) for label in LABELS)
        facts = _facts(record, row.method) if record else {}
        labels = dict(zip(LABELS, key, strict=True))
        absent, style = record.get("not_computed", {}), record.get("style_sim_of_ground_truth", {})
        failed = record.get("methods", {}).get(row.method, {}).get("failed", {})
        entry = found.setdefault(key, Entry(labels, facts=facts, absent=absent, failed=failed, style=style))
        if row.metric in entry.rows:
            raise DubbenchError(f"{place} holds {row.metric} of {row.method} twice; write it again with dubbench eval")
        entry.rows[row.metric] = row
    return list(found.values())


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DubbenchError(f"{path} is damaged ({error}); run dubbench eval again") from error


def _facts(record: Mapping[str, Any], method: str) -> dict[str, str]:
    own = record.get("methods", {}).get(method, {})
    return {
        "split": str(record.get("split", "")),
        "checkpoint_sha256": str(own.get("checkpoint_sha256", "")),
        "parameters": str(own.get("parameters", "")),
        "version": str(record.get("versions", {}).get("dubbench", "")),
        "seed": str(record.get("seed", "")),
        "device": str(record.get("device", "")),
    }


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write the wide CSV: a row an entry, a column a metric; empty where a metric could not be computed."""
    asked = {name for entry in entries for name in (*entry.rows, *entry.absent)}
    metrics = [name for name in (*DEFINITIONS, *INFORMATIVE) if name in asked]
    header = (*LABELS, *COUNTS, *metrics, *FACTS)
    lines = [[entry.cells(metrics).get(column, "") for column in header] for entry in entries]
    write_text(path, as_csv(header, lines))


def show(places: Iterable[Path], console: Console | None = None) -> None:
    """Print one table for each corpus, protocol and set of clips; best values of a column are bold.

    Both ends of the scale are marked and dim, and take no part in the ranking. Speeds in these places follow as a
    table of their own.

    Args:
        places: as `collect` takes them.
        console: where to print, by default the standard output.

    Raises:
        DubbenchError: as `collect` does.
    """
    places = list(places)
    console = console or Console()
    if console.width < NARROWEST:
        console = Console(file=console.file, width=NARROWEST, force_terminal=console.is_terminal)
    groups: defaultdict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in collect(places):
        groups[entry.group].append(entry)
    for group in groups.values():
        console.print(_table(group))
        console.print(_caption(group), style="dim", soft_wrap=True)
    speed_report.show(places, console)


def _table(entries: Sequence[Entry]) -> Table:
    first = entries[0]
    split = f", {first.facts['split']}" if first.facts.get("split") else ""
    labels = first.labels
    title = f"{labels['dataset']}{split}: protocol {labels['protocol']} ({labels['protocol_hash']})"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    table.add_column("clips", justify="right")
    metrics = [name for name in ON_SCREEN if any(name in entry.rows for entry in entries)]
    for name in metrics:
        table.add_column(_heading(name, entries), justify="right")
    table.add_column("params", justify="right")
    best = {name: _best(name, entries) for name in metrics}
    for entry in entries:
        end = entry.labels["method"] in ENDS
        failed = max(row.failed for row in entry.rows.values())
        cells = [Text(("* " if end else "  ") + entry.labels["method"]), Text(f"{entry.clips}/{entry.clips + failed}")]
        for name in metrics:
            found = entry.rows.get(name)
            leads = found is not None and not end and found.value == best[name]
            cells.append(Text(_short(found), style="bold" if leads else ""))
        cells.append(Text(_millions(entry.facts.get("parameters", ""))))
        table.add_row(*cells, style="dim" if end else "")
    return table


def _heading(name: str, entries: Sequence[Entry]) -> str:
    better = next(entry.rows[name].better for entry in entries if name in entry.rows)
    arrow = {"higher": " ↑", "lower": " ↓", "": ""}[better]
    return ("s/frame" if name == TIMING else name.replace("_", " ")) + arrow


def _best(name: str, entries: Sequence[Entry]) -> float | None:
    """The best value among methods; None where nothing is ranked."""
    rows = [entry.rows[name] for entry in entries if name in entry.rows and entry.labels["method"] not in ENDS]
    values = [row.value for row in rows if row.value == row.value]
    if not values or not rows[0].better:
        return None
    return max(values) if rows[0].better == "higher" else min(values)


def _caption(entries: Sequence[Entry]) -> str:
    """What a reader must know to judge the numbers."""
    parts = ["* ends of the scale, not ranked"]
    floors = [entry.rows for entry in entries if "lmd_floor" in entry.rows]
    if floors:
        mouth, face = (_short(floors[0].get(name)) for name in ("lmd_floor", "f_lmd_floor"))
        parts.append(f"noise floor (ground truth encoded and detected again): lmd {mouth}, f_lmd {face} px")
    missed = sum(max(row.missed for row in entry.rows.values()) for entry in entries)
    if missed:
        parts.append(f"{missed} frames without a face have no landmark distance")
    pools = [(name, entry.rows[name].count) for entry in entries for name in ("fid", "kid") if name in entry.rows]
    if pools:
        parts.append(f"fid and kid over {min(count for _, count in pools)} frames")
    styles = [entry.style for entry in entries if entry.style]
    if styles:
        told = [
            f"{found['value']:.4f} {name.replace('_', ' ')} ({found['pairs']} pairs)"
            for name, found in styles[0].items()
            if found["value"] is not None
        ]
        parts.append(f"style sim of ground truth's clips: {', '.join(told) or 'one clip alone'}")
    failures = [
        f"{len(entry.failed)} clips of {entry.labels['method']} failed, the first because {first}"
        for entry in entries
        for first in list(entry.failed.values())[:1]
    ]
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for name, reason in {name: reason for entry in entries for name, reason in entry.absent.items()}.items():
        reasons[reason].append(name)
    absent = [f"without {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n".join(["; ".join(parts), *failures, *absent])


def _short(row: Row | None) -> str:
    """A value with the decimals that its unit deserves; nothing for none."""
    return "" if row is None or row.value != row.value else f"{row.value:.{DECIMALS.get(row.unit, 4)}f}"


def _millions(parameters: str) -> str:
    return f"{int(parameters) / 1e6:.2f} M" if parameters.isdigit() and int(parameters) else ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "results",
        nargs="+",
        type=Path,
        help="folders that dubbench eval or speed wrote, or their summary.csv, speed.csv",
    )
    parser.add_argument("--out", type=Path, default=Path("leaderboard.csv"), help="wide CSV to write")


def run(namespace: argparse.Namespace) -> int:
    """Collect, write and show; returns the exit status."""
    entries = collect(namespace.results)
    if entries:
        write(namespace.out, entries)
    elif not all(map(speed_report.alone, namespace.results)):
        raise DubbenchError(f"{namespace.results[0]} holds no row; run dubbench eval again")
    show(namespace.results)
    return 0
