import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from dubbench.board import screen
from dubbench.board.entries import collect
from dubbench.cli import main
from dubbench.results.rows import ClipResult, Pooled, summarise, write_summary

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
    assert main(["leaderboard", str(first), str(second / "summary.csv"), str(cross), "--out", str(out)]) == 0
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
    main(["leaderboard", str(cross), str(second), str(first), "--out", str(out)])
    assert out.read_bytes() == again


def bold(text: str) -> set[str]:
    """What a terminal shows in bold: all that follows an escape sequence with 1, up to the next sequence."""
    pieces = text.split("\x1b[")
    return {piece.partition("m")[2].strip() for piece in pieces[1:] if "1" in piece.partition("m")[0].split(";")}


def test_best_of_the_methods_is_bold_by_direction(tmp_path: Path) -> None:
    folder = results(tmp_path / "first", {**ENDS, "radio": (29.0, 1.4), "other": (31.0, 1.5)})
    stream = io.StringIO()
    screen.show([folder], Console(file=stream, force_terminal=True, width=160, color_system="standard"))
    shown = bold(stream.getvalue())
    assert {"31.00", "1.400"} <= shown
    assert not {"29.00", "1.500", "inf", "32.00", "0.000", "0.1000"} & shown
    assert "* ground_truth" in stream.getvalue()


def test_other_clips_are_another_table(tmp_path: Path) -> None:
    whole = results(tmp_path / "whole", {"radio": (29.0, 1.4)})
    part = results(tmp_path / "part", {"radio": (39.0, 1.1)}, split_hash="s2")
    stream = io.StringIO()
    screen.show([whole, part], Console(file=stream, force_terminal=True, width=160, color_system="standard"))
    assert {"29.00", "39.00"} <= bold(stream.getvalue())
    assert stream.getvalue().count("protocol first_frame") == 2


def test_two_checkpoints_are_two_rows_and_one_run_twice_is_one(tmp_path: Path) -> None:
    first = results(tmp_path / "first", {"radio": (29.0, 1.4)})
    second = results(tmp_path / "second", {"radio": (29.5, 1.4)})
    assert [entry.rows["psnr"].value for entry in collect([first, second, first])] == [29.0, 29.5]


def test_metrics_without_their_network_are_empty_columns_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(tmp_path / "first", {**ENDS, "radio": (29.0, 1.4)})
    run = json.loads((folder / "run.json").read_text())
    run["not_computed"] = {"csim": "w600k_r50.onnx is not here", "fid": "Inception is not here"}
    (folder / "run.json").write_text(json.dumps(run))
    assert main(["leaderboard", str(folder), "--out", str(tmp_path / "board.csv")]) == 0
    radio = read(tmp_path / "board.csv")[-1]
    assert (radio["method"], radio["csim"], radio["fid"], radio["lmd"]) == ("radio", "", "", "1.4")
    printed = capsys.readouterr().out
    assert "without csim: w600k_r50.onnx is not here\nwithout fid: Inception is not here" in printed
    assert "fid ↓" not in printed


def test_pooled_metrics_count_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = [ClipResult("radio", clip, "f", 75, values={"psnr": 30.0}) for clip in ("a", "b")]
    labels = {"dataset": "grid", "protocol": "first_frame", "protocol_hash": "p1", "split_hash": "s1"}
    pooled = {"radio": Pooled({"fid": 12.5}, {}, 150)}
    write_summary(tmp_path / "summary.csv", summarise(clips, ["psnr", "fid"], labels, 0, pooled))
    assert main(["leaderboard", str(tmp_path), "--out", str(tmp_path / "board.csv")]) == 0
    (row,) = read(tmp_path / "board.csv")
    assert (row["clips"], row["fid"]) == ("2", "12.5")
    printed = capsys.readouterr().out
    assert "2/2" in printed
    assert "fid and kid over 150 frames" in printed


def test_wrong_places_are_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out.csv")]
    folder = results(tmp_path / "first", {"radio": (29.0, 1.4)})
    text = (folder / "summary.csv").read_text()
    (tmp_path / "nothing").mkdir()
    for place, content, words in (
        (tmp_path / "nothing", None, "holds no results"),
        (folder, text + text.splitlines()[1] + "\n", "psnr of radio twice"),
        (folder, text.splitlines()[0] + "\n", "holds no row"),
    ):
        if content is not None:
            (folder / "summary.csv").write_text(content)
        assert main(["leaderboard", str(place), *out]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_a_papers_table_goes_to_the_screen_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "--paper", "radio:1"]) == 0
    assert "33.939" in capsys.readouterr().out
    assert main(["leaderboard", "--paper", "radio:1", "--html", str(tmp_path / "x.html")]) == 1
    assert "--paper prints a table and writes no file" in capsys.readouterr().err
