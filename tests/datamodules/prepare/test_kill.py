"""Interruptions of every kind, on real processes; afterwards the same command ends as if nothing had been."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ROOT
from tests.datamodules.conftest import SIZE, tree


def start(corpus: Path, out: Path, workers: int, before: Callable[[], None] | None = None) -> "subprocess.Popen[str]":
    def begin() -> None:
        # A shell's background jobs begin with interrupts ignored, and so would what they start.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if before is not None:
            before()

    options = ["--dataset", "folder", "--root", str(corpus), "--out", str(out), "--size", str(SIZE), "--smooth", "1.5"]
    return subprocess.Popen(
        [sys.executable, "-m", "dubbench", "prepare", *options, "--workers", str(workers)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=begin,
    )


def finish(corpus: Path, out: Path, workers: int) -> str:
    run = start(corpus, out, workers)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    return said


def wait_for(run: "subprocess.Popen[str]", path: Path) -> None:
    deadline = time.monotonic() + 300
    while not path.exists() and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def gone(group: int) -> bool:
    """Whether no process of a group is left, within some seconds."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_killed_at_random_moments_it_ends_with_the_same_bytes(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    moments = random.Random(0)
    interrupted = 0
    for workers in (1, 2, 1, 2):
        run = start(corpus, tmp_path / "out", workers)
        wait_for(run, tmp_path / "out" / ".partial")
        time.sleep(moments.uniform(0, 0.5))
        run.kill()
        interrupted += run.wait() == -signal.SIGKILL
        assert gone(run.pid)
    assert interrupted >= 2
    finish(corpus, tmp_path / "out", 1)
    assert tree(tmp_path / "out") == tree(prepared)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_soon_with_one_sentence(corpus: Path, prepared: Path, tmp_path: Path, workers: int) -> None:
    run = start(corpus, tmp_path / "out", workers)
    wait_for(run, tmp_path / "out" / ".partial" / "0")
    os.killpg(run.pid, signal.SIGINT)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 130
    assert "stopped; finished clips are kept, the same command goes on" in said
    assert "Traceback" not in said
    assert gone(run.pid)
    assert not (tmp_path / "out" / ".partial").exists()
    finish(corpus, tmp_path / "out", 1)
    assert tree(tmp_path / "out") == tree(prepared)


@pytest.mark.parametrize("workers", [2])
def test_no_room_stops_with_one_sentence(corpus: Path, prepared: Path, tmp_path: Path, workers: int) -> None:
    limit = 50_000  # bytes a file: what a full disk does to a process, without filling a disk
    run = start(
        corpus,
        tmp_path / "out",
        workers,
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
    )
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 1
    assert "no room left" in said
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert gone(run.pid)
    finish(corpus, tmp_path / "out", 1)
    assert tree(tmp_path / "out") == tree(prepared)


def test_nothing_prepared_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text.mp4").write_text("no video")
    run = start(tmp_path / "in", tmp_path / "out", 1)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 1
    assert "0 prepared, 0 finished before, 1 failed" in said
    assert "failures.csv" in said


def test_a_mistake_is_one_sentence(tmp_path: Path) -> None:
    run = start(tmp_path / "absent", tmp_path / "out", 1)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 1
    assert said.strip().splitlines()[-1].startswith("dubbench: ")
    assert "Traceback" not in said
