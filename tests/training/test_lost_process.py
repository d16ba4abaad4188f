"""A training of two processes, one of which is killed."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests import ROOT
from tests.training.processes import corpus

STEPS = 100


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("corpus") / "clips")


def words(clips: Path, out: Path) -> list[str]:
    run = ["-m", "tests.training.processes", "radio", str(clips), str(out), str(STEPS)]
    return [*run, "--data.windows_per_epoch", "16", "--ckpt_path", "last"]


def wait_for(path: Path, processes: list[subprocess.Popen[str]]) -> None:
    until = time.monotonic() + 240
    while not path.is_file():
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < until
        time.sleep(0.1)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def test_the_other_process_ends_with_a_sentence(clips: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in ("0", "1"):
        own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": rank}
        command = [sys.executable, *words(clips, tmp_path)]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(**own, LOCAL_RANK=rank), stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
    wait_for(tmp_path / "radio" / "checkpoints" / "last.ckpt", processes)
    processes[1].kill()
    _, told = processes[0].communicate(timeout=60)
    processes[1].communicate()
    assert processes[0].returncode == 1
    assert "another of the 2 processes of this training has ended or cannot be reached" in told.splitlines()[-1]
    assert "Traceback" not in told
    step = torch.load(tmp_path / "radio" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < step < 2 * STEPS
