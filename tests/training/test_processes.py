"""One recipe on any number of processes, through `dubbench fit`."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import ROOT
from tests.training import processes as processes_of_their_own
from tests.training.processes import MODELS, corpus

STEPS = 10


def train(clips: Path, out: Path, processes: int, steps: int, *more: str, models: str = ",".join(MODELS)) -> None:
    """Train in so many processes, several of them as a cluster's launcher starts them."""
    if processes == 1:
        assert processes_of_their_own.train(models, clips, out, steps, *more) == 0
        return
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    module = ["-m", "tests.training.processes", models, str(clips), str(out), str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *launcher, *module, *more],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def kept(out: Path, model: str) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(out / model / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint


def logged(out: Path, model: str) -> list[dict[str, float]]:
    """The losses of each step, in order, over all runs in the folder."""
    rows: list[dict[str, float]] = []
    for path in sorted((out / model).rglob("metrics.csv"), key=lambda path: int(path.parent.name.split("_")[-1])):
        with path.open() as file:
            for row in csv.DictReader(file):
                rows.append({name: float(value) for name, value in row.items() if name.startswith("train_") and value})
    return [row for row in rows if row]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("corpus") / "clips")


@pytest.fixture(scope="module")
def runs(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Runs of every method by their number of processes."""
    folder = tmp_path_factory.mktemp("runs")
    for processes in (1, 2):
        train(clips, folder / str(processes), processes, STEPS)
    train(clips, folder / "4", 4, STEPS, models="radio")
    return {processes: folder / str(processes) for processes in (1, 2, 4)}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("processes", [2, 4])
def test_any_number_of_processes_trains_alike(runs: dict[int, Path], model: str, processes: int) -> None:
    if not (runs[processes] / model).is_dir():
        pytest.skip("four processes train one method, for time's sake")
    one, several = kept(runs[1], model), kept(runs[processes], model)
    assert several["global_step"] == one["global_step"]
    assert several["DubbingDataModule"] == one["DubbingDataModule"]
    assert several["DubbingDataModule"]["windows"] == 4 * STEPS
    assert [each["param_groups"][0]["lr"] for each in several["optimizer_states"]] == [
        each["param_groups"][0]["lr"] for each in one["optimizer_states"]
    ]
    alone, together = logged(runs[1], model), logged(runs[processes], model)
    assert len(alone) == len(together) == STEPS
    for first, second in zip(alone, together, strict=True):
        assert second == pytest.approx(first, rel=1e-5, abs=1e-5)
    apart = {
        name: (value.float() - several["state_dict"][name].float()).abs() for name, value in one["state_dict"].items()
    }
    # Biases before a normalisation change nothing: their gradient is rounding, of which Adam makes whole steps.
    assert max(float(value.max()) for name, value in apart.items() if not name.endswith("bias")) < 1e-4
    differing = sum(int((value > 1e-4).sum()) for value in apart.values())
    assert differing <= 1e-3 * sum(value.numel() for value in apart.values())


@pytest.mark.parametrize(
    ("stretches", "exact"),
    [
        ([(1, 4, ()), (2, 8, ()), (1, 12, ())], False),
        ([(1, 4, ("--data.num_workers", "2")), (1, 12, ("--data.windows_per_epoch", "20"))], True),
        ([(2, 5, ("--data.windows_per_epoch", "8")), (2, 12, ("--data.num_workers", "1"))], True),
    ],
    ids=["1, 2 and 1 processes", "workers, then another epoch", "epoch, then workers, on two"],
)
def test_a_training_goes_on_wherever_it_was(
    clips: Path, tmp_path: Path, stretches: list[tuple[int, int, tuple[str, ...]]], exact: bool
) -> None:
    for processes, steps, more in stretches:
        train(clips, tmp_path / "parts", processes, steps, "--ckpt_path", "last", *more, models="radio")
    train(clips, tmp_path / "whole", stretches[-1][0], 12, models="radio")
    parts, whole = kept(tmp_path / "parts", "radio"), kept(tmp_path / "whole", "radio")
    assert parts["global_step"] == whole["global_step"] == 2 * 12
    assert parts["DubbingDataModule"]["windows"] == whole["DubbingDataModule"]["windows"] == 48
    for first, second in zip(logged(tmp_path / "whole", "radio"), logged(tmp_path / "parts", "radio"), strict=True):
        # R1 comes every 16 batches, and stays in the rows after it until the training is stopped.
        assert second == pytest.approx({name: first[name] for name in second}, rel=1e-5, abs=1e-5)
    if exact:
        assert all(torch.equal(value, parts["state_dict"][name]) for name, value in whole["state_dict"].items())
