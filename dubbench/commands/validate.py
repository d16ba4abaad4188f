"""``dubbench validate``: measure a checkpoint's losses on held-out windows."""

import argparse

from dubbench.training.common_options import CONSTRUCTORS, add_common_options, check_given

__all__ = ["CONSTRUCTORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that no constructor has."""
    add_common_options(parser)
    parser.add_argument("--ckpt_path", metavar="FILE", help="the checkpoint; it is needed")


def run(options: argparse.Namespace) -> int:
    """Measure; raises as LightningCLI, the model and the data do."""
    check_given(options, "model", "dataset", "ckpt_path")
    from dubbench.training import lightning_cli

    if options.help_all:
        lightning_cli.show_options("validate", options.model)
    else:
        lightning_cli.CLI("validate", options.words)
    return 0
