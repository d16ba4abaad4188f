"""The command line, as a user meets it: short names, wrong input in sentences, training that survives a kill."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI

from dubbench import __version__
from dubbench.cli import main
from dubbench.core.config_names import names
from dubbench.models.sync_expert import module as expert_module
from tests.datamodules import miniature

CPU = [
    "--trainer.accelerator",
    "cpu",
    "--trainer.enable_progress_bar",
    "false",
    "--trainer.enable_model_summary",
    "false",
]
SMALL = [
    "--data.windows_per_epoch",
    "6",
    "--data.batch_size",
    "2",
    "--data.val_windows",
    "2",
    "--data.num_workers",
    "0",
]
RADIO = ["--model.sync_expert", "null", "--model.sync_weight", "0"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of numbered frames."""
    root = tmp_path_factory.mktemp("prepared")
    splits = ("train", "train", "val", "test")
    return miniature.make(root, [miniature.Clip(f"s{i}/a", split=s, dataset="grid") for i, s in enumerate(splits)])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What went to stderr; a user's mistake is never a traceback."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["fit", "--model", "radoi", "--dataset", "grid"], 1, "no model is called 'radoi'; there are g4g, "),
        (["fit", "--model", "radio", "--dataset", "gird"], 1, "no dataset is called 'gird'; there are celebvhq"),
        (["prepare", "--dataset", "gird", "--root", ".", "--out", "x"], 1, "gird"),
        (["eval", "--dataset", "grid"], 1, "there is nothing to score"),
        (["eval", "--model", "radio_tiny", "--dataset", "grid"], 1, "--model and --ckpt_path go together"),
        (["eval", "--videos", ".", "--model.size", "96", "--dataset", "grid"], 1, "--model.size is a model's option"),
        (["eval", "--model", "radio_tiny", "--ckpt_path", "no.ckpt", "--dataset", "grid"], 1, "no checkpoint no.ckpt"),
        (["leaderboard", "nowhere"], 1, "nowhere"),
        (["compare", "nowhere.csv", "nowhere"], 1, "nowhere"),
        (
            ["fit", "--model", "realtalk_tiny", "--model.size", "40", "--dataset", "grid"],
            1,
            "size 40 must be divisible",
        ),
        (["fit", "--model", "g4g_tiny", "--model.size", "60", "--dataset", "grid"], 1, "take a multiple of 8"),
        (["fit", "--model", "radio", "--model.optim.lr", "fast", "--dataset", "grid"], 2, "lr"),
        (["fit"], 1, "--model and --dataset are missing; see --help"),
        (["validate", "--model", "radio_tiny", "--dataset", "grid"], 1, "--ckpt_path is missing"),
        (["fit", "--model", "radio", "--dataset", "grid", "--lr", "1"], 2, "unrecognized arguments: --lr"),
        (["eval", "--dataset", "grid", "--videos", ".", "--model.optim.lr=1", "2"], 2, "unrecognized arguments: 2"),
        (["eval", "--dataset", "grid", "--videos", ".", "--data.val_windows", "few"], 2, "val_windows"),
        (["speed", "--model", "radio_tiny", "--model.optim.lr", "fast"], 2, "lr"),
        (["speed", "--model", "radoi"], 1, "no model is called 'radoi'; there are g4g, "),
        (["speed", "--model", "g4g_tiny", "--model.size", "60"], 1, "take a multiple of 8"),
        (["dubb"], 2, "invalid choice"),
    ],
)
def test_wrong_input_is_one_sentence(
    words: list[str],
    status: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == status
    assert sentence in said(capsys)
    assert not list(tmp_path.iterdir())


def test_a_class_tells_its_options_without_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--model.help", "dubbench.models.radio.module.Radio"]) == 0
    assert "--model.optim.lr" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"dubbench {__version__}\n"


@pytest.mark.parametrize("verb", ["fit", "validate"])
def test_every_option_is_listed_on_demand(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    short = capsys.readouterr().out
    assert f"`dubbench {verb} --model radio --help_all`" in " ".join(short.split())
    assert main([verb, "--help_all", "--model", "radio_tiny"]) == 0
    listed = capsys.readouterr().out
    for option in ("--trainer.max_steps", "--data.root", "--model.vit_layers", "--seed_everything", "--ckpt_path"):
        assert option in listed
        assert (option in short) == ("." not in option)


def test_unprepared_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--dataset", "grid", "--dataset.root", str(tmp_path / "none")]
    assert main(["fit", "--model", "sync_expert_tiny", *data, *CPU, "--out", str(tmp_path / "run")]) == 1
    assert "dubbench prepare" in said(capsys)


@pytest.mark.parametrize("name", names("model"))
def test_every_model_config_parses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--model", name, "--dataset", "grid", "--print_config"]) == 0
    assert "class_path: dubbench.models." in capsys.readouterr().out


def test_lightning_still_has_what_we_override() -> None:
    assert callable(LightningCLI._parse_ckpt_path)


def test_a_run_is_kept_and_scored_only_by_its_own_model(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--dataset", "grid", "--dataset.root", str(prepared)]
    fit = ["fit", "--model", "radio_tiny", *data, *SMALL, *RADIO, *CPU, "--out", str(tmp_path / "run")]
    fit += ["--model.adversarial.weight", "0", "--trainer.max_epochs", "1"]
    assert main(fit) == 0
    assert (tmp_path / "run" / "config.yaml").read_text().count("class_path: dubbench.models.radio.module.Radio") == 1
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    before = checkpoint.read_bytes()
    assert main(fit) == 1
    assert "--ckpt_path last" in said(capsys)
    assert checkpoint.read_bytes() == before
    score = ["eval", *data, "--ckpt_path", str(checkpoint), "--out", str(tmp_path / "results")]
    other = ["eval", "--dataset", "hdtf", "--dataset.root", str(prepared), "--videos", str(tmp_path)]
    assert main(other) == 1
    assert "holds grid, not hdtf" in said(capsys)
    assert main([*score, "--model", "sync_expert_tiny"]) == 1
    assert "but the model named is" in said(capsys)
    assert main([*score, "--model", "radio_tiny", *RADIO, "--model.vit_layers", "2"]) == 1
    assert "config.yaml" in said(capsys)


ROOT = ["--dataset.root", "mine"]
WHOLE = ["--dataset", "grid"]
SIZE = ["--model.batch_size", "3"]
STEPS = ["--trainer.max_steps", "7"]


@pytest.mark.parametrize("verb", ["fit", "validate"])
def test_options_mean_the_same_in_any_order(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trainer.yaml").write_text("max_steps: 5\nlog_every_n_steps: 2\n")
    groups = [ROOT, WHOLE, ["--model", "radio_tiny"], SIZE, ["--trainer", "trainer.yaml"], STEPS]
    groups += [["--ckpt_path", "x.ckpt"]] if verb == "validate" else []
    told = set()
    for order in (groups, groups[::-1], [*groups[3:], *groups[:3]]):
        words = [word.replace("--dataset", "--data") if order is groups else word for each in order for word in each]
        assert main([verb, *words, "--print_config"]) == 0
        told.add(capsys.readouterr().out)
    (config,) = (yaml.safe_load(text) for text in told)
    assert config["data"]["init_args"]["root"] == "mine"
    assert config["model"]["init_args"]["batch_size"] == 3
    assert (config["trainer"]["max_steps"], config["trainer"]["log_every_n_steps"]) == (7, 2)


def test_eval_takes_options_in_any_order(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = [["--dataset.root", str(prepared)], ["--dataset", "grid"], ["--videos", str(tmp_path)]]
    for order in (groups, groups[::-1]):
        assert main(["eval", *(word for each in order for word in each)]) == 1
        assert "holds no video of the 1 clips" in said(capsys)


def test_names_that_begin_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["protocol", "realtalk_table2_cross", "--csv"]
    for name in ("-x.csv", "50%[a]:b.csv", "--y.csv"):
        assert main([*words[:-1], f"--csv={name}"] if name.startswith("--") else [*words, name]) == 0
        assert Path(name).is_file()


def test_a_training_that_is_not_finite_ends_with_its_last_good_weights(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--dataset", "grid", "--dataset.root", str(prepared), *SMALL]
    words = ["fit", "--model", "radio_tiny", *data, *RADIO, *CPU, "--out", str(tmp_path / "run")]
    words += ["--model.adversarial.weight", "0", "--model.optim.lr"]
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert main([*words, "1e-4", "--trainer.max_epochs", "1"]) == 0
    good = checkpoint.read_bytes()
    spoilt = torch.load(checkpoint, weights_only=True)
    for group in (each for state in spoilt["optimizer_states"] for each in state["param_groups"]):
        group["lr"] = 1e30
    torch.save(spoilt, tmp_path / "spoilt.ckpt")
    assert main([*words, "1e-4", "--trainer.max_epochs", "3", "--ckpt_path", str(tmp_path / "spoilt.ckpt")]) == 1
    told = said(capsys).splitlines()[-1]
    assert "not finite any more at batch" in told
    assert f"{checkpoint} keeps the last good weights" in told
    assert checkpoint.read_bytes() == good


def test_an_interrupt_that_c_code_swallowed_is_repeated() -> None:
    script = """
import signal, sys, time
from dubbench import cli, commands
class Late:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
def work(*words):
    late = Late()
    del late
    time.sleep(60)
commands.call = work
sys.argv = ["dubbench", "doctor"]
signal.signal(signal.SIGINT, signal.default_int_handler)  # in a shell's background it is ignored
cli.run()
"""
    start = time.monotonic()
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (130, "dubbench: interrupted; the same command goes on where it was\n")
    assert time.monotonic() - start < 50


def test_fit_trains_the_sync_expert_first(prepared: Path, tmp_path: Path) -> None:
    data = ["--dataset", "grid", "--dataset.root", str(prepared), *SMALL]
    out = tmp_path / "run"
    tiny = ["--model.iterations", "4", "--model.sync_expert", "sync_expert_tiny"]
    words = ["fit", "--model", "radio_tiny", *data, *CPU, *tiny, "--out", str(out)]
    assert main([*words, "--first_iterations", "3"]) == 0
    expert = torch.load(out / "sync_expert_tiny" / "checkpoints" / "last.ckpt", weights_only=True)
    radio = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)
    # An epoch holds three batches here; the length asked for is kept all the same, in steps of both optimisers.
    assert (expert["global_step"], radio["global_step"], radio["epoch"]) == (3, 2 * 4, 1)
    assert expert["dubbench"]["class_path"].endswith("SyncExpert")
    assert radio["hyper_parameters"]["sync_expert"] == str(out / "sync_expert_tiny" / "checkpoints" / "best.ckpt")
    assert not [key for key in radio["state_dict"] if "sync" in key]
    # Killed between the two and begun again: nothing is drawn by the expert's training then.
    shutil.copytree(out / "sync_expert_tiny", tmp_path / "again/sync_expert_tiny")
    again = [*words[:-1], str(tmp_path / "again"), "--first_iterations", "3"]
    assert main(again) == 0
    resumed = torch.load(tmp_path / "again/checkpoints/last.ckpt", weights_only=True)
    for name, value in radio["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name


def test_the_best_sync_expert_is_kept_beside_the_last(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    accuracies = iter((0.5, 0.9, 0.7, 0.8))
    monkeypatch.setattr(expert_module, "pair_accuracy", lambda _: torch.tensor(next(accuracies)))
    data = ["--dataset", "grid", "--dataset.root", str(prepared), *SMALL]
    words = ["fit", "--model", "sync_expert_tiny", *data, *CPU, "--out", str(tmp_path), "--ckpt_path", "last"]
    words += ["--trainer.num_sanity_val_steps", "0", "--trainer.max_epochs"]
    best, last = tmp_path / "checkpoints" / "best.ckpt", tmp_path / "checkpoints" / "last.ckpt"
    assert main([*words, "3"]) == 0
    assert [torch.load(path, weights_only=True)["epoch"] for path in (best, last)] == [1, 2]
    assert "those of the best val_pair_accuracy in best.ckpt" in said(capsys)
    kept = best.read_bytes()
    assert main([*words, "4"]) == 0
    assert torch.load(last, weights_only=True)["epoch"] == 3
    assert best.read_bytes() == kept
    # Without validation there is no best.
    monkeypatch.setattr(expert_module, "pair_accuracy", None)
    words[words.index(str(tmp_path))] = str(tmp_path / "blind")
    words[words.index("--data.val_windows") + 1] = "0"
    assert main([*words, "1"]) == 0
    assert [path.name for path in (tmp_path / "blind" / "checkpoints").iterdir()] == ["last.ckpt"]


def test_training_that_was_killed_ends_with_the_same_weights(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["--dataset", "grid", "--dataset.root", str(prepared), *SMALL]
    words = ["fit", "--model", "radio_tiny", *data, *RADIO, *CPU, "--trainer.max_epochs", "4"]
    with monkeypatch.context() as patch:
        # Between file systems a move is a copy, in whose middle a kill would leave half a checkpoint and no older one.
        patch.setattr(tempfile, "tempdir", str(tmp_path / "no place for temporary files"))
        assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    broken = [*words, "--out", str(tmp_path / "broken"), "--ckpt_path", "last"]
    checkpoint = Path("checkpoints") / "last.ckpt"
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        before = (tmp_path / "broken" / checkpoint).stat().st_mtime_ns if wanted == signal.SIGKILL else 0
        process = subprocess.Popen([sys.executable, "-m", "dubbench", *broken], stderr=subprocess.PIPE, text=True)
        while not (tmp_path / "broken" / checkpoint).is_file() or (
            (tmp_path / "broken" / checkpoint).stat().st_mtime_ns == before
        ):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(wanted)
        _, told = process.communicate()
        if wanted == signal.SIGTERM:
            assert (process.returncode, "--ckpt_path last" in told) == (130, True)
    assert main(broken) == 0
    whole, resumed = (torch.load(tmp_path / run / checkpoint, weights_only=True) for run in ("whole", "broken"))
    assert whole["state_dict"].keys() == resumed["state_dict"].keys()
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name
    assert str(whole["optimizer_states"]) == str(resumed["optimizer_states"])
