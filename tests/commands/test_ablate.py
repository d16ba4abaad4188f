"""`dubbench ablate`: a small study that is stopped, goes on, and fails in part."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from dubbench.ablations.study import Budget, Outcome, Study
from dubbench.ablations.tables import Ablation, find, load, variants
from dubbench.cli import main
from dubbench.commands import ablate as ablate_command
from dubbench.core.files import sha256, write_text
from dubbench.datamodules.prepare.run import prepare
from dubbench.evaluation.evaluate import evaluate
from dubbench.models.load import load_model
from dubbench.protocols.protocol import Protocol
from dubbench.protocols.protocol import load as load_protocol
from dubbench.results.rows import ClipResult, summarise, write_summary
from dubbench.training import lightning_cli
from tests import talking
from tests.datamodules.miniature import Clip
from tests.models import talkers

# What makes the tiny RADIO smaller still.
SMALLER = ["--model.widths", "[4,8,8,8,8]", "--model.style_dim", "16", "--model.vit_width", "16"]
SMALLER += ["--model.speech_widths", "[4,4,4,4]", "--model.adversarial.widths", "[4,4]"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ann to learn from, bob to be scored on, in the validation split as RADIO's tables are."""
    folder = tmp_path_factory.mktemp("ablate")
    for name, clips in (("ann", ("ann/one", "ann/two")), ("bob", ("bob/one",))):
        sound = np.concatenate([talking.speech(clip) for clip in clips])
        talking.write(folder / "corpus" / name / "one.mkv", chain.from_iterable(map(talking.frames, clips)), sound)
    (folder / "split.csv").write_text("clip,speaker,split\n,ann,train\n,bob,val\n")
    split = str(folder / "split.csv")
    prepared = prepare("folder", folder / "corpus", folder / "out", size=96, faces="largest", split=split)
    assert (prepared.done, prepared.failed) == (2, 0)
    return folder / "out"


