"""The table that the demo ends with: each method beside copying the reference."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dubbench.board.entries import Entry, collect, expanded
from dubbench.board.ranking import Group, grouped
from dubbench.board.words import directed_heading, short
from dubbench.core.console import widened
from dubbench.results.rows import COPY_REFERENCE, GROUND_TRUTH

DECIDING = "lmd"
COLUMNS = (DECIDING, "psnr_mouth", "ssim_mouth")
MEANINGS = {
    GROUND_TRUTH: "the speaker herself",
    COPY_REFERENCE: "her still picture, to be beaten",
}
NARROWEST = 100


def show(results: Sequence[Path], console: Console | None = None) -> None:
    """Print the methods' values with what copying the reference has, best mouth first.

    Args:
        results: folders that `dubbench eval` wrote on the same clips under the same protocol.
        console: where to print, by default the standard output.
    """
    console = widened(NARROWEST, console)
    for group in grouped(collect(expanded(results))):
        console.print(_table(group))
    console.print(
        "lmd: distance of the mouth's landmarks from the ground truth's, in pixels of a face 256 wide", style="dim"
    )


def better_than_copying(results: Sequence[Path]) -> dict[str, bool]:
    """By method, whether its mouth is nearer to the ground truth than that of the copied reference."""
    found: dict[str, bool] = {}
    for group in grouped(collect(expanded(results))):
        shares = [(entry, _share(entry, group)) for entry in group.entries if not entry.end]
        found |= {entry.method: share is not None and share < 0 for entry, share in shares}
    return found


def _table(group: Group) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    metrics = [name for name in COLUMNS if name in group.metrics]
    for name in metrics:
        table.add_column(directed_heading(name, group.entries), justify="right", no_wrap=True)
    table.add_column("mouth against copying")
    for entry in sorted(group.entries, key=lambda entry: (not entry.end, _value(entry))):
        share = None if entry.end else _share(entry, group)
        told = MEANINGS.get(entry.method, "") if share is None else _compared(share)
        cells = [Text(entry.method), *(Text(short(entry.rows.get(name))) for name in metrics), Text(told)]
        table.add_row(*cells, style="dim" if entry.end else "")
    return table


def _compared(share: float) -> str:
    return f"{abs(share):.0%} {'nearer to the speaker' if share < 0 else 'farther away'}"


def _share(entry: Entry, group: Group) -> float | None:
    """By how much, of the copied reference's, a row's mouth is farther from the ground truth's; below 0 if nearer."""
    copied = next((_value(other) for other in group.entries if other.method == COPY_REFERENCE), 0.0)
    return _value(entry) / copied - 1 if copied else None


def _value(entry: Entry) -> float:
    return entry.rows[DECIDING].value if DECIDING in entry.rows else float("inf")
