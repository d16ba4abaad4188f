"""``dubbench fit``: train a method on prepared clips."""

from collections.abc import Sequence

from dubbench.training.lightning_cli import fit


def main(args: Sequence[str]) -> int:
    """Train as the command line says and return the exit status."""
    fit(args)
    return 0
