"""``dubbench leaderboard``: results side by side, as CSV, Markdown, an HTML page and a table on the screen."""

import argparse
from pathlib import Path

from dubbench.commands import add_video_root
from dubbench.core.console import announce, command, ending, quiet, say
from dubbench.core.files import is_plain, output_file
from dubbench.errors import DubbenchError

OUT = "leaderboard.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "results",
        nargs="*",
        type=Path,
        help="folders that dubbench eval or speed wrote, folders of such, or their summary.csv, speed.csv",
    )
    parser.add_argument(
        "--paper", metavar="PAPER:TABLE", help="print a paper's table, and below it what corresponds in the results"
    )
    parser.add_argument("--out", type=output_file, help=f"wide CSV to write: a line a row ({OUT})")
    parser.add_argument("--tidy", type=output_file, help="tidy CSV to write: a line a row and metric, with its test")
    parser.add_argument("--markdown", type=output_file, help="Markdown file to write")
    parser.add_argument("--html", type=output_file, help="self-contained page to write")
    parser.add_argument(
        "--videos",
        choices=("copy", "link", "none"),
        default="copy",
        help="the page's videos: copied into <page>_files beside it (default), linked where they lie, or none",
    )
    add_video_root(parser)
    parser.add_argument("--clips", type=int, default=3, help="how many clips the page shows as videos (default 3)")


def run(options: argparse.Namespace) -> int:
    """Collect, write and show.

    Raises:
        DubbenchError: if options do not go together, or a results folder is damaged.
    """
    if options.clips < 1:
        raise DubbenchError(f"--clips is {options.clips}; give at least 1, or --videos none")
    if options.html:
        announce(f"leaderboard of {', '.join(map(str, options.results))}")
    from dubbench.board.entries import collect, expanded
    from dubbench.board.ranking import grouped
    from dubbench.board.screen import show_groups
    from dubbench.board.tables import write_tidy, write_wide
    from dubbench.speed import report as speed_report

    folders = expanded(options.results)
    if options.paper:
        if options.tidy or options.markdown or options.html:
            raise DubbenchError("--paper prints a table and writes no file; leave --tidy, --markdown and --html out")
        from dubbench.board import paper_table

        paper_table.show(options.paper, folders)
        ending(following="" if folders else command(["leaderboard", "--paper", options.paper, "RESULTS"]))
        return 0
    if not folders:
        raise DubbenchError("there is nothing to put side by side; name folders that dubbench eval wrote")
    options.out = options.out or output_file(OUT)
    if options.html and options.videos == "copy" and not is_plain(options.html):
        raise DubbenchError(
            f"{options.html} is no plain file, and videos lie beside the page; give --videos link or none"
        )
    entries = collect(folders)
    speeds = speed_report.collected(folders)
    if not entries and not all(map(speed_report.holds_only_speeds, folders)):
        raise DubbenchError(f"{options.results[0]} holds no row; run dubbench eval again")
    groups = grouped(entries)
    if entries:
        write_wide(options.out, entries)
    if options.tidy:
        write_tidy(options.tidy, groups)
    if options.markdown:
        from dubbench.board.markdown import write_markdown

        write_markdown(options.markdown, groups, speeds)
    if options.html:
        from dubbench.board.page import write_page
        from dubbench.board.videos import withheld

        for sentence in withheld(entries, options.video_root) if options.videos != "none" else ():
            say(sentence)
        write_page(options.html, groups, speeds, how=options.videos, count=options.clips, roots=options.video_root)
    if not quiet():
        show_groups(groups, folders)
    _end(options, ranked=bool(entries))
    return 0


def _end(options: argparse.Namespace, *, ranked: bool) -> None:
    """Say which files there are, and what one can look at."""
    written = [options.out] if ranked else []
    page = command(["leaderboard", *options.results, "--html", "leaderboard.html"])
    study = command(["study", "make", *options.results, "--out", "study"])
    ending(
        output=[str(path) for path in (*written, options.tidy, options.markdown, options.html) if path],
        look=f"{options.html} in a browser" if options.html else "",
        following=study if options.html and ranked else "" if options.html else page,
    )
