"""What is said to whoever runs a command: sentences on the standard error, tables that keep their width."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(sentence: str) -> None:
    """Say a sentence on the standard error, after the program's name."""
    print(f"dubbench: {sentence}", file=sys.stderr)


def widened(narrowest: int, console: "Console | None" = None) -> "Console":
    """A console on which a table stays whole.

    A narrow terminal breaks the lines of a wide table, which then can still be read; rich would cut its cells.

    Args:
        narrowest: columns that the table asks for.
        console: where to print, by default the standard output.

    Returns:
        ``console``, or where it is narrower one that prints to the same place as if it was ``narrowest`` wide.
    """
    from rich.console import Console

    console = console or Console()
    if console.width >= narrowest:
        return console
    return Console(file=console.file, width=narrowest, force_terminal=console.is_terminal)
