"""``dubbench demo``: corpus, prepared clips, trainings, scores and leaderboard from nothing but the package."""

import argparse
from pathlib import Path

from dubbench.commands import call
from dubbench.errors import DubbenchError

METHODS = {"radio": "RADIO", "personatalk": "PersonaTalk", "realtalk": "RealTalk", "g4g": "G4G"}
# Enough for lips that move with the speech; the methods go on improving for hours on real clips.
EXPERT_STEPS = 300
STEPS = 300
SIZE = 192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of everything the demo makes")
    parser.add_argument("--steps", type=int, default=STEPS, help="training batches of every method")
    parser.add_argument("--expert_steps", type=int, default=EXPERT_STEPS, help="training batches of the sync expert")
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare clips")


def run(options: argparse.Namespace) -> int:
    """Run the demo; every step goes on where an interrupted run left it.

    Raises:
        DubbenchError: if a step does, with its number, or ends with another status than 0.
    """
    from rich.console import Console

    console, out = Console(), options.out
    steps = _steps(options)
    for number, (what, words) in enumerate(steps, 1):
        console.rule(f"{number} of {len(steps)}: {what}", align="left")
        try:
            verb, *rest = words
            status = call(verb, rest)
        except DubbenchError as error:
            raise DubbenchError(f"the demo stopped at step {number} ({what}): {error}") from error
        if status:
            raise DubbenchError(f"the demo stopped at step {number} ({what}) with status {status}; see above for why")
    console.rule("done", align="left")
    console.print(f"leaderboard    {out / 'leaderboard.html'}, and as a table {out / 'leaderboard.csv'}")
    console.print(f"dubbed videos  {out / 'results'}/*/videos: a folder a method, the same clips in each")
    console.print(f"training logs  tensorboard --logdir {out}")
    return 0


def _steps(options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """What the demo does, each step a command that a user could type."""
    out = options.out
    data = ["--dataset", "demo", "--dataset.root", str(out / "prepared")]

    def checkpoint(name: str) -> str:
        return str(out / name / "checkpoints" / "last.ckpt")

    def fit(name: str, steps: int, *more: str) -> list[str]:
        length = ["--model.iterations", str(steps), "--trainer.enable_model_summary", "false"]
        where = ["--out", str(out / name), "--ckpt_path", "last", "--trainer.log_every_n_steps", "10"]
        return ["fit", "--model", name, *data, *where, *length, *more]

    corpus = ["--dataset", "demo", "--root", str(out / "corpus"), "--out", str(out / "prepared")]
    expert = {"radio": ["--model.sync_expert", checkpoint("sync_expert_tiny")]}
    results = {method: str(out / "results" / method) for method in METHODS}
    steps = [
        (
            "make the demo corpus and prepare it",
            ["prepare", *corpus, "--size", str(SIZE), "--workers", str(options.workers), "--geometry", "mesh"],
        ),
        ("train the sync expert", fit("sync_expert_tiny", options.expert_steps)),
    ]
    for method, name in METHODS.items():
        more = expert.get(method, [])
        steps.append((f"train {name} (tiny)", fit(f"{method}_tiny", options.steps, *more)))
    for method, name in METHODS.items():
        weights = ["--ckpt_path", checkpoint(f"{method}_tiny"), "--out", results[method]]
        scoring = ["eval", "--model", f"{method}_tiny", *data, *expert.get(method, []), *weights]
        steps.append((f"dub the test clips by {name} and score them", scoring))
    board = ["--out", str(out / "leaderboard.csv"), "--html", str(out / "leaderboard.html")]
    steps.append(("write the leaderboard", ["leaderboard", *results.values(), *board]))
    return steps
