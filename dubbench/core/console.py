"""What is said to whoever runs a command.

What a verb is asked for goes to the standard output: a table, a JSON document, a line on what was made. All else goes
to the standard error: first signs of life, progress, what comes next, and what went wrong.

All of it goes through here: names of files, clips and methods come from whoever made them, and what a terminal would
obey in them, such as escape sequences, is shown and not sent.
"""

import json
import math
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dubbench.core.printable import OBEYED, visible

if TYPE_CHECKING:
    from rich.console import Console

_QUIET = ContextVar("quiet", default=False)
_STEP = ContextVar("step", default=False)


@contextmanager
def speaking(*, quiet: bool = False, step: bool = False) -> Iterator[None]:
    """Say how a verb speaks within the block; what it calls is no louder.

    Args:
        quiet: only errors, and what it is asked for.
        step: it is a step of another verb, which says itself where things are and what comes next.
    """
    before = _QUIET.set(quiet or _QUIET.get()), _STEP.set(step or _STEP.get())
    try:
        yield
    finally:
        _QUIET.reset(before[0])
        _STEP.reset(before[1])


def quiet() -> bool:
    """Whether only errors are said, and what was asked for."""
    return _QUIET.get()


def console(*, stderr: bool = False, **options: Any) -> "Console":  # noqa: ANN401
    """A console of rich's that shows names as they are: no markup of theirs, no control characters.

    Args:
        stderr: print to the standard error.
        options: more of rich's own.
    """
    from dubbench.core.screen import Screen

    return Screen(stderr=stderr, **options)


def say(sentence: str) -> None:
    """Say a sentence on the standard error, after the program's name."""
    print(visible(f"dubbench: {sentence}", lines=True), file=sys.stderr)


def announce(what: str) -> None:
    """Say on the standard error what begins, before anything that takes a second to load.

    The processes that a training on several devices starts say nothing.
    """
    if not quiet() and os.environ.get("LOCAL_RANK", "0") == "0":
        print(visible(f"{what}: loading ..."), file=sys.stderr, flush=True)


def note(line: str) -> None:
    """Say on the standard error what the user may want to know meanwhile."""
    if not quiet():
        print(visible(line), file=sys.stderr, flush=True)


def report(line: str) -> None:
    """Say on the standard output what was made."""
    if not quiet():
        print(visible(line), flush=True)


def show(text: str) -> None:
    """Print what a verb is asked for, of one line or several."""
    print(visible(text, lines=True))


def ending(
    *,
    output: str | Sequence[str] = (),
    look: str | Sequence[str] = (),
    reused: str | Sequence[str] = (),
    following: str | Sequence[str] = (),
) -> None:
    """Say on the standard error how a verb ended; not if it is a step of another.

    Args:
        output: where things are.
        look: what to look at.
        reused: what was there before and was not done again.
        following: what one could type now, see `command`.
    """
    if quiet() or _STEP.get():
        return
    sys.stdout.flush()
    for label, lines in {"output": output, "look at": look, "reused": reused, "next": following}.items():
        for line in [lines] if isinstance(lines, str) else lines:
            if line:
                print(visible(f"{label + ':':9}{line}"), file=sys.stderr)


def command(words: Iterable[object]) -> str:
    """A command line of ours that a shell takes as it stands."""
    return shlex.join(["dubbench", *map(str, words)])


def print_json(value: Any) -> None:  # noqa: ANN401
    """Print one JSON document: keys in order, infinity as the text ``inf``, what has no value as null.

    What a terminal would obey is written as JSON writes it, and so is what the output's encoding does not have.
    """
    unicode = (sys.stdout.encoding or "utf-8").lower().replace("-", "").startswith("utf")
    text = json.dumps(_plain(value), indent=1, sort_keys=True, ensure_ascii=not unicode, allow_nan=False, default=str)
    print(OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if value != value else "inf" if value > 0 else "-inf"
    return value


def widened(narrowest: int, given: "Console | None" = None) -> "Console":
    """A console on which a table stays whole.

    A narrow terminal breaks the lines of a wide table, which then can still be read; rich would cut its cells.

    Args:
        narrowest: columns that the table asks for.
        given: where to print, by default the standard output.

    Returns:
        ``given``, or where it is narrower one that prints to the same place as if it was ``narrowest`` wide.
    """
    wanted = given or console()
    if wanted.width >= narrowest:
        return wanted
    return console(file=wanted.file, width=narrowest, force_terminal=wanted.is_terminal, quiet=wanted.quiet)
