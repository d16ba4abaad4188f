"""What a training says that it will do, and what it looks for first."""

import re
from pathlib import Path

import pytest
import torch

from dubbench.cli import main
from dubbench.core import progress
from dubbench.training import progress_bar
from tests.datamodules.miniature import Clip
from tests.models.talkers import make

METHODS = ("radio", "personatalk", "realtalk", "g4g")
SMALL = [
    *("--model", "radio_tiny", "--model.size", "32", "--model.widths", "[4,4,8]", "--model.style_dim", "8"),
    *("--model.adversarial.weight", "0", "--data.num_workers", "0", "--trainer.accelerator", "cpu"),
]
ALONE = ["--model.sync_expert", "null", "--model.sync_weight", "0"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [Clip("anna/one", 30, dataset="grid"), Clip("bert/one", 30, dataset="grid")]
    return make(tmp_path_factory.mktemp("plan") / "clips", [*clips, Clip("cleo/val", 24, "val", dataset="grid")])


def data(root: Path) -> list[str]:
    return ["--dataset", "grid", "--dataset.root", str(root)]


@pytest.mark.parametrize("model", METHODS)
def test_published_configs_are_trained_without_filling_a_disk(
    model: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*data(root), "--trainer.devices", "8", "--trainer.accelerator", "cpu", "--data.batch_size", "16"]
    main(["fit", "--model", model, *words, "--out", str(tmp_path / "run"), "--dry_run"])
    told = capsys.readouterr().out
    assert "by 8 processes, batches of 16 windows (2 each" in told
    steps, epochs, length, validations = re.search(
        r"for ([\d,]+) steps, ([\d,]+) epochs of ([\d,]+), ([\d,]+) validations", told
    ).groups()  # type: ignore[union-attr]
    assert int(length.replace(",", "")) >= 1000
    assert int(steps.replace(",", "")) >= 200_000
    assert int(validations) == int(epochs) < 500
    size = float(re.search(r"each, ([\d.,]+) GB in all", told).group(1))  # type: ignore[union-attr]
    assert 5 < size < 100
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_what_a_checkpoint_takes_is_foretold(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = ["[32,32,32]" if word == "[4,4,8]" else word for word in SMALL]
    words = ["fit", *wide, *ALONE, *data(root), "--model.iterations", "3"]
    assert main([*words, "--out", str(tmp_path), "--dry_run"]) == 0
    dry = capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path), "--data.val_windows", "2"]) == 0
    (told,) = re.findall(r"(\d+) MB each", dry)
    # A plan may be asked for beside a run, too.
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path), "--dry_run", "--trainer.enable_checkpointing", "false"]) == 0
    assert "keeps no checkpoint" in capsys.readouterr().out
    assert int(told) == pytest.approx((tmp_path / "checkpoints" / "last.ckpt").stat().st_size / 1e6, rel=0.1, abs=1)


