"""``dubbench demo``: corpus, prepared clips, trainings, scores and leaderboard from nothing but the package."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dubbench.commands import call
from dubbench.core.console import announce, command, ending, quiet, report, speaking
from dubbench.core.devices import usable_cores
from dubbench.core.files import output_folder, sweep_abandoned
from dubbench.core.locks import claimed
from dubbench.demo import recipes
from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    from dubbench.demo.steps import Plan, Step

CHAIN = f"from {__name__} import chain; chain()"
# Threads of a method that is alone; more would wait for one another in networks as small as these.
ALONE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "--out",
        type=output_folder,
        default="demo",
        metavar="DIR",
        help="folder of everything the demo makes (%(default)s)",
    )
    add(
        "--method",
        action="extend",
        nargs="+",
        choices=sorted(recipes.RECIPES),
        help="only these methods (default: all)",
    )
    add(
        "--minutes",
        type=float,
        default=recipes.MINUTES,
        metavar="M",
        help="length that the trainings are chosen for, on two cores with all methods (%(default)g)",
    )
    add("--workers", type=int, metavar="N", help="processes at once (default: the cores that this process may use)")


def run(options: argparse.Namespace) -> int:
    """Run the demo; every step goes on where an interrupted run left it.

    Raises:
        DubbenchError: if an option is out of range, another demo writes to the folder, or a step fails.
    """
    if not options.minutes > 0:
        raise DubbenchError(f"--minutes is {options.minutes:g}; give more than 0, such as {recipes.MINUTES:g}")
    if options.workers is not None and options.workers < 1:
        raise DubbenchError(f"--workers is {options.workers}; give at least 1, or leave it out")
    wanted = {name: recipe for name, recipe in recipes.RECIPES.items() if name in (options.method or recipes.RECIPES)}
    announce(f"demo of {', '.join(recipe.title for recipe in wanted.values())} in {options.out}")
    from dubbench.demo.steps import plan

    cores = usable_cores()
    workers = options.workers or cores
    whole = plan(options.out, wanted, options.minutes, workers)
    with claimed(options.out, "demo"):
        sweep_abandoned(options.out)
        kept = _do(whole, options.out, workers=workers, cores=cores)
    _end(whole, options, kept)
    return 0


def chain() -> None:
    """Do a chain of steps in a process of its own."""
    from dubbench.demo.child import work

    work(lambda verb, words: call(verb, words, step=True))


def _do(whole: "Plan", out: Path, *, workers: int, cores: int) -> int:
    """Do all steps that are not done; returns how many were."""
    from dubbench.demo import team
    from dubbench.demo.display import Display

    for chain in whole.methods:
        if any(step.batches and step.state() == "stale" for step in chain.steps):
            report(f"{chain.title} is trained anew: what is in {out} was trained longer, or by other settings")
    at_once = min(workers, len(whole.methods))
    threads = 1 if len(whole.methods) > 1 else min(ALONE, cores)
    with Display(whole, at_once) as display:
        for chains, most in (([whole.corpus], 1), (whole.methods, threads)):
            team.run(
                chains,
                CHAIN,
                logs=out / "logs",
                workers=at_once,
                threads=most,
                hear=display.hear,
                show=display.show,
            )
        if whole.board.state() != "finished":
            _rank(whole.board)
        return display.kept


def _rank(board: "Step") -> None:
    """Write the leaderboard; its table is shown in the end, cut down to what decides."""
    board.begin()
    verb, *words = board.words
    with speaking(quiet=True):
        call(verb, words, step=True)
    board.finish()


def _end(whole: "Plan", options: argparse.Namespace, kept: int) -> None:
    """Show the table, and say what to look at and what to do next."""
    if quiet():
        return
    from dubbench.demo import closing

    closing.show(whole.results)
    better = closing.better_than_copying(whole.results)
    if all(better.values()):
        told = "every method's mouth is nearer to the speaker's than her still picture is"
    else:
        worse = ", ".join(name for name, is_better in better.items() if not is_better)
        told = f"copying still beats {worse}: more --minutes help"
    longer = ["demo", "--minutes", f"{max(30.0, 2 * options.minutes):g}", "--out", options.out]
    longer += ["--method", *options.method] if options.method else []
    ending(
        output=[
            f"{whole.page}, and as a table {whole.table}",
            f"{whole.results[0].parent}/*/videos: a folder a method, the same clips in each",
        ],
        look=[f"{whole.page} in a browser: do the lips close where hers do, are there teeth? {told}"],
        reused=f"{kept} of {len(whole.steps)} steps were done before" if kept else "",
        following=[
            command(["score", "--pred", "DUBBED.mp4", "--target", "SOURCE.mp4"]),
            command(longer),
            command(["prepare", "--dataset", "grid", "--root", "GRID", "--out", "prepared/grid"]),
        ],
    )
