"""The process that does the steps of one chain, and tells its parent how far it is.

It has a process group of its own, so that Ctrl-C reaches the parent alone, and ends with it, whatever that died of:
the parent holds the other end of its standard input.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from dubbench.core.console import command
from dubbench.core.progress import heard_by
from dubbench.demo.steps import Step
from dubbench.errors import sentence

Call = Callable[[str, Sequence[str]], int]


def work(call: Call) -> None:
    """Do the steps that the first argument holds, as JSON; those that are finished are left alone.

    The parent reads a JSON document a line from this process' standard output: ``step`` with what became of it:
    ``done`` and ``of`` while it runs, ``finished``, or ``error`` with a sentence. All else that is said goes to the
    standard error.

    Args:
        call: runs a verb and gives its exit status.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(**message: Any) -> None:  # noqa: ANN401
        print(json.dumps(message), file=messages, flush=True)

    for index, values in enumerate(json.loads(sys.argv[1])):
        step = Step.from_plain(values)
        if step.state() == "finished":
            continue
        tell(step=index, done=0, of=None)
        with suppress(OSError):  # a log that finds no room is no reason to stop; what the step writes may be one
            print(f"\n{command(step.words)}", file=sys.stderr, flush=True)
        with heard_by(lambda done, of, index=index: tell(step=index, done=done, of=of)):  # type: ignore[misc]
            error = _failure(call, step)
        if error:
            tell(step=index, error=error)
            return
        tell(step=index, finished=True)


def _failure(call: Call, step: Step) -> str:
    """Run a step and write down that it began and ended; a sentence on what went wrong, or nothing."""
    verb, *words = step.words
    try:
        step.begin()
        status = call(verb, words)
        if not status:
            step.finish()
    except BaseException as error:
        with suppress(OSError):
            traceback.print_exc()
        told = sentence(error)
        if told is None and isinstance(error, SystemExit):
            return f"its command ended with status {error.code}"
        return told or f"{type(error).__name__}: {(str(error) or 'no reason given').splitlines()[0]}"
    return f"its command ended with status {status}" if status else ""


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)