@pytest.fixture
def two_rows(monkeypatch: pytest.MonkeyPatch) -> Ablation:
    """Table 2 of RADIO with its first and last row."""
    (table,) = find("radio", "radio:2")
    rows = dict(list(table.rows.items())[::3])
    monkeypatch.setattr(ablate_command, "find", lambda *_: [replace(table, rows=rows)])
    return table


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was trained; a name with ``!`` in front is interrupted first."""
    done: list[str] = []
    fit = lightning_cli.fit

    def watched(words: Sequence[str]) -> None:
        name = Path(words[words.index("--out") + 1]).name
        if f"!{name}" in done:
            done.remove(f"!{name}")
            raise KeyboardInterrupt
        done.append(name)
        fit(words)

    monkeypatch.setattr(lightning_cli, "fit", watched)
    return done


def ablate(root: Path, out: Path, *more: str) -> int:
    data = ["--dataset", "folder", "--dataset.root", str(root), "--data.val_windows", "0", "--data.num_workers", "0"]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]
    words = ["ablate", "--model", "radio", "--tiny", "--steps", "2", "--batch_size", "2", "--device", "cpu"]
    return main([*words, *data, *quiet, *SMALLER, "--out", str(out), *more])


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("two_rows")
def test_a_study_that_was_stopped_goes_on_and_ends_in_a_table(
    root: Path,
    tmp_path: Path,
    fitted: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fitted.append("!radio_d_tiny")
    assert ablate(root, tmp_path) == 130
    assert fitted == ["sync_expert_tiny", "radio_a_tiny"]
    first = tmp_path / "radio_a_tiny" / "checkpoints" / "last.ckpt"
    digest = sha256(first)

    calls: list[object] = []

    def stopped(*args: object, **options: object) -> Path:
        calls.append(options["protocol"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*args, **options)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr("dubbench.ablations.study.evaluate", stopped)
    assert ablate(root, tmp_path) == 130
    assert fitted == ["sync_expert_tiny", "radio_a_tiny", "radio_d_tiny"]
    told = capsys.readouterr().out
    trainings = re.findall(r"train (\w+) \((\d) of 3\)", told)
    assert trainings == [
        ("sync_expert_tiny", "1"),
        ("radio_a_tiny", "2"),
        *[("radio_d_tiny", "3")] * 2,  # begun in vain, then done
    ]
    assert "score radio_d_tiny under first_frame (2 of 2)" in told
    assert ablate(root, tmp_path) == 0
    assert len(fitted) == 3
    assert sha256(first) == digest

    lines = read_csv(tmp_path / "ablation.csv")
    assert [line["row"] for line in lines] == ["A Baseline"] * 3 + ["D + Fidelity mapping w/ ViT"] * 3
    assert [line["printed"] for line in lines] == ["32.672", "0.040", "0.520", "34.938", "0.031", "0.609"]
    assert [line["metric"] for line in lines[:3]] == ["psnr", "lpips_alex", "sync_similarity"]
    assert [line["alike"] for line in lines[:3]] == ["yes", "no", "no"]
    summary = {
        (row["method"], row["metric"]): row for row in read_csv(tmp_path / "results/first_frame-val/summary.csv")
    }
    for line in lines:
        row = summary.get((line["model"], line["metric"]), {"value": "", "ci_low": "", "ci_high": ""})
        assert [line[key] for key in ("value", "ci_low", "ci_high")] == list(
            map(row.get, ("value", "ci_low", "ci_high"))
        )
        assert (line["clips"], line["lost"], line["steps"], line["batch_size"]) == ("1", "0", "2", "2")
        assert (
            int(line["parameters"])
            == load_model(first.parents[2] / line["model"] / "checkpoints/last.ckpt").parameter_count()
        )
    assert lines[0]["value"] != lines[3]["value"]
    assert lines[2]["value"]
    judge = load_model(first).hparams["sync_expert"]
    assert judge == str(tmp_path / "sync_expert_tiny" / "checkpoints" / "last.ckpt")
    steps = [torch.load(path, weights_only=True)["global_step"] for path in tmp_path.glob("radio_*/checkpoints/*")]
    assert len(set(steps)) == 1

    shown, ended = capsys.readouterr()
    assert "reused:  3 of 3 trainings were done before" in ended
    assert "LPIPS has no value: alexnet" in shown
    assert ", scored on val. Orders can be compared" in shown
    assert "† Sync in the paper is not sync_similarity here" in shown
    text = (tmp_path / "ablation.md").read_text(encoding="utf-8")
    (written,) = (line for line in text.splitlines() if line.startswith("| A Baseline"))
    cells = [cell.strip() for cell in written.strip("|").split("|")]
    assert cells[1] == "32.672"
    assert cells[2].startswith(f"{float(lines[0]['value']):.2f} (")
    assert cells[-2] == "1/1"

    assert ablate(root, tmp_path, "--split", "train") == 0
    assert len(fitted) == 3
    seen = read_csv(tmp_path / "ablation.csv")
    assert {line["split"] for line in lines} == {"val"}
    assert {line["split"] for line in seen} == {"train"}
    assert seen[0]["value"] != lines[0]["value"]
    assert {row["clip"] for row in read_csv(tmp_path / "results/first_frame-train/clips.csv")} == {"ann/one"}

    capsys.readouterr()
    assert ablate(root, tmp_path, "--seed", "1") == 1
    assert "holds ablations with seed 0, not 1; give another --out" in capsys.readouterr().err


@pytest.mark.usefixtures("two_rows")
def test_a_variant_that_fails_is_told_and_the_rest_goes_on(
    root: Path, tmp_path: Path, fitted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Only D has attention, whose tokens of 16 cannot be shared among three heads.
    assert ablate(root, tmp_path, "--model.vit_heads", "3", "--expert_steps", "1") == 1
    assert fitted == ["sync_expert_tiny", "radio_a_tiny", "radio_d_tiny"]
    shown = capsys.readouterr().out
    assert "D + Fidelity mapping w/ ViT (radio_d_tiny) failed, train: " in shown
    assert "1 of 2 rows failed" in shown
    lines = read_csv(tmp_path / "ablation.csv")
    assert lines[0]["value"]
    assert not lines[0]["failure"]
    assert [line["value"] for line in lines[3:]] == [""] * 3
    assert all(line["failure"].startswith("train: ") for line in lines[3:])
    assert "Traceback" in (tmp_path / "radio_d_tiny" / "error.txt").read_text()
    trained = json.loads((tmp_path / "sync_expert_tiny" / "trained.json").read_text())
    assert trained["batches"] == 1
    methods = {row["method"] for row in read_csv(tmp_path / "results/first_frame-val/summary.csv")}
    assert methods == {"ground_truth", "copy_reference", "radio_a_tiny"}


def test_errors_of_expressions_and_costs_of_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [Clip("anna/one", 30), Clip("anna/val", 20, "val"), Clip("bert/one", 20)]
    prepared = talkers.make(tmp_path / "prepared", clips)
    options = {"root": str(prepared), "dataset": "mini", "val_windows": 2}
    data = {"class_path": "dubbench.datamodules.datamodule.DubbingDataModule", "init_args": options}
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(data))
    prior, fia = load("realtalk_prior"), load("realtalk_fia")
    costs = {name: metric for name, metric in fia.metrics.items() if metric.startswith("speed/")}
    tables = [
        replace(prior, rows=dict(list(prior.rows.items())[::3])),
        replace(fia, rows={"Blocks=1": "realtalk_1_block"}, metrics=costs),
    ]
    monkeypatch.setattr(ablate_command, "find", lambda *_: tables)
    monkeypatch.setattr("dubbench.ablations.study.FRAMES", 8)
    monkeypatch.setattr("dubbench.ablations.study.REPEATS", 1)
    small = [
        "--model.vertices",
        "64",
        "--model.size",
        "32",
        "--model.renderer.widths",
        "[8,8,16,16]",
        "--model.renderer.stem",
        "8",
        "--model.shapes",
        "4",
    ]
    small += ["--model.expressions", "3", "--model.transformer.width", "32", "--model.renderer.heads", "2"]
    words = ["ablate", "--model", "realtalk", "--tiny", "--dataset", str(tmp_path / "mini.yaml"), "--device", "cpu"]
    words += ["--steps", "2", "--batch_size", "2", "--trainer.enable_progress_bar", "false", *small]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    lines = {(line["row"], line["column"]): line for line in read_csv(tmp_path / "out" / "ablation.csv")}
    assert len(lines) == 4
    for row in tables[0].rows:
        line = lines[row, "Expression Error"]
        folder = tmp_path / "out" / line["model"]
        kept = json.loads((folder / "validate.json").read_text())
        assert float(line["value"]) == pytest.approx(kept["val_expression"], rel=1e-5)
        assert line["clips"] == "0"
        assert load_model(folder / "checkpoints" / "last.ckpt").hparams["stages"] == "expression"
    name = lines["Blocks=1", "Runtime (ms)"]["model"]
    kept = json.loads((tmp_path / "out" / name / "speed.json").read_text())
    times = [float(lines["Blocks=1", "Runtime (ms)"][key]) for key in ("ci_low", "value", "ci_high")]
    assert times == pytest.approx([kept[f"renderer/ms{end}"] for end in ("_low", "", "_high")], rel=1e-5)
    model = load_model(tmp_path / "out" / name / "checkpoints" / "last.ckpt")
    assert 0 < 1e6 * float(lines["Blocks=1", "Param. (M)"]["value"]) < model.parameter_count()
    assert "best in " in capsys.readouterr().out


def test_tables_under_one_protocol_share_a_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def scored(root: Path, methods: dict[str, object], *, out: Path, protocol: Protocol, **_: object) -> Path:
        asked.append(list(methods))
        clips = [ClipResult(name, "a", "f", 5, values={"psnr": float(len(name))}) for name in methods]
        labels = {"dataset": "d", "protocol": protocol.name, "protocol_hash": "p", "split_hash": "s"}
        write_summary(out / "summary.csv", summarise(clips, ["psnr"], labels, 0))
        own = {name: {"scored": 1, "failed": {}, "pooled_without_value": {"fid": "too few"}} for name in methods}
        record = {"methods": own, "not_computed": {"lpips_alex": "no weights"}, "protocol": protocol.name}
        write_text(out / "run.json", json.dumps(record))
        return out

    monkeypatch.setattr("dubbench.ablations.study.evaluate", scored)
    monkeypatch.setattr("dubbench.ablations.study.load_model", lambda path: torch.nn.Identity())
    budget = Budget("grid", 1, 1, None, 0, tiny=True)
    study = Study(budget, tmp_path, Console(file=StringIO()), "cpu")
    outcomes = {}
    for table in find("realtalk")[:2]:
        outcomes[table.spec] = [Outcome(table, *each) for each in variants(table, tiny=True).items()]
        study.score(outcomes[table.spec], load_protocol("first_frame"))
    assert list(outcomes) == ["realtalk:7", "realtalk:6"]
    names_ = [outcome.variant.name for outcome in outcomes["realtalk:7"]]
    assert asked == [*[[n] for n in names_], names_, ["realtalk_naive_mask_tiny"], ["realtalk_tiny"], asked[-1]]
    assert asked[-1] == [*names_, "realtalk_naive_mask_tiny"]
    naive, learnable = outcomes["realtalk:6"]
    assert naive.values == {}
    assert naive.absent["LPIPS"] == "no weights"
    assert naive.absent["FID"] == "too few"
    assert learnable.absent["SSIM"] == "the protocol first_frame does not compute ssim"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "wav2lip"], "no method with ablations is called 'wav2lip'; there are "),
        (["--model", "radio", "--table", "radio:1"], "radio has no ablations in a table 'radio:1'; it has them in "),
        (["--model", "radio", "--steps", "0"], "--steps 0 leaves nothing to do; give 1 or more"),
        (["--model", "radio", "--protocol", "frist"], "no protocol is called 'frist'; there are "),
        (["--model", "radio", "--device", "cuda:99"], "device 'cuda:99' cannot be used here"),
    ],
)
def test_wrong_words_are_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--dataset", "grid", "--out", str(tmp_path / "out")]
    steps = [] if "--steps" in words else ["--steps", "1"]
    assert main(["ablate", *words, *steps, *more, "--quiet"]) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.strip().splitlines()) == 1


def test_options_of_nobody_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ablate", "--model", "radio", "--dataset", "grid", "--steps", "1"]
    assert main([*words, "--stpes", "3"]) == 2
    assert main([*words, "--data.seed=1", "stray"]) == 2
    assert "unrecognized arguments: stray" in capsys.readouterr().err
