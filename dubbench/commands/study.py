"""``dubbench study``: a page for mean opinion scores, and the scores of its answers."""

import argparse
from pathlib import Path

from dubbench.commands import add_video_root, seed
from dubbench.core.console import announce, command, console, ending, quiet, report, say
from dubbench.core.files import output_file, output_folder
from dubbench.results.rows import COPY_REFERENCE, GROUND_TRUTH
from dubbench.study.questions import OF_PAPERS, QUESTIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands, each with its options."""
    commands = parser.add_subparsers(dest="command", metavar="make|score", required=True)
    page = commands.add_parser("make", help="make a page that asks people")
    page.add_argument("results", nargs="+", type=Path, help="folders that dubbench eval wrote")
    page.add_argument(
        "--out",
        required=True,
        type=output_folder,
        metavar="DIR",
        help="folder of the page; DIR.key.json lies beside it",
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
    add_video_root(page)
    page.add_argument("--without_ground_truth", action="store_true", help="leave the hidden anchor out")
    page.add_argument("--clips", type=int, metavar="N", help="how many clips, drawn by the seed (all)")
    page.add_argument(
        "--raters", type=int, default=30, metavar="N", help="rater numbers that have an order (%(default)s)"
    )
    page.add_argument(
        "--per_rater", type=int, metavar="N", help="videos a rater, a multiple of the number of methods (all)"
    )
    page.add_argument("--seed", type=seed, default=0, help="of orders and of the clips drawn (%(default)s)")
    page.add_argument("--title", default="Opinion study", help="of the page (%(default)s)")
    score = commands.add_parser("score", help="means, intervals and agreement of answers")
    score.add_argument("answers", nargs="+", type=Path, help="files that raters saved, or folders of them")
    score.add_argument("--key", required=True, type=Path, metavar="FILE", help="DIR.key.json of the study")
    score.add_argument("--out", required=True, type=output_file, metavar="CSV", help="tidy table to write")
    score.add_argument("--seed", type=seed, default=0, help="of the intervals (%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Make a page, or score answers.

    Raises:
        DubbenchError: as `dubbench.study.make.make` and `dubbench.study.answers.gather` do.
    """
    return _make(options) if options.command == "make" else _score(options)


def _make(options: argparse.Namespace) -> int:
    announce(f"study of {', '.join(map(str, options.results))}")
    from dubbench.figures.shown import refuse_outside, shown
    from dubbench.study.make import make

    rows = shown(options.results, roots=options.video_root)
    if options.methods is None:
        rows = [row for row in rows if row.method != COPY_REFERENCE]
    else:
        named = shown(options.results, options.methods, options.video_root)
        wanted = {row.label for row in named} | {GROUND_TRUTH}
        rows = [row for row in rows if row.label in wanted]
    if options.without_ground_truth:
        rows = [row for row in rows if row.method != GROUND_TRUTH]
    refuse_outside(rows)
    for row in rows:
        for reason in row.refused.values():
            say(reason)
    names = [key for name in options.questions for key in OF_PAPERS.get(name, (name,))]
    study = make(
        rows,
        options.out,
        questions=list(dict.fromkeys(names)),
        raters=options.raters,
        per_rater=options.per_rater,
        clips=options.clips,
        seed=options.seed,
        title=options.title,
    )
    report(f"{study.page}: {len(study.methods)} methods ({', '.join(study.methods)}), {len(study.clips)} clips")
    report(f"each of {options.raters} raters sees {study.per_rater} videos; give everybody another rater number")
    report(f"{study.key} says whose videos they are: keep it, and keep it from the raters")
    if study.left_out:
        report(f"{len(study.left_out)} clips that not every method has are left out: {', '.join(study.left_out[:5])}")
    if study.encoded:
        report(f"{study.encoded} videos were encoded again, since not every browser would play them")
    ending(
        output=f"{options.out} for the raters, {study.key} for nobody but you",
        look=f"{study.page} in a browser",
        following=command(["study", "score", "ANSWERS", "--key", study.key, "--out", "scores.csv"]),
    )
    return 0


def _score(options: argparse.Namespace) -> int:
    announce(f"study scores of {', '.join(map(str, options.answers))}")
    from dubbench.study import report as tables
    from dubbench.study.answers import gather, read_key
    from dubbench.study.score import estimates

    gathered = gather(options.answers, read_key(options.key))
    found = estimates(gathered.ratings, gathered.questions, gathered.methods, options.seed)
    tables.write(options.out, found)
    if not quiet():
        tables.show(found, gathered, console())
    ending(output=str(options.out))
    return 0
