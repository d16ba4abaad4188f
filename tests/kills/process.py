"""Work in a process of its own, which is ended when time is up, with all that it started."""

import ctypes
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
POLL = 0.002
PATIENCE = 10.0
FAULT = 70


def adopt_orphans() -> None:
    """Make this process the parent of whatever its children leave behind."""
    if ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def attempt(work: Callable[[], int], folder: Path, seconds: float | None = None) -> int | None:
    """Work with this process' modules, but in a process group of its own.

    Args:
        work: gives the exit status.
        folder: where it works; caches go below ``run`` in it, what is said into ``said``.
        seconds: until it is killed; None lets it end.

    Returns:
        Its status; None if it was killed.
    """
    process = os.fork()
    if not process:
        _live(work, folder)
    _group(process)
    end = time.monotonic() + (seconds if seconds is not None else 1e9)
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL)
    os.killpg(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    # What ended by itself in the very last moment was not killed.
    return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


def _live(work: Callable[[], int], folder: Path) -> None:
    status = FAULT
    try:
        _group(0)
        os.chdir(folder)
        with Path("said").open("ab", buffering=0) as said:
            for number in (1, 2):
                os.dup2(said.fileno(), number)
        os.environ |= {"XDG_CACHE_HOME": f"{folder}/run/cache", "no_proxy": "*"}
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _group(process: int) -> None:
    """Give a process a group of its own; both it and its parent do, since either may be first."""
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(process, process)


def left(known: Sequence[int]) -> list[int]:
    """Children of this process, adopted ones too, that still run after some patience, but those that are known."""
    end = time.monotonic() + PATIENCE
    while True:
        others = [child for child in _children() if child not in known]
        running = [child for child in others if not os.waitpid(child, os.WNOHANG)[0]]
        if not running or time.monotonic() > end:
            return running
        time.sleep(POLL)


def _children() -> list[int]:
    return [int(word) for task in Path("/proc/self/task").glob("*/children") for word in task.read_text().split()]


@contextmanager
def served(serve: Callable[[], None]) -> Iterator[int]:
    """A child that serves until the block ends; its process id."""
    process = os.fork()
    if not process:
        try:
            serve()
        finally:
            os._exit(FAULT)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def emptied(folder: Path) -> None:
    """Make a folder, or empty it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
