import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from dubbench.cli import main
from dubbench.results.rows import Pooled
from tests.boards import Scores, results

ENDS: Scores = {
    "ground_truth": {"psnr": [float("inf")] * 8, "lmd": [0.0] * 8},
    "copy_reference": {"psnr": [40.0] * 8, "lmd": [0.5] * 8},
}
STEPS = np.linspace(-1, 1, 8)
SCORES: Scores = {
    **ENDS,
    "good": {"psnr": 30 + STEPS, "lmd": 1.0 + 0.1 * STEPS},
    "close": {"psnr": 30.01 + STEPS[::-1], "lmd": 1.2 + 0.1 * STEPS},
    "bad": {"psnr": 20 + STEPS, "lmd": 3 + 0.1 * STEPS},
}


def board(tmp_path: Path, *places: Path) -> tuple[list[dict[str, str]], str]:
    tidy, markdown = tmp_path / "tidy.csv", tmp_path / "board.md"
    words = ["leaderboard", *map(str, places), "--out", str(tmp_path / "wide.csv")]
    assert main([*words, "--tidy", str(tidy), "--markdown", str(markdown)]) == 0
    with tidy.open() as file:
        return list(csv.DictReader(file)), markdown.read_text()


def rows_of(markdown: str, first: str) -> list[list[str]]:
    """Cells of the first table whose header begins so, without the rule."""
    lines = markdown.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {first} |"))
    end = next((place for place in range(start, len(lines)) if not lines[place].startswith("|")), len(lines))
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[start:end] if "---" not in line
    ]


def test_tidy_has_a_line_a_row_and_metric_with_its_rank_and_test(tmp_path: Path) -> None:
    lines, _ = board(tmp_path, results(tmp_path / "run", SCORES, {"not_computed": {"fid": "Inception is not here"}}))
    found = {(line["method"], line["metric"]): line for line in lines}
    assert len(found) == len(lines) == len(SCORES) * 3
    good, close, bad, end = (found[method, "psnr"] for method in ("good", "close", "bad", "copy_reference"))
    assert (good["value"], good["count"], good["unit"], good["better"]) == ("30", "8", "dB", "higher")
    assert float(good["ci_low"]) < 30 < float(good["ci_high"])
    assert [line["rank"] for line in (close, good, bad, end)] == ["1", "2", "3", ""]
    assert (close["p"], close["best"]) == ("", "")
    assert (good["best"], good["pairs"], good["difference"]) == ("close", "8", "-0.01")
    assert float(good["p_holm"]) > 0.5
    assert float(bad["p_holm"]) < 0.01
    assert (good["group"], good["protocol_hash"], good["split_hash"]) == ("grid/first_frame/p1/s1", "p1", "s1")
    absent = found["good", "fid"]
    assert (absent["value"], absent["rank"], absent["note"]) == ("", "", "Inception is not here")


def test_pooled_metrics_have_a_rank_and_no_test(tmp_path: Path) -> None:
    pooled = {method: Pooled({"fid": 5.0 + place}, {}, 600) for place, method in enumerate(SCORES)}
    lines, _ = board(tmp_path, results(tmp_path / "run", SCORES, pooled=pooled))
    found = {line["method"]: line for line in lines if line["metric"] == "fid"}
    assert [found[method]["rank"] for method in SCORES] == ["", "", "1", "2", "3"]
    assert {found[method]["p"] for method in SCORES} == {""}


def test_markdown_marks_best_second_best_and_what_cannot_be_told_from_the_best(tmp_path: Path) -> None:
    _, markdown = board(tmp_path, results(tmp_path / "run", SCORES))
    header, *rows = rows_of(markdown, "method")
    assert header == ["method", "clips", "psnr ↑", "lmd ↓", "params"]
    cells = {row[0]: row[2:4] for row in rows}
    assert cells["*copy\\_reference*"] == ["40.00", "0.500"]
    assert cells["close"][0].startswith("**30.01** (29.")
    assert cells["good"][0].startswith("<ins>30.00</ins> ≈ (29.")
    assert cells["bad"][0].startswith("20.00 (19.")
    assert [cells[name][1].split(" (")[0] for name in ("good", "close", "bad")] == [
        "**1.000**",
        "<ins>1.200</ins>",
        "3.000",
    ]
    tests = rows_of(markdown, "against the best")[1:]
    assert ["bad", "psnr", "close", "-10.01"] in [row[:4] for row in tests]
    assert {row[-1] for row in tests} == {"8"}
    assert "resampled 2000 times" in markdown
    assert "- **lmd** (px@256, lower is better): mean distance of the 20 mouth landmarks" in markdown


