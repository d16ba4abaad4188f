"""What commands say and how they show progress: on the standard error, bars on terminals alone."""

import re

import pytest

from dubbench.cli import main
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
