"""What commands say and how they show progress: on the standard error, bars on terminals alone."""

import re

import pytest

from dubbench.cli import main
from dubbench.core.console import speaking
from dubbench.core.progress import counted, downloading, tracked


def test_tables_keep_their_width_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    for width in ("40", "300"):
        monkeypatch.setenv("COLUMNS", width)
        assert main(["corpus"]) == 0
        said.append(capsys.readouterr().out)
    assert "…" not in said[0]
    assert max(map(len, said[0].splitlines())) == 100
    assert max(map(len, said[1].splitlines())) <= 300


@pytest.mark.parametrize("terminal", [False, True])
def test_bars_are_drawn_on_terminals_alone(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert list(tracked([1, 2], "scoring")) == [1, 2]
    with counted("prepare", "clips, {task.fields[failed]} failed") as progress:
        task = progress.add_task("", total=2, failed=0)
        progress.update(task, advance=1, failed=1, refresh=True)
        progress.console.print("a: no face")
    with downloading("net.pth") as tell:
        tell(1000, 2000)
    said = capsys.readouterr()
    assert said.out == ""
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.err)
    assert "a: no face" in drawn
    for words in ("scoring", "1/2 clips, 1 failed", "net.pth"):
        assert (words in drawn) == terminal


def test_without_a_terminal_a_long_step_says_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = [0.0]
    with counted("prepare ", "clips, {task.fields[failed]} failed", get_time=lambda: seconds[0]) as progress:
        task = progress.add_task("", total=7, completed=2, before=2, failed=0)
        for place in range(5):
            seconds[0] += 20
            progress.update(task, advance=1, failed=place, refresh=True)
    # Not before half a minute has gone, then at most twice a minute, and at the end.
    assert capsys.readouterr().err.splitlines() == [
        "prepare: 4 of 7 clips, 1 failed, 0:00:40 gone, about 0:01:00 left",
        "prepare: 6 of 7 clips, 3 failed, 0:01:20 gone, about 0:00:20 left",
        "prepare: 7 of 7 clips, 4 failed, 0:01:40 gone",
    ]


def test_a_short_step_is_not_told_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = [0.0]
    with counted("scoring", "clips", get_time=lambda: seconds[0]) as progress:
        task = progress.add_task("", total=3)
        for _ in range(3):
            seconds[0] += 9
            progress.update(task, advance=1, refresh=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_a_quiet_verb_shows_no_progress(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
    seconds = [0.0]
    with speaking(quiet=True), counted("scoring", "clips", get_time=lambda: seconds[0]) as progress:
        task = progress.add_task("", total=1)
        seconds[0] = 100
        progress.update(task, advance=1, refresh=True)
    assert capsys.readouterr() == ("", "")


def test_the_time_left_is_told_after_the_first_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    seconds = [0.0]
    with counted("scoring", "clips", get_time=lambda: seconds[0]) as progress:
        task = progress.add_task("", total=3)
        seconds[0] = 600
        progress.update(task, advance=1, refresh=True)
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(r"1/3 clips 0:10:00 0:20:00", drawn)
