"""A paper's table as it is printed, and below it, apart, what was measured here under the same setting."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dubbench.core.console import widened
from dubbench.errors import DubbenchError
from dubbench.papers import PAPERS, TITLES, Column, Printed, Setting, columns, printed, remarks
from dubbench.protocols.protocol import load
from dubbench.results.numbers import directed, of_metric
from dubbench.results.rows import (
    COPY_REFERENCE,
    GROUND_TRUTH,
    Row,
    is_pooled,
    read_summary,
    results_folders,
    summary_path,
)

ENDS = (GROUND_TRUTH, COPY_REFERENCE)
SPEECH = {"own": "own speech", "cross": "other speech", "": ""}
NARROWEST = 120


class Measured(NamedTuple):
    """A row of ours: one method of one results folder.

    Attributes:
        name: of the method.
        protocol: name and hash.
        driving: ``own`` or ``cross``; empty where nothing tells.
        rows: by metric.
    """

    name: str
    protocol: str
    driving: str
    rows: dict[str, Row]

    @property
    def dataset(self) -> str:
        """Corpus that all rows share."""
        return next(iter(self.rows.values())).dataset


def show(spec: str, folders: Sequence[Path], console: Console | None = None) -> None:
    """Print a paper's table and what corresponds to it, or say which tables a paper has.

    Rows of ours correspond where data set and driving speech are the same; a column whose definition or unit is another
    one stays empty, and a footnote says why.

    Args:
        spec: ``PAPER:TABLE`` or ``PAPER``.
        folders: results folders, as ``dubbench leaderboard`` takes them; none prints the paper's numbers alone.
        console: where to print, by default the standard output.

    Raises:
        DubbenchError: if there is no such paper or table, or a folder holds no results.
    """
    console = widened(NARROWEST, console)
    paper, colon, table = spec.partition(":")
    if paper not in PAPERS:
        raise DubbenchError(f"no paper is called {paper!r}; there are {', '.join(PAPERS)}")
    if not colon:
        console.print(_overview(paper))
        return
    rows = [row for row in printed(paper) if row.table == table]
    if not rows:
        raise DubbenchError(f"{TITLES[paper]} has no table {table!r}; it has {', '.join(tables(paper))}")
    ours = measured(folders)
    for setting, group in _settings(paper, table).items():
        console.print(f"{TITLES[paper]}, Table {table}{': ' if setting.name else ''}{setting.name}", style="bold")
        console.print(_printed(rows, group))
        console.print(_ours(setting, group, ours), soft_wrap=True)
    console.print("\n".join([_notes(columns(paper, table)), *remarks(paper, table)]), style="dim", soft_wrap=True)


def tables(paper: str) -> list[str]:
    """Numbers of a paper's tables."""
    return list(dict.fromkeys(row.table for row in printed(paper)))


def measured(folders: Iterable[Path]) -> list[Measured]:
    """The methods of results folders; raises `DubbenchError` as `dubbench.results.rows.read_summary` does."""
    found: dict[tuple[str, ...], Measured] = {}
    for folder in results_folders(folders):
        for row in read_summary(folder):
            key = (row.dataset, row.protocol, row.protocol_hash, row.split_hash, row.method, str(folder))
            protocol = f"{row.protocol} ({row.protocol_hash})"
            entry = found.setdefault(key, Measured(row.method, protocol, driving(folder, row), {}))
            entry.rows[row.metric] = row
    return _once(found.values())


def _once(entries: Iterable[Measured]) -> list[Measured]:
    """Every run brings its own ground truth: equal rows are one, ends of the scale come first."""
    kept: dict[tuple[object, ...], Measured] = {}
    for entry in entries:
        values = tuple((name, repr(row.value)) for name, row in entry.rows.items() if name != "seconds_per_frame")
        kept.setdefault((entry.name, entry.dataset, entry.protocol, values), entry)
    return sorted(kept.values(), key=lambda entry: ENDS.index(entry.name) if entry.name in ENDS else len(ENDS))


def driving(folder: Path, row: Row) -> str:
    """Whether a row's clips were driven by their own speech, as ``run.json`` or else its protocol's file says."""
    try:
        record = json.loads(summary_path(folder).with_name("run.json").read_text(encoding="utf-8"))
        return str(record["protocol_choices"]["driving"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        return load(row.protocol).driving
    except DubbenchError:
        return ""


def _settings(paper: str, table: str) -> dict[Setting, list[Column]]:
    groups: dict[Setting, list[Column]] = {}
    for column in columns(paper, table):
        groups.setdefault(column.setting, []).append(column)
    return groups


def _overview(paper: str) -> Table:
    table = Table(title=f"tables of {TITLES[paper]}", box=box.SIMPLE_HEAD)
    for header in ("table", "measured on", "rows", "columns"):
        table.add_column(header, overflow="fold")
    for number in tables(paper):
        groups = _settings(paper, number)
        where = dict.fromkeys(filter(None, map(_where, groups)))
        names = dict.fromkeys(column.measure.name for group in groups.values() for column in group)
        rows = [row.row for row in printed(paper) if row.table == number]
        table.add_row(*map(Text, (f"{paper}:{number}", "; ".join(where), ", ".join(rows), ", ".join(names))))
    return table


def _where(setting: Setting) -> str:
    return ", ".join(filter(None, (setting.dataset, SPEECH[setting.driving])))


def _printed(rows: Sequence[Printed], group: Sequence[Column]) -> Table:
    table = _empty(group, "printed there")
    for row in rows:
        cells = [row.texts.get(column.name, "") for column in group]
        if any(cells):
            table.add_row(*map(Text, (row.row, *cells)), style="italic")
    return table


def _ours(setting: Setting, group: Sequence[Column], entries: Sequence[Measured]) -> Table | Text:
    """Our rows of a setting, or why there are none."""
    if not any(column.measure.alike for column in group):
        return Text("  nothing here is measured in the way of these columns\n", style="dim")
    if not setting.dataset:
        return Text("  its clips are not said, so nothing here corresponds\n", style="dim")
    chosen = [entry for entry in entries if (entry.dataset, entry.driving) == (setting.dataset, setting.driving)]
    if not chosen:
        return Text(f"  none of the results given are of {_where(setting)}\n", style="dim")
    table = _empty(group, f"measured here on {_where(setting)}", "protocol", "clips")
    for entry in chosen:
        clips = max((row.count for row in entry.rows.values() if not is_pooled(row.metric)), default=0)
        cells = [_cell(column, entry.rows) for column in group]
        name = f"* {entry.name}" if entry.name in ENDS else entry.name
        table.add_row(*map(Text, (name, entry.protocol, str(clips), *cells)), style="dim" if entry.name in ENDS else "")
    return table


def _empty(group: Sequence[Column], *first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for header in first:
        table.add_column(header, no_wrap=True)
    for column in group:
        mark = "" if column.measure.alike else " †"
        table.add_column(Text(directed(column.measure.name, column.measure.better) + mark), justify="right")
    return table


def _cell(column: Column, rows: dict[str, Row]) -> str:
    row = rows.get(column.measure.nearest) if column.measure.alike else None
    return "" if row is None else of_metric(row.metric, row.value)


def _notes(group: Sequence[Column]) -> str:
    """What is not alike and why, then what else differs."""
    measures = list(dict.fromkeys(column.measure for column in group))
    other = [
        f"† {measure.name} is never in one column with ours: {measure.note}"
        for measure in measures
        if not measure.alike
    ]
    same = [
        f"{measure.name} is defined as our {measure.nearest}: {measure.note}" for measure in measures if measure.alike
    ]
    return "\n".join(["* ends of the scale", *other, *same])
