"""What README and docs tell a newcomer to do, done."""

import csv
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from dubbench.cli import VERBS, main
from dubbench.core.config_names import names
from dubbench.media.video import read_frames
from tests import ROOT, talking
from tests.conftest import SIDE
from tests.scored import table

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_a_method_is_added_trained_scored_and_ranked(
    corpus: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = (block for block in blocks(ROOT / "README.md", "python") if "class MouthNet" in block)
    assert len(source.splitlines()) < 60
    (tmp_path / "mouthnet.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    clips = tmp_path / "clips"
    shutil.copytree(prepared, clips)
    (tmp_path / "split.csv").write_text("clip,speaker,split\n,ann,train\n,bob,test\n")
    again = ["prepare", "--dataset", "folder", "--root", str(corpus), "--out", str(clips), "--size", str(SIDE)]
    assert main([*again, "--split", str(tmp_path / "split.csv"), "--faces", "largest"]) == 0
    data = ["--dataset", "folder", "--dataset.root", str(clips)]
    settings = ["--data.val_windows", "0", "--data.windows_per_epoch", "16"]
    fit = ["fit", "--model", "mouthnet.MouthNet", *data, *settings, "--model.size", str(SIDE), "--model.width", "4"]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]
    assert main([*fit, *quiet, "--model.iterations", "2", "--out", str(tmp_path / "run")]) == 0
    weights = ["--ckpt_path", str(tmp_path / "run/checkpoints/last.ckpt"), "--device", "cpu"]
    scored = ["eval", "--model", "mouthnet.MouthNet", "--model.size", str(SIDE), "--model.width", "4", *data, *weights]
    assert main([*scored, "--out", str(tmp_path / "results")]) == 0
    row = table(tmp_path / "results")["mouthnet", "psnr"]
    assert (row["count"], row["failed"]) == ("1", "0")
    page, wide = tmp_path / "board.html", tmp_path / "board.csv"
    assert main(["leaderboard", str(tmp_path / "results"), "--out", str(wide), "--html", str(page)]) == 0
    with wide.open() as file:
        ranked = {line["method"]: line for line in csv.DictReader(file)}
    assert ranked["mouthnet"]["psnr"] == row["value"]
    assert "mouthnet" in page.read_text()
    dub = [
        "dub",
        "--ckpt_path",
        weights[1],
        "--video",
        str(corpus / "bob/one.mkv"),
        "--audio",
        str(corpus / "ann/one.mkv"),
    ]
    assert main([*dub, "--device", "cpu", "--out", str(tmp_path / "dubbed.mp4")]) == 1
    named = ["--model", "mouthnet.MouthNet", "--device", "cpu", "--out", str(tmp_path / "dubbed.mp4")]
    assert main([*dub, *named]) == 0
    assert sum(1 for _ in read_frames(tmp_path / "dubbed.mp4")) == talking.LENGTHS["ann/one"]
    sys.modules.pop("mouthnet", None)


def test_the_example_workflow_scores_and_compares(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = yaml.safe_load((ROOT / "docs/workflow.yml").read_text())["jobs"]
    lines = [step["run"].split("#")[0].split() for step in jobs["compare"]["steps"] if "run" in step]
    commands = [words[1:] for words in lines if words[0] == "dubbench"]
    assert [words[0] for words in commands] == ["prepare", "eval", "compare"]
    monkeypatch.chdir(tmp_path)
    Path("clips").symlink_to(corpus)
    Path("dubbed").symlink_to(corpus)
    assert main([*commands[0], "--size", "96"]) == 0
    assert main([*commands[1], "--device", "cpu"]) == 0
    assert main([*commands[2], "--accept"]) == 0
    assert main(commands[2]) == 0
    baseline = Path("baseline.csv")
    baseline.write_text(re.sub(r"(ours,folder,first_frame,lmd),[^,]*", r"\1,0.5", baseline.read_text()))
    assert main(commands[2]) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_commands_are_known(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    words = re.findall(
        r"\bdubbench ([a-z_]+)\b(?=[ `])", "\n".join([*blocks(page, "sh"), *re.findall(r"`[^`]+`", text)])
    )
    assert {word for word in words if word not in VERBS} == set()


def test_configs_that_the_docs_name_exist() -> None:
    known = {*names("model"), *names("protocol"), *names("data")}
    text = (ROOT / "docs/methods.md").read_text() + (ROOT / "docs/protocols.md").read_text()
    named = {name for row in re.findall(r"^\| (`[^|]*`)", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 20
    assert {name for name in named if name.startswith(("radio", "personatalk", "realtalk", "g4g"))} <= known
