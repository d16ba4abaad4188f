"""``dubbench demo``: corpus, prepared clips, two trainings, scores and leaderboard from nothing but the package."""

import argparse
from pathlib import Path

from rich.console import Console

from dubbench.errors import DubbenchError

# Enough for lips that move with the speech; `radio_tiny` goes on improving for hours on real clips.
EXPERT_STEPS = 300
STEPS = 300
SIZE = 192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of everything the demo makes")
    parser.add_argument("--steps", type=int, default=STEPS, help="training batches of radio_tiny")
    parser.add_argument("--personatalk_steps", type=int, default=STEPS, help="training batches of personatalk_tiny")
    parser.add_argument("--expert_steps", type=int, default=EXPERT_STEPS, help="training batches of its sync expert")
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare clips")


def run(given: argparse.Namespace) -> int:
    """Run the demo; every step goes on where an interrupted run left it."""
    from dubbench.cli import main

    console = Console()
    steps = _steps(given)
    for number, (what, words) in enumerate(steps, 1):
        console.rule(f"{number} of {len(steps)}: {what}", align="left")
        if status := main(words):
            raise DubbenchError(f"the demo stopped at step {number} ({what}) with status {status}; see above for why")
    console.rule("done", align="left")
    console.print(f"leaderboard    {given.out / 'leaderboard.csv'}")
    console.print(f"dubbed videos  {given.out / 'results'}*/videos: a folder a method, the same clips in each")
    console.print(f"training logs  tensorboard --logdir {given.out}")
    return 0


def _steps(given: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """What the demo does, each step a command that a user could type."""
    names = ("corpus", "prepared", "sync_expert_tiny", "radio_tiny", "personatalk_tiny", "results")
    out = {name: str(given.out / name) for name in names}
    checkpoint = {name: str(given.out / name / "checkpoints" / "last.ckpt") for name in out}
    data = ["--dataset", "demo", "--dataset.root", out["prepared"]]
    radio = ["--model", "radio_tiny", *data, "--model.sync_expert", checkpoint["sync_expert_tiny"]]

    def training(name: str, steps: int) -> list[str]:
        length = ["--model.iterations", str(steps), "--trainer.enable_model_summary", "false"]
        return ["--out", out[name], "--ckpt_path", "last", *length, "--trainer.log_every_n_steps", "10"]

    corpus = ["--dataset", "demo", "--root", out["corpus"], "--out", out["prepared"]]
    persona = ["--model", "personatalk_tiny", *data]
    expert = ["--model", "sync_expert_tiny", *data, *training("sync_expert_tiny", given.expert_steps)]
    return [
        (
            "make the demo corpus and prepare it",
            ["prepare", *corpus, "--size", str(SIZE), "--workers", str(given.workers), "--geometry", "mesh"],
        ),
        ("train the sync expert", ["fit", *expert]),
        ("train RADIO (tiny)", ["fit", *radio, *training("radio_tiny", given.steps)]),
        ("train PersonaTalk (tiny)", ["fit", *persona, *training("personatalk_tiny", given.personatalk_steps)]),
        (
            "dub the test clips by RADIO and score them",
            ["eval", *radio, "--ckpt_path", checkpoint["radio_tiny"], "--out", out["results"]],
        ),
        (
            "dub the test clips by PersonaTalk and score them",
            ["eval", *persona, "--ckpt_path", checkpoint["personatalk_tiny"], "--out", out["results"] + "-personatalk"],
        ),
        (
            "write the leaderboard",
            [
                *("leaderboard", out["results"], out["results"] + "-personatalk"),
                *("--out", str(given.out / "leaderboard.csv")),
            ],
        ),
    ]
