"""CSV files as spreadsheets save them, through the verbs that read them."""

from pathlib import Path

import pytest

from dubbench.cli import main
from dubbench.core.tables import as_csv, read_csv
from dubbench.errors import DubbenchError
from tests import boards

ROWS = [["1", "a,b;c"], ["2", 'say "x"\nnew line']]
PLAIN = as_csv(("n", "text"), ROWS)


def saved(path: Path, text: str, separator: str = ",", end: str = "\n", start: str = "") -> Path:
    """As a spreadsheet would write it, without line ends within cells."""
    path.write_bytes((start + text.replace(",", separator).replace("\n", end)).encode())
    return path


def test_cells_are_read_back_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(PLAIN)
    assert [list(line.values()) for line in read_csv(tmp_path / "a.csv", ("n", "text"))] == ROWS


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_spreadsheet_s_file(tmp_path: Path, separator: str, end: str, start: str) -> None:
    path = saved(tmp_path / "a.csv", "clip,speaker,split\na,b,val\n", separator, end, start)
    assert list(read_csv(path, ("clip", "split"))) == [{"clip": "a", "speaker": "b", "split": "val"}]


def test_excel_s_mark_of_the_separator(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"sep=;\r\nclip;split\r\na,1;val\r\n")
    assert list(read_csv(tmp_path / "a.csv", ("clip", "split"))) == [{"clip": "a,1", "split": "val"}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("clip,split\nä,val\n".encode("latin-1"), "is not in UTF-8"),
        ("clip,split\na,val\n".encode("utf-16"), "is not in UTF-8"),
        (b"clip,clip,split\na,b,val\n", "two columns called clip"),
        (b"clip;speaker\na;b\n", "lacks the column split: it must have clip, split, and has clip, speaker"),
        (b"clip,split\na\n", "line 2, does not have as many cells"),
        (b"", "lacks the column clip"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(DubbenchError, match=message):
        list(read_csv(tmp_path / "a.csv", ("clip", "split")))


def test_compare_and_leaderboard_read_what_a_spreadsheet_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, board = boards.results(tmp_path / "results", {"ours": {"psnr": [20.0, 30.0]}}), tmp_path / "board.csv"
    baseline = tmp_path / "baseline.csv"
    assert main(["compare", str(baseline), str(results), "--accept"]) == 0
    saved(baseline, baseline.read_text(), ";", "\r\n", "\ufeff")
    for name in ("summary.csv", "clips.csv"):
        saved(results / name, (results / name).read_text(), ";", "\r\n", "\ufeff")
    assert main(["compare", str(baseline), str(results)]) == 0
    assert main(["leaderboard", str(results), "--out", str(board)]) == 0
    assert ",25," in board.read_text()
