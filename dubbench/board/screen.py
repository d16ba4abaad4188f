"""Leaderboards on the screen."""

from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dubbench.board.entries import collect, expanded
from dubbench.board.ranking import Group, grouped
from dubbench.board.words import apart, directed_heading, lacking, main_of, parameters, remarks, scored, short, title
from dubbench.core.console import widened
from dubbench.speed import report as speed_report

NARROWEST = 148


def show(folders: Iterable[Path], console: Console | None = None) -> None:
    """Print one table for each corpus, protocol and set of clips; best values of a column are bold.

    Both ends of the scale are marked and dim, and take no part in the ranking. Speeds in these folders follow as a
    table of their own.

    Args:
        folders: results folders as `collect` takes them.
        console: where to print, by default the standard output.

    Raises:
        DubbenchError: as `collect` does.
    """
    folders = expanded(folders)
    show_groups(grouped(collect(folders)), folders, console)


def show_groups(groups: Iterable[Group], folders: Iterable[Path], console: Console | None = None) -> None:
    """Print what was collected already; see `show`."""
    console = widened(NARROWEST, console)
    for group in groups:
        console.print(_table(group))
        console.print(_caption(group), style="dim", soft_wrap=True, markup=False)
    speed_report.show(folders, console)


def _table(group: Group) -> Table:
    table = Table(title=Text(f"{title(group)} ({group.labels['protocol_hash']})"), box=box.SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    table.add_column("clips", justify="right")
    metrics = main_of(group.metrics)
    for name in metrics:
        table.add_column(directed_heading(name, group.entries), justify="right")
    table.add_column("params", justify="right")
    for index, (name, entry) in enumerate(zip(group.names, group.entries, strict=True)):
        cells = [Text(("* " if entry.end else "  ") + name), Text(scored(entry))]
        for metric in metrics:
            leads = group.standings[metric].ranks.get(index) == 1
            cells.append(Text(short(entry.rows.get(metric)), style="bold" if leads else ""))
        cells.append(Text(parameters(entry)))
        table.add_row(*cells, style="dim" if entry.end else "")
    return table


def _caption(group: Group) -> str:
    """What a reader must know to judge the numbers."""
    failures = [
        f"{len(entry.failed)} clips of {name} failed, the first because {next(iter(entry.failed.values()))}"
        for name, entry in zip(group.names, group.entries, strict=True)
        if entry.failed
    ]
    absent = [f"without {names}: {reason}" for names, reason in lacking(group)]
    marked = "; ".join(["* ends of the scale, not ranked", *remarks(group)])
    return "\n".join([marked, *filter(None, [apart(group)]), *failures, *absent])
