"""What every verb ends with: where things are, what was there before, and a next command that works as it stands."""

import argparse
import json
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from dubbench import commands
from dubbench.cli import FIRST, VERBS, main
from dubbench.commands import add_json, call
from dubbench.core.config_names import names
from dubbench.core.console import ending
from dubbench.evaluation import pairs
from tests import boards
from tests.conftest import SIDE
from tests.datamodules import miniature

TINY = ["--model.sync_expert", "null", "--model.sync_weight", "0", "--model.adversarial.weight", "0"]
CPU = ["--trainer.accelerator", "cpu", "--trainer.enable_model_summary", "false", "--data.val_windows", "0"]
CPU += ["--data.num_workers", "0"]


def following(text: str) -> list[list[str]]:
    """Commands that were said to come next, as words after the program's name."""
    lines = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("next:")]
    return [shlex.split(line)[1:] for line in lines]


def parses(words: list[str], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a verb takes these words; it is not run."""
    with monkeypatch.context() as patch:
        patch.setattr(import_module(f"dubbench.commands.{words[0]}"), "run", lambda _: 0)
        return main(words) == 0


def test_without_a_verb_one_is_told_what_to_do_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 2
    told = capsys.readouterr()
    lines = [line.strip() for line in told.out.splitlines() if line.strip().startswith("dubbench ")]
    first = [line for line in lines if line in FIRST.values()]
    assert (len(first), told.err) == (6, "")
    for each in (each for line in first for each in line.split(" && ")):
        assert parses(shlex.split(each)[1:], monkeypatch), each


def test_what_comes_next_works_from_clips_to_the_leaderboard(
    corpus: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(prepared, "clips")
    Path("split.csv").write_text("clip,speaker,split\n,ann,test\n,bob,train\n")
    again = ["prepare", "--dataset", "folder", "--root", str(corpus), "--out", "clips", "--size", str(SIDE)]
    assert main([*again, "--split", "split.csv", "--faces", "largest"]) == 0
    told = capsys.readouterr()
    assert "3 clips were prepared before" in told.err
    assert main([*again, "--split", "split.csv", "--faces", "largest", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["prepared"], made["finished_before"], made["failures"], made["geometry"]) == (0, 3, [], None)
    (fit,) = following(told.err)
    assert fit == ["fit", "--model", "radio_tiny", "--dataset", "folder", "--dataset.root", "clips"]
    short = [*TINY, *CPU, "--data.windows_per_epoch", "2", "--model.batch_size", "2", "--model.iterations", "2"]
    assert main([*fit, *short]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "runs/radio_tiny/checkpoints/last.ckpt: 2 batches, 2 of them now"
    assert told.err.startswith("fit radio_tiny on folder: loading ...\n")
    assert main([*fit, *short, "--ckpt_path", "last"]) == 0
    assert "reused:  2 batches were trained before" in capsys.readouterr().err
    (score,) = following(told.err)
    assert main([*score, "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert "reused" not in told.err
    assert main([*score, "--device", "cpu", "--json"]) == 0
    told = capsys.readouterr()
    rows = json.loads(told.out)["results/radio_tiny"]
    assert {row["method"] for row in rows} == {"ground_truth", "copy_reference", "radio_tiny"}
    assert "reused:  6 of 6 results were scored before" in told.err
    (rank,) = following(told.err)
    assert main(rank) == 0
    told = capsys.readouterr()
    page = Path("results/radio_tiny/leaderboard.html")
    assert f"look at: {page} in a browser" in told.err
    assert page.is_file()
    (study,) = following(told.err)
    assert main(study) == 0
    assert Path("study.key.json").is_file()


def test_reading_verbs_tell_commands_that_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    boards.results(Path("results"), {"ours": {"psnr": [20.0, 30.0]}, "theirs": {"psnr": [21.0, 29.0]}})
    baseline = ["compare", "baseline.csv", "results"]
    for words in (
        *(["corpus"], ["corpus", "grid"], ["protocol"], ["protocol", "fair"], ["assets"], ["doctor"]),
        *(["leaderboard", "results"], ["leaderboard", "results", "--html", "x.html"], [*baseline, "--accept"]),
    ):
        assert main(words) == 0
        told = following(capsys.readouterr().err)
        assert told, words
        assert all(parses(each, monkeypatch) for each in told), told


def test_a_quiet_verb_says_nothing_but_what_it_is_asked_for(
    corpus: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    splits = ("train", "val", "test")
    miniature.make(Path("mini"), [miniature.Clip(f"s{i}/a", split=s, dataset="grid") for i, s in enumerate(splits)])
    fit = ["fit", "--model", "radio_tiny", "--dataset", "grid", "--dataset.root", "mini", *TINY]
    fit += ["--trainer.accelerator", "cpu", "--data.windows_per_epoch", "2", "--model.iterations", "1"]
    videos = ["eval", "--videos", str(corpus), "--method", "x", "--dataset", "folder"]
    for words in (
        [*fit, "--quiet"],
        [*videos, "--dataset.root", str(prepared), "--device", "cpu", "--quiet", "--limit", "1"],
    ):
        assert main(words) == 0
        assert capfd.readouterr() == ("", "")
    assert Path("runs/radio_tiny/checkpoints/last.ckpt").is_file()
    assert Path("results/summary.csv").is_file()
    assert main(["protocol", "--quiet", "--json"]) == 0
    told = capfd.readouterr()
    assert (set(json.loads(told.out)), told.err) == (set(names("protocol")), "")


def test_every_verb_and_action_can_be_quiet() -> None:
    for verb in VERBS:
        parser = commands._Parser(prog=verb)
        import_module(f"dubbench.commands.{verb}").add_arguments(parser)
        inner = [
            each for action in parser._actions if isinstance(action.choices, dict) for each in action.choices.values()
        ]
        for each in (parser, *inner):
            assert "--quiet" in each.format_help(), verb


@pytest.mark.parametrize(
    "words",
    [
        ["assets"],
        ["assets", "list"],
        ["assets", "verify"],
        ["corpus"],
        ["corpus", "hdtf"],
        ["protocol"],
        ["protocol", "fair"],
        ["doctor"],
        ["compare", "baseline.csv", "results"],
    ],
    ids=" ".join,
)
def test_json_is_one_document_and_nothing_else_on_the_standard_output(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    boards.results(Path("results"), {"ours": {"psnr": [20.0, float("inf")]}})
    assert main(["compare", "baseline.csv", "results", "--accept"]) == 0
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_a_score_without_a_file_is_printed(
    prepared: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(corpus / "ann/one.mkv")
    words = ["score", "--pred", video, "--target", video, "--metrics", "psnr", "--device", "cpu"]
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["means"][pairs.PRED]["psnr"] == {"value": "inf", "count": 1}
    assert main([*words, "--json", str(tmp_path / "s.json")]) == 0
    told = capsys.readouterr()
    assert json.loads((tmp_path / "s.json").read_text()) == printed
    assert "psnr" in told.out
    assert f"output:  {tmp_path / 's.json'}: " in told.err


def test_a_step_of_another_verb_does_not_say_what_comes_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for step, told in ((False, True), (True, False)):
        assert call("protocol", ["fair"], step=step) == 0
        said = capsys.readouterr()
        assert said.out.startswith("fair_own  hash ")
        assert bool(following(said.err)) == told
    ending(following="again")
    assert capsys.readouterr().err == "next:    again\n"


def test_json_of_an_action_leaves_what_its_verb_says() -> None:
    parser = argparse.ArgumentParser()
    add_json(parser, "all")
    add_json(parser.add_subparsers().add_parser("list"), "all", default=argparse.SUPPRESS)
    for words, wanted in ((["list"], False), (["--json", "list"], True), (["list", "--json"], True)):
        assert parser.parse_args(words).json == wanted
