"""How far a training is, as a log without a terminal shows it."""

import re
from pathlib import Path

import pytest

from dubbench.cli import main
from dubbench.core import progress
from tests.datamodules import miniature

DATA = ["--data.windows_per_epoch", "6", "--data.batch_size", "2", "--data.val_windows", "0", "--data.num_workers", "0"]
TINY = ["--model.sync_expert", "null", "--model.sync_weight", "0", "--model.adversarial.weight", "0"]
CPU = ["--trainer.accelerator", "cpu", "--trainer.enable_model_summary", "false", "--trainer.logger", "false"]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A training whose every batch is told."""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    root = miniature.make(tmp_path / "clips", [miniature.Clip("s0/a", split="train", dataset="grid")])
    data = ["--dataset", "grid", "--dataset.root", str(root), *DATA]
    return ["fit", "--model", "radio_tiny", *data, *TINY, *CPU, "--out", str(tmp_path / "run")]


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines after a batch, without losses and times."""
    lines = re.findall(r"^(fit \w+: \d+ of .*), loss [\d.]+, .* gone", capsys.readouterr().err, re.MULTILINE)
    return list(dict.fromkeys(lines))


def test_batches_are_counted_over_the_whole_training_also_a_resumed_one(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--trainer.max_epochs", "1"]) == 0
    assert told(capsys) == [f"fit radio_tiny: {place} of 3 steps" for place in (1, 2, 3)]
    assert main([*words, "--trainer.max_epochs", "2", "--ckpt_path", "last"]) == 0
    assert told(capsys) == [f"fit radio_tiny: {place} of 6 steps" for place in (4, 5, 6)]
    assert main([*words, "--trainer.max_epochs", "2", "--ckpt_path", "last"]) == 0
    assert told(capsys) == []


def test_optimiser_steps_are_counted_where_they_are_what_ends_it(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--trainer.max_steps", "2"]) == 0
    assert told(capsys)[-1] == "fit radio_tiny: 2 of 2 steps"


def test_no_bar_no_lines(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"]) == 0
    assert told(capsys) == []
