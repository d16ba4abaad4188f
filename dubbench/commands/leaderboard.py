"""``dubbench leaderboard``: results side by side, as CSV, Markdown, an HTML page and a table on the screen."""

import argparse
from pathlib import Path

from dubbench.board import paper_table
from dubbench.board.entries import Entry, collect, expanded
from dubbench.board.markdown import write_markdown
from dubbench.board.page import write_page
from dubbench.board.ranking import grouped
from dubbench.board.screen import show, show_groups
from dubbench.board.tables import write_tidy, write_wide
from dubbench.board.videos import HOW
from dubbench.errors import DubbenchError
from dubbench.speed import report as speed_report

__all__ = ["Entry", "add_arguments", "collect", "run", "show"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "results",
        nargs="*",
        type=Path,
        help="folders that dubbench eval or speed wrote, folders of such, or their summary.csv, speed.csv",
    )
    parser.add_argument(
        "--paper", metavar="PAPER:TABLE", help="print a paper's table, and below it what corresponds in the results"
    )
    parser.add_argument("--out", type=Path, default=Path("leaderboard.csv"), help="wide CSV to write: a line a row")
    parser.add_argument("--tidy", type=Path, help="tidy CSV to write: a line a row and metric, with its test")
    parser.add_argument("--markdown", type=Path, help="Markdown file to write")
    parser.add_argument("--html", type=Path, help="self-contained page to write")
    parser.add_argument(
        "--videos",
        choices=HOW,
        default="copy",
        help="the page's videos: copied into <page>_files beside it (default), linked where they lie, or none",
    )
    parser.add_argument("--clips", type=int, default=3, help="how many clips the page shows as videos (default 3)")


def run(namespace: argparse.Namespace) -> int:
    """Collect, write and show; returns the exit status."""
    if namespace.clips < 1:
        raise DubbenchError(f"--clips is {namespace.clips}; give at least 1, or --videos none")
    places = expanded(namespace.results)
    if namespace.paper:
        if namespace.tidy or namespace.markdown or namespace.html:
            raise DubbenchError("--paper prints a table and writes no file; leave --tidy, --markdown and --html out")
        paper_table.show(namespace.paper, places)
        return 0
    if not places:
        raise DubbenchError("there is nothing to put side by side; name folders that dubbench eval wrote")
    entries = collect(places)
    speeds = speed_report.collected(places)
    if not entries and not all(map(speed_report.holds_only_speeds, places)):
        raise DubbenchError(f"{namespace.results[0]} holds no row; run dubbench eval again")
    groups = grouped(entries)
    if entries:
        write_wide(namespace.out, entries)
    if namespace.tidy:
        write_tidy(namespace.tidy, groups)
    if namespace.markdown:
        write_markdown(namespace.markdown, groups, speeds)
    if namespace.html:
        write_page(namespace.html, groups, speeds, namespace.videos, namespace.clips)
    show_groups(groups, places)
    return 0
