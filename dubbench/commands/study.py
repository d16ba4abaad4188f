"""``dubbench study``: a page for mean opinion scores, and the scores of its answers."""

import argparse
from pathlib import Path

from rich.console import Console

from dubbench.figures.shown import shown
from dubbench.results.rows import COPY_REFERENCE, GROUND_TRUTH
from dubbench.study import report
from dubbench.study.answers import gather, read_key
from dubbench.study.make import OF_PAPERS, QUESTIONS, make
from dubbench.study.score import estimates


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    commands = parser.add_subparsers(dest="command", metavar="make|score", required=True)
    page = commands.add_parser("make", help="make a page that asks people")
    page.add_argument("results", nargs="+", type=Path, help="folders that dubbench eval wrote")
    page.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the page; DIR.key.json lies beside it"
    )
    page.add_argument(
        "--questions",
        nargs="+",
        choices=[*QUESTIONS, *OF_PAPERS],
        default=["visual", "sync", "realness"],
        metavar="NAME",
        help=f"some of {', '.join(QUESTIONS)}, or those of {', '.join(OF_PAPERS)} (visual sync realness)",
    )
    page.add_argument("--methods", nargs="+", metavar="NAME", help=f"only these (all but {COPY_REFERENCE})")
    page.add_argument("--without_ground_truth", action="store_true", help="leave the hidden anchor out")
    page.add_argument("--clips", type=int, metavar="N", help="how many clips, drawn by the seed (all)")
    page.add_argument(
        "--raters", type=int, default=30, metavar="N", help="rater numbers that have an order (%(default)s)"
    )
    page.add_argument(
        "--per_rater", type=int, metavar="N", help="videos a rater, a multiple of the number of methods (all)"
    )
    page.add_argument("--seed", type=int, default=0, help="of orders and of the clips drawn (%(default)s)")
    page.add_argument("--title", default="Opinion study", help="of the page (%(default)s)")
    score = commands.add_parser("score", help="means, intervals and agreement of answers")
    score.add_argument("answers", nargs="+", type=Path, help="files that raters saved, or folders of them")
    score.add_argument("--key", required=True, type=Path, metavar="FILE", help="DIR.key.json of the study")
    score.add_argument("--out", required=True, type=Path, metavar="CSV", help="tidy table to write")
    score.add_argument("--seed", type=int, default=0, help="of the intervals (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Make or score; returns the exit status.

    Raises:
        DubbenchError: as `dubbench.study.make.make` and `dubbench.study.answers.gather` do.
    """
    return _make(arguments) if arguments.command == "make" else _score(arguments)


def _make(arguments: argparse.Namespace) -> int:
    rows = shown(arguments.results)
    if arguments.methods is None:
        rows = [row for row in rows if row.method != COPY_REFERENCE]
    else:
        wanted = {row.label for row in shown(arguments.results, arguments.methods)} | {GROUND_TRUTH}
        rows = [row for row in rows if row.label in wanted]
    if arguments.without_ground_truth:
        rows = [row for row in rows if row.method != GROUND_TRUTH]
    names = [key for name in arguments.questions for key in OF_PAPERS.get(name, (name,))]
    study = make(
        rows,
        arguments.out,
        questions=list(dict.fromkeys(names)),
        raters=arguments.raters,
        per_rater=arguments.per_rater,
        clips=arguments.clips,
        seed=arguments.seed,
        title=arguments.title,
    )
    print(f"{study.page}: {len(study.methods)} methods ({', '.join(study.methods)}), {len(study.clips)} clips")
    print(f"each of {arguments.raters} raters sees {study.per_rater} videos; give everybody another rater number")
    print(f"{study.key} says whose videos they are: keep it, and keep it from the raters")
    if study.left_out:
        print(f"{len(study.left_out)} clips that not every method has are left out: {', '.join(study.left_out[:5])}")
    if study.encoded:
        print(f"{study.encoded} videos were encoded again, since not every browser would play them")
    return 0


def _score(arguments: argparse.Namespace) -> int:
    gathered = gather(arguments.answers, read_key(arguments.key))
    found = estimates(gathered.ratings, gathered.questions, gathered.methods, arguments.seed)
    report.write(arguments.out, found)
    report.show(found, gathered, Console())
    return 0
