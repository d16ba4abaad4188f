"""``dubbench validate``: measure a checkpoint's losses on held-out windows."""

from collections.abc import Sequence

from dubbench.training.lightning_cli import CLI


def main(args: Sequence[str]) -> int:
    """Measure as the command line says and return the exit status."""
    CLI("validate", list(args))
    return 0
