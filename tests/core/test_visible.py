"""Names that would move the cursor, colour the screen or turn the text round are shown and not obeyed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from dubbench.cli import main
from dubbench.core.console import console
from dubbench.core.printable import visible
from dubbench.core.progress import counted, tracked
from tests import ROOT, boards

EVIL = "ev\x1b[31mil\x9b2J\u202e[bold]:smile:\x07"
SHOWN = r"ev\x1b[31mil\x9b2J\u202e[bold]:smile:\x07"


def test_what_is_obeyed_is_written_out() -> None:
    assert visible(EVIL) == SHOWN
    assert visible("a\nb\tc\udcff") == "a\\nb\tc\\xff"
    assert visible("Zoë ☃ 漢字 \U0001f600") == "Zoë ☃ 漢字 \U0001f600"


def test_tables_and_lines_of_rich(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(EVIL)
    table.add_row("[red]cell[/red]\x1b]0;title\x07")
    screen = console(width=100, force_terminal=True)
    screen.print(table)
    screen.print(EVIL)
    out = capsys.readouterr().out
    assert out.count(r"\x9b2J") == 2
    assert r"[red]cell[/red]\x1b]0;title" in out
    assert not [code for code in ("\x07", "\x9b", "\u202e", "\x1b[31m", "\x1b]") if code in out]


@pytest.mark.parametrize(
    "words", [["leaderboard", EVIL], ["protocol", EVIL + ".yaml"], ["corpus", EVIL], ["fit", EVIL]]
)
def test_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) in (1, 2)
    said = "".join(capsys.readouterr())
    assert r"\x1b" in said
    assert "\x1b" not in said


def test_a_board_and_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    boards.results(tmp_path / "results", {EVIL: {"psnr": [20.0, 30.0]}}, dataset=EVIL)
    assert main(["leaderboard", "results"]) == 0
    assert main(["compare", "b.csv", "results", "--accept"]) == 0
    assert "\x1b" not in "".join(capsys.readouterr())
    assert main(["compare", "b.csv", "results", "--json"]) == 0
    out = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\u202e"} & set(out)
    assert json.loads(out)["rows"][0]["model"] == EVIL


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_console_of_another_encoding(encoding: str, tmp_path: Path) -> None:
    boards.results(tmp_path / "results", {"漢字": {"psnr": [20.0, 30.0]}})
    board = [sys.executable, "-m", "dubbench", "leaderboard", "results"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(board, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    assert rb"\u6f22\u5b57" in run.stdout


def test_a_bar_shows_a_name_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    name = "fit {0}{x}[red]"
    assert list(tracked([1], f"{name}\x1b]0;t")) == [1]
    with counted(name, "batches") as progress:
        progress.add_task("", total=1)
    said = capsys.readouterr().err
    assert r"fit {0}{x}[red]\x1b]0;t" in said
    assert said.count(name) > 1