def test_other_hashes_are_other_tables_with_a_mark_that_says_why(tmp_path: Path) -> None:
    choices = [{"crop": "nose", "metrics": {"psnr": 1, "lmd": 1}}, {"crop": "face", "metrics": {"psnr": 2, "fid": 1}}]
    one = results(tmp_path / "one", {"mine": SCORES["good"]}, {"protocol_choices": choices[0]})
    two = results(tmp_path / "two", {"mine": SCORES["bad"]}, {"protocol_choices": choices[1]}, protocol_hash="p2")
    more = results(tmp_path / "more", {"mine": SCORES["close"]}, {"protocol_choices": choices[0]}, split_hash="s2")
    lines, markdown = board(tmp_path, one, two, more)
    assert {(line["group"], line["rank"]) for line in lines if line["metric"] == "psnr"} == {
        (f"grid/first_frame/{hashes}", "1") for hashes in ("p1/s1", "p1/s2", "p2/s1")
    }
    marks = [line for line in markdown.splitlines() if line.startswith("> **Not ranked with")]
    assert len(marks) == 3
    told = "protocol p1 here, p2 there (crop nose here, face there; metrics.psnr 1 here, 2 there; only here: lmd; only "
    assert told + "there: fid)" in marks[0].replace("\\", "")
    assert "clips s1 (8) here, s2 (8) there" in marks[0]
    other = results(tmp_path / "cross", {"mine": SCORES["good"]}, protocol="cross", protocol_hash="p9")
    assert "Not ranked" not in board(tmp_path, one, other)[1]


def test_one_run_twice_is_one_row_and_floors_do_not_make_two(tmp_path: Path) -> None:
    scores = {method: dict(SCORES[method]) for method in ("ground_truth", "good")}
    places = []
    for place, name in enumerate(("one", "two")):
        scores["ground_truth"]["lmd_floor"] = [0.2 + 0.01 * place] * 8
        places.append(results(tmp_path / name, scores))
    lines, markdown = board(tmp_path, *places, places[0])
    assert sorted({line["method"] for line in lines}) == ["good", "ground_truth"]
    assert len(rows_of(markdown, "method")) == 3


def test_parts_of_a_protocol_are_given_by_their_folder(tmp_path: Path) -> None:
    results(tmp_path / "both" / "own", {"mine": SCORES["good"]}, protocol="fair_own")
    results(tmp_path / "both" / "cross", {"mine": SCORES["bad"]}, protocol="fair_cross")
    lines, _ = board(tmp_path, tmp_path / "both")
    assert {line["protocol"] for line in lines} == {"fair_own", "fair_cross"}


def test_names_cannot_break_out_of_a_table(tmp_path: Path) -> None:
    _, markdown = board(tmp_path, results(tmp_path / "run", {"a|b*<script>_\n#x": SCORES["good"]}))
    assert "<script>" not in markdown
    assert rows_of(markdown, "method")[1][0] == r"a\|b\*&lt;script\>\_ \#x"


def test_two_checkpoints_of_a_method_have_two_names(tmp_path: Path) -> None:
    one = results(tmp_path / "one", {"mine": SCORES["good"]}, methods={"mine": {"checkpoint_sha256": "a" * 64}})
    two = results(tmp_path / "two", {"mine": SCORES["bad"]}, methods={"mine": {"checkpoint_sha256": "b" * 64}})
    _, markdown = board(tmp_path, one, two)
    assert [row[0] for row in rows_of(markdown, "method")[1:]] == ["mine (aaaaaaaa)", "mine (bbbbbbbb)"]


def test_papers_numbers_are_a_table_of_their_own(tmp_path: Path) -> None:
    lines, markdown = board(tmp_path, results(tmp_path / "run", SCORES, dataset="hdtf"))
    assert {line["method"] for line in lines} == set(SCORES)
    header, *rows = rows_of(markdown, "RADIO, Table 1")
    assert header[1:4] == ["driven by", "PSNR", "MS-SSIM"]
    assert ["RADIO (printed in a paper, not measured here)", "own", "33.939"] in [row[:3] for row in rows]
    assert "LPIPS †" in header
    assert "† another definition or unit" in markdown
    assert "in papers" not in board(tmp_path, results(tmp_path / "grid", SCORES))[1]


def test_failures_and_missing_clips_are_told(tmp_path: Path) -> None:
    run = {"missing": {"s9/x": "the corpus has no such clip"}}
    failed = {"good": {"failed": {"s1/c000": "no face"}}}
    _, markdown = board(tmp_path, results(tmp_path / "run", SCORES, run, failed))
    assert "- good failed on s1/c000: no face" in markdown
    assert "- s9/x is asked for and was not scored: the corpus has no such clip" in markdown


def test_damaged_clips_are_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path / "run", SCORES)
    (folder / "clips.csv").write_text("method,clip,metric,value\ngood,a,psnr,many\n")
    assert main(["leaderboard", str(folder), "--out", str(tmp_path / "o.csv"), "--tidy", str(tmp_path / "t.csv")]) == 1
    assert "clips.csv holds 'many' for a number" in capsys.readouterr().err
    (folder / "clips.csv").unlink()
    record = json.loads((folder / "run.json").read_text())
    assert record["split"] == "test"
    lines, _ = board(tmp_path, folder)
    assert {line["note"] for line in lines if line["method"] == "bad"} == {"only 0 common clips"}
