"""``dubbench fit``: train a method on prepared clips."""

import argparse

from dubbench.training.common_options import CONSTRUCTORS, add_common_options, check_given

__all__ = ["CONSTRUCTORS", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that no constructor has."""
    add_common_options(parser)
    parser.add_argument("--out", metavar="DIR", help="the run's folder (default: runs/MODEL)")
    parser.add_argument("--ckpt_path", metavar="FILE", help="a checkpoint to go on from, or `last` for the run's own")
    parser.add_argument(
        "--first_iterations", metavar="N", help="batches of the sync expert that is trained first (default: its own)"
    )


def run(options: argparse.Namespace) -> int:
    """Train; raises as LightningCLI, the model and the data do."""
    check_given(options, "model", "dataset")
    from dubbench.training import lightning_cli

    if options.help_all:
        lightning_cli.show_options("fit", options.model)
    else:
        lightning_cli.fit(options.words)
    return 0
