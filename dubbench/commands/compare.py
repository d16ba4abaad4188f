"""``dubbench compare``: results against a baseline; only equal within tolerance passes."""

import argparse
from pathlib import Path

from dubbench.commands import add_json
from dubbench.core.files import output_file
from dubbench.errors import DubbenchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("baseline", type=Path, help="CSV file in the repository")
    parser.add_argument("results", nargs="+", type=Path, help="folders that dubbench eval wrote, or summary.csv files")
    parser.add_argument("--accept", action="store_true", help="make the results the new baseline")
    parser.add_argument(
        "--repeats",
        nargs="+",
        type=Path,
        default=[],
        help="with --accept: runs with other seeds or thread counts, whose spread gives every row its tolerance",
    )
    parser.add_argument("--markdown", type=output_file, help="file to write the differences to, as a Markdown table")
    add_json(parser, "every row with its verdict")


def run(options: argparse.Namespace) -> int:
    """Compare, or make a new baseline; the status is 1 unless all is as it was.

    Raises:
        DubbenchError: if options do not go together, or as `dubbench.results.baseline.compare` does.
    """
    if options.repeats and not options.accept:
        raise DubbenchError("--repeats measures the tolerances of a new baseline; give --accept, too")
    from dubbench.results.baseline import compare

    return compare(
        options.baseline,
        options.results,
        accepting=options.accept,
        repeats=options.repeats,
        markdown=options.markdown,
        document=options.json,
    )
