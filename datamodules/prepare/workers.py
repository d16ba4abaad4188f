"""Spread jobs over processes that may die: the job fails, the rest goes on."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

import cv2

from dubbench.errors import DubbenchError

Job = TypeVar("Job")
Result = TypeVar("Result")
Tell = Callable[[Any], None]
Work = Callable[[Job, Tell], Result]


@dataclass(frozen=True)
class End(Generic[Job, Result]):
    """How a job ended.

    Attributes:
        job: which.
        result: what the work returned, None if its process died.
        died: how the process ended then.
    """

    job: Job
    result: Result | None
    died: str = ""


def spread(work: Work[Job, Result], jobs: Iterator[Job], workers: int, tell: Tell) -> Iterator[End[Job, Result]]:
    """Run ``work(job, tell)`` for every job and yield the ends as they come.

    One worker means this process. More are spawned; none outlives this generator or this process.

    Args:
        work: an importable function that raises nothing.
        jobs: taken one by one as workers become free.
        workers: number of processes.
        tell: gets, in this process, every value that the work tells on its way.

    Raises:
        DubbenchError: if processes cannot be started.
    """
    if workers == 1:
        for job in jobs:
            yield End(job, work(job, tell))
        return
    team: list[_Worker[Job, Result]] = []
    try:
        for _ in range(workers):
            _hire(team, work, jobs)
        while team:
            for connection in wait([worker.connection for worker in team]):
                worker = next(w for w in team if w.connection is connection)
                end = worker.receive(tell)
                if end is None:
                    continue
                if end.died:
                    team.remove(worker)
                    worker.stop()
                    _hire(team, work, jobs)
                elif not worker.take(jobs):
                    team.remove(worker)
                    worker.stop()
                yield end
    finally:
        for worker in team:
            worker.stop()


class _Worker(Generic[Job, Result]):
    """A spawned process and the job it has."""

    def __init__(self, work: Work[Job, Result], job: Job) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        with _without_interrupts():
            self._process.start()
        theirs.close()
        self._started = False
        self._give(job)

    def take(self, jobs: Iterator[Job]) -> bool:
        """Give the next job, if there is one."""
        for job in jobs:
            self._give(job)
            return True
        return False

    def receive(self, tell: Tell) -> End[Job, Result] | None:
        """Read what the process sent; None if its job goes on."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            if not self._started:
                raise DubbenchError(
                    'worker processes do not start: call prepare below if __name__ == "__main__", or with one worker'
                ) from None
            return End(self._job, None, _ended(self._process.exitcode or 0))
        self._started = True
        if kind == "end":
            return End(self._job, value)
        if kind == "tell":
            tell(value)
        return None

    def stop(self) -> None:
        """End the process at once; what it was writing is left to whoever cleans up."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _give(self, job: Job) -> None:
        self._job = job
        try:
            self.connection.send(job)
        except BrokenPipeError:
            return  # the process died; receive() tells


def _hire(team: "list[_Worker[Job, Result]]", work: Work[Job, Result], jobs: Iterator[Job]) -> None:
    for job in jobs:
        team.append(_Worker(work, job))
        return


def _serve(work: Work[Job, Result], connection: "Connection[Any, Any]") -> None:
    """A worker's whole life: jobs in, results out, until the pipe closes or the parent is gone."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # Processes already fill the cores; threads below them would only wait for each other.
    cv2.setNumThreads(1)
    connection.send(("start", None))
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(("end", work(job, lambda value: connection.send(("tell", value)))))


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C: it reaches the whole group, and the parent alone decides."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ended(exitcode: int) -> str:
    if exitcode < 0:
        return f"the process was killed by {signal.Signals(-exitcode).name}"
    return f"the process ended with status {exitcode}"
