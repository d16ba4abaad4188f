import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dubbench.datamodules.prepare.workers import End, spread
from tests import ROOT


def square(job: int, tell: Callable[[Any], None]) -> int:
    """Work that tells its job on the way and dies on multiples of four."""
    tell(job)
    if job % 4 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * job


def times_ten(job: int, tell: Callable[[Any], None]) -> tuple[int, int]:
    tell(job)
    return os.getpid(), 10 * job


def sleep(job: int, tell: Callable[[Any], None]) -> None:
    time.sleep(600)


def test_every_job_ends_once_in_any_number_of_processes() -> None:
    for workers in (1, 2):
        told: list[int] = []
        ends = list(spread(times_ten, iter(range(7)), workers, told.append))
        assert sorted(told) == list(range(7))
        assert sorted((end.job, end.result[1]) for end in ends if end.result) == [(k, 10 * k) for k in range(7)]
        processes = {end.result[0] for end in ends if end.result}
        assert (processes == {os.getpid()}) == (workers == 1)
        assert len(processes) <= workers


def test_a_job_that_kills_its_process_fails_alone() -> None:
    ends = {end.job: end for end in spread(square, iter(range(1, 10)), 2, lambda told: None)}
    assert {job: end.result for job, end in ends.items()} == {k: None if k % 4 == 0 else k * k for k in range(1, 10)}
    assert [ends[k].died for k in (3, 4, 8)] == ["", *["the process was killed by SIGKILL"] * 2]


def test_jobs_are_taken_only_when_a_worker_is_free() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for k in range(50):
            taken.append(k)
            yield k

    running = spread(times_ten, jobs(), 2, lambda told: None)
    first: End[int, tuple[int, int]] = next(running)
    assert first.job in (0, 1)
    assert len(taken) <= 4
    running.close()  # type: ignore[attr-defined]  # spread is a generator


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_their_parent(how: signal.Signals) -> None:
    code = (
        "from dubbench.datamodules.prepare.workers import spread\n"
        "from tests.datamodules.prepare.test_workers import announce\n"
        "list(spread(announce, iter(range(2)), 2, lambda pid: print(pid, flush=True)))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(how)
    parent.wait()
    deadline = time.monotonic() + 60
    while any(running(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def announce(job: int, tell: Callable[[Any], None]) -> None:
    tell(os.getpid())
    sleep(job, tell)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False
