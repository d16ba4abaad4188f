"""``dubbench validate``: measure a checkpoint's losses on held-out windows."""

import argparse
from pathlib import Path

from dubbench.core.config_names import label
from dubbench.core.console import announce, command, ending
from dubbench.training.common_options import CONSTRUCTORS, add_common_options, check_given, for_scoring

__all__ = ["CONSTRUCTORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that no constructor has."""
    add_common_options(parser)
    parser.add_argument("--ckpt_path", metavar="FILE", help="the checkpoint; it is needed")


def run(options: argparse.Namespace) -> int:
    """Measure; raises as LightningCLI, the model and the data do."""
    asks = check_given(options, "model", "dataset", "ckpt_path")
    name = label(options.words, "--model")
    if not asks:
        announce(f"validate {name} on {label(options.words, '--dataset')}")
    from dubbench.training import lightning_cli

    if options.help_all:
        lightning_cli.show_options("validate", options.model)
        return 0
    lightning_cli.validate(options.words)
    if options.model is not None and options.ckpt_path is not None:
        weights = ["--ckpt_path", options.ckpt_path]
        ending(following=command(["eval", *for_scoring(options), *weights, "--out", Path("results") / name]))
    return 0
