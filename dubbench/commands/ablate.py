"""``dubbench ablate``: train a method's ablations under one budget, score them, and show them beside the paper's."""

import argparse
from dataclasses import replace
from pathlib import Path

from dubbench.ablations.tables import SPLITS, find
from dubbench.commands import seed
from dubbench.core.console import announce, command, console, ending, quiet, say
from dubbench.core.files import output_folder
from dubbench.errors import DubbenchError

CONSTRUCTORS = ("--dataset.", "--data.", "--model.", "--trainer.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "Options that begin with --dataset., --data., --model. and --trainer. go to every training as they are."
    )
    add = parser.add_argument
    add("--model", required=True, metavar="METHOD", help="radio, personatalk, realtalk or g4g, with all its tables")
    add("--table", metavar="PAPER:TABLE", help="only the rows of one table, such as radio:2")
    add("--dataset", required=True, metavar="NAME", help="a dataset's short name or YAML file, as for fit")
    add("--steps", type=int, required=True, metavar="N", help="training batches of every variant")
    add("--expert_steps", type=int, metavar="N", help="training batches of the experts that go first (default: N)")
    add("--batch_size", type=int, metavar="N", help="windows a batch (default: the models')")
    add("--seed", type=seed, default=0, help="of weights, batches, references and intervals")
    add("--tiny", action="store_true", help="put every variant's setting on top of the method's config for two cores")
    add("--out", type=output_folder, metavar="DIR", help="folder of everything (default: runs/ablate-METHOD)")
    add("--protocol", metavar="NAME", help="score all rows under this one (default: the table's)")
    add("--split", choices=SPLITS, help="whose prepared clips all rows are scored on (default: the table's)")
    add("--limit", type=int, metavar="N", help="score only the first clips of the split")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")


def run(options: argparse.Namespace) -> int:
    """Train, score and report; the status is 1 if a variant failed.

    Raises:
        DubbenchError: if an option cannot be used, or as `dubbench.ablations.run.run` does.
    """
    for name in ("steps", "expert_steps", "batch_size", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise DubbenchError(f"--{name} {value} leaves nothing to do; give 1 or more")
    announce(f"ablate {options.model} on {options.dataset}")
    tables = find(options.model, options.table)
    if options.split:
        tables = [replace(table, split=options.split) for table in tables]
    from dubbench.ablations import report
    from dubbench.ablations.run import run as ablate
    from dubbench.ablations.study import Budget, Study

    budget = Budget(
        dataset=options.dataset,
        steps=options.steps,
        expert_steps=options.expert_steps or options.steps,
        batch_size=options.batch_size,
        seed=options.seed,
        tiny=options.tiny,
        data=options.constructors["--dataset."] + options.constructors["--data."],
        model=options.constructors["--model."],
        trainer=options.constructors["--trainer."],
    )
    out = options.out or Path("runs") / f"ablate-{options.model}"
    screen = console(quiet=quiet())
    study = Study(budget, out, screen, on=options.device, limit=options.limit)
    outcomes = ablate(study, tables, options.protocol)
    report.write(out, outcomes, budget)
    report.show(outcomes, budget, screen)
    for outcome in outcomes if quiet() else ():
        if outcome.failure:
            say(f"{outcome.variant.name} failed, {outcome.failure}")
    ending(
        output=f"{out}: ablation.csv and ablation.md hold this table, each variant's folder its run",
        look=[f"{out / outcome.variant.name / 'error.txt'}" for outcome in outcomes if outcome.failure],
        reused=f"{len(study.kept)} of {len(study.trainings)} trainings were done before" if study.kept else "",
        following=command(["leaderboard", out / "results", "--html", out / "leaderboard.html"]),
    )
    return int(any(outcome.failure for outcome in outcomes))
