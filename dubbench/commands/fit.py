"""``dubbench fit``: train a method on prepared clips."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dubbench.core.config_names import label
from dubbench.core.console import announce, command, ending, report
from dubbench.core.files import output_folder
from dubbench.training.common_options import CONSTRUCTORS, add_common_options, check_given, for_scoring

if TYPE_CHECKING:
    from dubbench.training.lightning_cli import FinishedRun

__all__ = ["CONSTRUCTORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that no constructor has."""
    add_common_options(parser)
    parser.add_argument("--out", type=output_folder, metavar="DIR", help="the run's folder (default: runs/MODEL)")
    parser.add_argument("--ckpt_path", metavar="FILE", help="a checkpoint to go on from, or `last` for the run's own")
    parser.add_argument(
        "--first_iterations", metavar="N", help="steps of the sync expert that is trained first (default: its own)"
    )
    parser.add_argument(
        "--save_minutes", metavar="M", help="write a checkpoint within epochs, too, when the last is M minutes old"
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="look for all that the training needs, say how long it is and what it writes, and stop",
    )


def run(options: argparse.Namespace) -> int:
    """Train; raises as LightningCLI, the model and the data do."""
    asks = check_given(options, "model", "dataset")
    if not asks:
        announce(f"fit {label(options.words, '--model')} on {label(options.words, '--dataset')}")
    from dubbench.training import lightning_cli

    if options.help_all:
        lightning_cli.show_options("fit", options.model)
        return 0
    finished = lightning_cli.fit(options.words)
    if finished is not None:
        _end(options, finished)
    return 0


def _end(options: argparse.Namespace, run: "FinishedRun") -> None:
    """Say where the weights are, and how they are scored."""
    report(f"{run.checkpoint or run.out}: {run.batches} batches, {run.batches - run.before} of them now")
    following = ""
    if run.checkpoint is not None and options.model is None:
        following = command(
            ["dub", "--ckpt_path", run.checkpoint, "--video", "VIDEO", "--audio", "SPEECH", "--out", "O.mp4"]
        )
    elif run.checkpoint is not None:
        words = [*for_scoring(options), "--ckpt_path", run.checkpoint]
        results = Path("results") / label(options.words, "--model")
        following = command(["eval", *words, "--out", results]) if run.dubs else command(["validate", *words])
    best = f", those of the best {run.best} in best.ckpt" if run.best else ""
    ending(
        output=f"{run.out}: weights in checkpoints/last.ckpt{best}, all options in config.yaml",
        look=f"tensorboard --logdir {run.out}" if run.logs else "",
        reused=f"{run.before} batches were trained before" if run.before else "",
        following=following,
    )
