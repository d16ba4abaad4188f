"""``dubbench ablate``: train a method's ablations under one budget, score them, and show them beside the paper's."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dubbench.ablations import report
from dubbench.ablations.study import Budget, Outcome, Study
from dubbench.ablations.tables import Ablation, find, variants
from dubbench.errors import DubbenchError
from dubbench.protocols.protocol import load

# Of the data and all models, and of training.
PASSED_ON = ("--dataset.", "--data.", "--model.", "--trainer.")


def main(args: Sequence[str]) -> int:
    """Train, score and report as the command line says; the status is 1 if a variant failed."""
    parser = _parser()
    given, others = parser.parse_known_args(list(args))
    passed = _passed(others, parser)
    for option in ("steps", "expert_steps", "batch_size", "limit"):
        value = getattr(given, option)
        if value is not None and value < 1:
            raise DubbenchError(f"--{option} {value} leaves nothing to do; give 1 or more")
    tables = find(given.model, given.table)
    budget = Budget(
        dataset=given.dataset,
        steps=given.steps,
        expert_steps=given.expert_steps or given.steps,
        batch_size=given.batch_size,
        seed=given.seed,
        tiny=given.tiny,
        data=[word for name, word in passed if name.startswith(("--dataset.", "--data."))],
        model=[word for name, word in passed if name.startswith("--model.")],
        trainer=[word for name, word in passed if name.startswith("--trainer.")],
    )
    out = given.out or Path("runs") / f"ablate-{given.model}"
    console = Console()
    study = Study(budget, out, console, given.device, given.limit)
    outcomes = run(study, tables, given.protocol)
    report.write(out, outcomes, budget)
    report.show(outcomes, budget, console)
    console.print(f"{out / 'ablation.csv'} and {out / 'ablation.md'} hold the same", soft_wrap=True)
    return int(any(outcome.failure for outcome in outcomes))


def run(study: Study, tables: Sequence[Ablation], protocol: str | None = None) -> list[Outcome]:
    """Train and score what the tables' rows need.

    Args:
        study: does the steps.
        tables: of one method.
        protocol: that all rows are scored under, or None for each table's own.

    Returns:
        Rows in the tables' order, those of failed variants too.

    Raises:
        DubbenchError: if there is no such protocol, or an expert could not be trained.
    """
    rules = {table.name: load(protocol or table.protocol) for table in tables}
    rows = {
        table.name: [Outcome(table, *each) for each in variants(table, study.budget.tiny).items()] for table in tables
    }
    every = [outcome for outcomes in rows.values() for outcome in outcomes]
    for table in tables:
        study.train_experts(table)
    for outcome in every:
        study.train(outcome)
    for table in tables:
        for outcome in rows[table.name]:
            study.measure(outcome)
        if table.scored():
            study.score(rows[table.name], rules[table.name])
    return every


def _passed(words: Sequence[str], parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """Words for other commands, each with the option that it belongs to."""
    found: list[tuple[str, str]] = []
    option = ""
    for word in words:
        if word.startswith("--"):
            option = word
        if not option.startswith(PASSED_ON):
            parser.error(f"unrecognised argument: {word}")
        found.append((option, word))
        if "=" in option:
            option = ""
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dubbench ablate",
        description=__doc__,
        allow_abbrev=False,
        epilog="Options that begin with --dataset., --data., --model. and --trainer. go to every training as they are.",
    )
    add = parser.add_argument
    add("--model", required=True, metavar="METHOD", help="radio, personatalk, realtalk or g4g, with all its tables")
    add("--table", metavar="PAPER:TABLE", help="only the rows of one table, such as radio:2")
    add("--dataset", required=True, metavar="NAME", help="a dataset's short name or YAML file, as for fit")
    add("--steps", type=int, required=True, metavar="N", help="training batches of every variant")
    add("--expert_steps", type=int, metavar="N", help="training batches of the experts that go first (default: N)")
    add("--batch_size", type=int, metavar="N", help="windows a batch (default: the models')")
    add("--seed", type=int, default=0, help="of weights, batches, references and intervals")
    add("--tiny", action="store_true", help="put every variant's setting on top of the method's config for two cores")
    add("--out", type=Path, metavar="DIR", help="folder of everything (default: runs/ablate-METHOD)")
    add("--protocol", metavar="NAME", help="score all rows under this one (default: the table's)")
    add("--limit", type=int, metavar="N", help="score only the first clips of the test split")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    return parser
