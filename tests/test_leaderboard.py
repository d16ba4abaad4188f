import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from dubbench import leaderboard
from dubbench.errors import DubbenchError
from dubbench.results import ClipResult, summarise, write_summary

METRICS = ["psnr", "lmd"]
ENDS = {"ground_truth": (float("inf"), 0.0), "copy_reference": (32.0, 1.8)}


def results(folder: Path, scores: dict[str, tuple[float, float]], seconds: float = 0.1, **labels: str) -> Path:
    """A results folder with one clip a method; scores are PSNR and LMD."""
    named = {"dataset": "grid", "protocol": "first_frame", "protocol_hash": "p1", "split_hash": "s1", **labels}
    clips = []
    for method, (psnr, lmd) in scores.items():
        values = {"psnr": psnr, "lmd": lmd}
        extra = {"lmd_floor": 0.25, "f_lmd_floor": 0.5} if method == "ground_truth" else {}
        if method not in ENDS:
            extra = {"seconds_per_frame": seconds}
        clips.append(ClipResult(method, "a", "f", 75, values={**values, **extra}))
    folder.mkdir()
    write_summary(folder / "summary.csv", summarise(clips, METRICS, named, 0))
    methods = {method: {"parameters": 2_340_000, "checkpoint_sha256": "c0ffee"} for method in scores}
    run = {"methods": methods, "split": "test", "seed": 0, "device": "cpu", "versions": {"dubbench": "0.1.0"}}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_wide_table_of_several_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = results(tmp_path / "first", {**ENDS, "radio": (29.0, 1.4)}, seconds=0.1)
    second = results(tmp_path / "second", {**ENDS, "aardvark": (31.0, 1.5)}, seconds=0.7)
    cross = results(tmp_path / "cross", {**ENDS, "radio": (28.0, 1.6)}, protocol="cross", protocol_hash="p2")
    out = tmp_path / "board" / "leaderboard.csv"
    assert leaderboard.main([str(first), str(second / "summary.csv"), str(cross), "--out", str(out)]) == 0
    rows = read(out)
    assert [(row["method"], row["protocol"]) for row in rows] == [
        ("ground_truth", "cross"),
        ("copy_reference", "cross"),
        ("radio", "cross"),
        ("ground_truth", "first_frame"),
        ("copy_reference", "first_frame"),
        ("aardvark", "first_frame"),
        ("radio", "first_frame"),
    ]
    radio = rows[-1]
    assert (radio["psnr"], radio["lmd"], radio["seconds_per_frame"], radio["clips"]) == ("29", "1.4", "0.1", "1")
    assert (radio["protocol_hash"], radio["split_hash"], radio["checkpoint_sha256"]) == ("p1", "s1", "c0ffee")
    assert (radio["parameters"], radio["version"], radio["device"], radio["failed"]) == ("2340000", "0.1.0", "cpu", "0")
    assert (rows[3]["psnr"], rows[3]["lmd_floor"]) == ("inf", "0.25")
    printed = capsys.readouterr().out
    assert "psnr ↑" in printed
    assert "lmd ↓" in printed
    assert "2.34 M" in printed
    assert "noise floor (ground truth encoded and detected again): lmd 0.250, f_lmd 0.500 px" in printed
    again = out.read_bytes()
    leaderboard.main([str(cross), str(second), str(first), "--out", str(out)])
    assert out.read_bytes() == again


def bold(text: str) -> set[str]:
    """What a terminal shows in bold: all that follows an escape sequence with 1, up to the next sequence."""
    pieces = text.split("\x1b[")
    return {piece.partition("m")[2].strip() for piece in pieces[1:] if "1" in piece.partition("m")[0].split(";")}


def test_best_of_the_methods_is_bold_by_direction(tmp_path: Path) -> None:
    folder = results(tmp_path / "first", {**ENDS, "radio": (29.0, 1.4), "other": (31.0, 1.5)})
    stream = io.StringIO()
    leaderboard.show([folder], Console(file=stream, force_terminal=True, width=160, color_system="standard"))
    shown = bold(stream.getvalue())
    assert {"31.00", "1.400"} <= shown
    assert not {"29.00", "1.500", "inf", "32.00", "0.000", "0.1000"} & shown
    assert "* ground_truth" in stream.getvalue()


def test_other_clips_are_another_table(tmp_path: Path) -> None:
    whole = results(tmp_path / "whole", {"radio": (29.0, 1.4)})
    part = results(tmp_path / "part", {"radio": (39.0, 1.1)}, split_hash="s2")
    stream = io.StringIO()
    leaderboard.show([whole, part], Console(file=stream, force_terminal=True, width=160, color_system="standard"))
    assert {"29.00", "39.00"} <= bold(stream.getvalue())
    assert stream.getvalue().count("protocol first_frame") == 2


def test_two_checkpoints_are_two_rows_and_one_run_twice_is_one(tmp_path: Path) -> None:
    first = results(tmp_path / "first", {"radio": (29.0, 1.4)})
    second = results(tmp_path / "second", {"radio": (29.5, 1.4)})
    assert [entry.rows["psnr"].value for entry in leaderboard.collect([first, second, first])] == [29.0, 29.5]


def test_wrong_places_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match="holds no results"):
        leaderboard.main([str(tmp_path), "--out", str(tmp_path / "out.csv")])
    folder = results(tmp_path / "first", {"radio": (29.0, 1.4)})
    text = (folder / "summary.csv").read_text()
    (folder / "summary.csv").write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(DubbenchError, match="psnr of radio twice"):
        leaderboard.main([str(folder), "--out", str(tmp_path / "out.csv")])
    (folder / "summary.csv").write_text(text.splitlines()[0] + "\n")
    with pytest.raises(DubbenchError, match="holds no row"):
        leaderboard.main([str(folder), "--out", str(tmp_path / "out.csv")])
    assert not (tmp_path / "out.csv").exists()
