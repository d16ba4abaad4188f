"""Chains side by side, each in a process of its own, none of which outlives this one."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dubbench.core.files import write_text
from dubbench.demo.steps import Chain
from dubbench.errors import DubbenchError

# What numerical libraries read when they are loaded.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "NUMBA_NUM_THREADS")
POLL = 0.2


class _Worker:
    """A chain's process; its messages go into a queue as they come, and None once it has ended."""

    def __init__(self, chain: Chain, entry: str, *, log: Path, threads: int, inbox: "queue.Queue[Any]") -> None:
        self.chain, self.log, self._inbox = chain, log, inbox
        steps = json.dumps([step.plain() for step in chain.steps])
        # No folder is imported from but those that this process imports from.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment |= dict.fromkeys(THREADS, str(threads))
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"import sys; del sys.path[0]; {entry}", steps],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=environment,
                start_new_session=True,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def stop(self) -> None:
        """End the process and those that it started; it goes on from its last checkpoint when begun again."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._inbox.put((self, json.loads(line)))
        self.process.wait()
        self._inbox.put((self, None))


def run(
    chains: Sequence[Chain],
    entry: str,
    *,
    logs: Path,
    workers: int,
    threads: int,
    hear: Callable[[Chain, Mapping[str, Any]], None],
    show: Callable[[], None],
) -> None:
    """Do chains, as many at once as there are workers, those first that take longest.

    Args:
        chains: those that are finished are left alone.
        entry: Python's statement that calls `dubbench.demo.child.work` in a new process.
        logs: folder that gets what each process says, ``NAME.log``.
        workers: processes at once.
        threads: of each.
        hear: gets each message of a chain's process.
        show: is called now and then.

    Raises:
        DubbenchError: if a step fails, or its process dies; the others are stopped then.
    """
    waiting = sorted((chain for chain in chains if not chain.finished), key=lambda chain: -chain.seconds)
    inbox: queue.Queue[Any] = queue.Queue()
    with _stopped_in_the_end() as team:
        while waiting or team:
            while waiting and len(team) < workers:
                chain = waiting.pop(0)
                log = logs / f"{chain.name}.log"
                write_text(log, "")
                team.append(_Worker(chain, entry, log=log, threads=threads, inbox=inbox))
            show()
            with suppress(queue.Empty):
                worker, message = inbox.get(timeout=POLL)
                if message is None:
                    team.remove(worker)
                    _check_end(worker)
                elif "error" in message:
                    raise _failed(worker, worker.chain.steps[message["step"]].what, message["error"])
                else:
                    hear(worker.chain, message)


@contextmanager
def _stopped_in_the_end() -> Iterator[list[_Worker]]:
    """A team none of which outlives the block."""
    team: list[_Worker] = []
    try:
        yield team
    finally:
        for worker in team:
            worker.stop()


def _check_end(worker: _Worker) -> None:
    """See that a process that ended has done all of its steps."""
    left = [step for step in worker.chain.steps if step.state() != "finished"]
    if left:
        status = worker.process.returncode
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        raise _failed(worker, left[0].what, f"its process {how}")


def _failed(worker: _Worker, what: str, why: str) -> DubbenchError:
    return DubbenchError(
        f"the demo stopped at {worker.chain.title}, {what}: {why} (all that it said is in {worker.log}; the "
        "same command goes on where it was)"
    )