def test_all_that_is_missing_is_told_before_anything_is_trained(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUBBENCH_ASSETS", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = [
        "fit",
        *SMALL,
        "--model.perceptual",
        "vgg19",
        "--data.batch_size",
        "3",
        "--trainer.devices",
        "2",
        *data(root),
    ]
    assert main([*words, "--model.initial", str(tmp_path / "gone.ckpt"), "--out", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().err
    assert "cannot begin, for 3 reasons" in told
    for reason in ("3 windows cannot be shared by 2", "vgg19-dcbb9e9d.pth", "no checkpoint .*gone.ckpt"):
        assert re.search(reason, told), reason
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_the_expert_sees_what_the_method_draws_and_takes_the_trainers_settings(root: Path, tmp_path: Path) -> None:
    words = [
        "fit",
        *SMALL,
        *data(root),
        "--model.iterations",
        "2",
        "--first_iterations",
        "2",
        "--data.val_windows",
        "2",
    ]
    words += [
        "--trainer.log_every_n_steps",
        "1",
        "--trainer.logger",
        "false",
        "--model.sync_expert",
        "sync_expert_tiny",
    ]
    assert main([*words, "--model.sync_weight", "0.1", "--out", str(tmp_path)]) == 0
    expert = torch.load(tmp_path / "sync_expert_tiny" / "checkpoints" / "last.ckpt", weights_only=True)
    assert expert["hyper_parameters"]["size"] == 32
    assert expert["global_step"] == 2
    assert not (tmp_path / "sync_expert_tiny" / "logs").exists()
    method = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert method["hyper_parameters"]["sync_expert"].endswith("best.ckpt")


def test_first_weights_depend_on_no_expert_that_was_trained_before(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dubbench.models.radio.module import Radio

    started: list[dict[str, torch.Tensor]] = []

    def start(self: Radio) -> None:
        started.append({name: value.clone() for name, value in self.generator.state_dict().items()})

    monkeypatch.setattr(Radio, "on_train_start", start)
    words = [
        "fit",
        *SMALL,
        *data(root),
        "--model.iterations",
        "1",
        "--data.val_windows",
        "0",
        "--model.sync_weight",
        "0.1",
    ]
    first = [*words, "--first_iterations", "1", "--model.sync_expert", "sync_expert_tiny", "--out"]
    assert main([*first, str(tmp_path / "trained")]) == 0
    given = str(tmp_path / "trained" / "sync_expert_tiny" / "checkpoints" / "last.ckpt")
    assert main([*words, "--model.sync_expert", given, "--out", str(tmp_path / "given")]) == 0
    (tmp_path / "trained" / "checkpoints" / "last.ckpt").unlink()
    assert main([*first, str(tmp_path / "trained")]) == 0
    assert len(started) == 3
    for other in started[1:]:
        assert all(torch.equal(value, other[name]) for name, value in started[0].items())


def test_weights_to_start_from_are_not_asked_for_again(root: Path, tmp_path: Path) -> None:
    words = ["fit", *SMALL, *ALONE, *data(root), "--data.val_windows", "0", "--data.batch_size", "2"]
    assert main([*words, "--model.iterations", "1", "--out", str(tmp_path / "first")]) == 0
    start = tmp_path / "first" / "checkpoints" / "last.ckpt"
    then = [*words, "--model.initial", str(start), "--out", str(tmp_path / "then"), "--ckpt_path", "last"]
    assert main([*then, "--model.iterations", "1"]) == 0
    start.unlink()
    assert main([*then, "--model.iterations", "2"]) == 0


def test_the_last_two_and_the_best_checkpoints_are_kept(root: Path, tmp_path: Path) -> None:
    words = ["fit", *SMALL, *ALONE, *data(root), "--data.val_windows", "2", "--data.batch_size", "2"]
    words += [
        "--data.windows_per_epoch",
        "4",
        "--model.optim.lr",
        "0.002",
        "--out",
        str(tmp_path),
        "--ckpt_path",
        "last",
    ]
    scores = []
    for steps in (2, 4, 6):
        assert main([*words, "--model.iterations", str(steps)]) == 0
        scores.append({path.stem: step(path) for path in (tmp_path / "checkpoints").glob("*.ckpt")})
    assert [each["last"] for each in scores] == [2, 4, 6]
    assert [each.get("previous") for each in scores] == [None, 2, 4]
    assert scores[0]["best"] == 2
    callbacks = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    (score,) = [state["score"] for name, state in callbacks.items() if name.startswith("KeepsBest")]
    assert score > 0


def step(path: Path) -> int:
    number: int = torch.load(path, weights_only=True)["global_step"]
    return number


def test_a_lost_last_checkpoint_is_made_up_for_by_the_one_before(root: Path, tmp_path: Path) -> None:
    words = ["fit", *SMALL, *ALONE, *data(root), "--data.val_windows", "0", "--data.batch_size", "2"]
    words += ["--data.windows_per_epoch", "4", "--out", str(tmp_path), "--ckpt_path", "last", "--model.iterations"]
    assert main([*words, "6"]) == 0
    whole = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    assert main([*words, "6"]) == 0
    again = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_checkpoints_by_the_clock_are_gone_on_from_to_the_last_bit(root: Path, tmp_path: Path) -> None:
    words = ["fit", *SMALL, *ALONE, *data(root), "--data.val_windows", "0", "--data.batch_size", "2"]
    words += ["--data.windows_per_epoch", "12", "--model.iterations", "6"]
    assert main([*words, "--save_minutes", "0.000001", "--out", str(tmp_path / "run")]) == 0
    checkpoints = tmp_path / "run" / "checkpoints"
    assert step(checkpoints / "previous.ckpt") == 5  # of six in one epoch
    whole = torch.load(checkpoints / "last.ckpt", weights_only=True)
    (checkpoints / "last.ckpt").unlink()
    assert main([*words, "--ckpt_path", "last", "--out", str(tmp_path / "run")]) == 0
    again = torch.load(checkpoints / "last.ckpt", weights_only=True)
    assert again["DubbingDataModule"]["windows"] == whole["DubbingDataModule"]["windows"] == 12
    assert all(torch.equal(value, again["state_dict"][name]) for name, value in whole["state_dict"].items())


def test_a_log_without_a_terminal_says_how_it_goes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(progress_bar, "TOLD_AFTER", 2)
    words = ["fit", *SMALL, *ALONE, *data(root), "--data.val_windows", "0", "--data.batch_size", "2"]
    assert main([*words, "--model.iterations", "4", "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert re.search(r"trains generator \(0\.\d\d M parameters\)$", told, re.MULTILINE)
    assert "on grid (2 clips, 100%)" in told
    assert "by 1 process, batches of 2 windows (0 loader workers), precision 32-true" in told
    assert "for 4 steps, 1 epoch of 4, no validation" in told
    assert re.search(r"s a step: about 0:00:\d\d for the 1 steps left, a checkpoint every 0:00:\d\d", told)
    line = r"fit radio_tiny: 3 of 4 steps, loss [\d.]+, l1 [\d.]+, [\d.]+ windows/s, \d+% of it waiting for data, "
    assert re.search(line, told)
    assert "Total FLOPs" not in told
