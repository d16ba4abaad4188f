from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest

from dubbench.cli import main
from dubbench.errors import DubbenchError
from dubbench.results.baseline import Score, compare, read_baseline, tolerance, verdict
from dubbench.results.rows import ClipResult, summarise, write_summary
from tests import ROOT

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("golden", "actual", "word"),
    [
        (Score(30.0, 0.1), Score(30.0), "ok"),
        (Score(30.0, 0.1), Score(30.09), "ok"),
        (Score(30.0, 0.1), Score(29.91), "ok"),
        (Score(30.0, 0.1), Score(29.8), "worse"),
        (Score(30.0, 0.1), Score(30.2), "better"),
        (Score(1.5, 0.1, "lower"), Score(1.7, better="lower"), "worse"),
        (Score(1.5, 0.1, "lower"), Score(1.3, better="lower"), "better"),
        (Score(INF), Score(INF), "ok"),
        (Score(INF, 0.1), Score(60.0), "worse"),
        (Score(60.0, 0.1), Score(INF), "better"),
        (Score(30.0, 99.0), Score(NAN), "nan"),
        (Score(30.0), None, "missing"),
        (None, Score(30.0), "new"),
        (Score(30.0, protocol_hash="a"), Score(30.0, protocol_hash="b"), "protocol"),
    ],
)
def test_verdicts(golden: Score | None, actual: Score | None, word: str) -> None:
    assert verdict(golden, actual) == word


def results(folder: Path, psnr: float = 30.0, lmd: float | None = 1.5, failed: bool = False, rules: str = "p1") -> Path:
    values = {"psnr": psnr, "seconds_per_frame": 0.1} | ({} if lmd is None else {"lmd": lmd})
    clips = [ClipResult("radio", "a", "f", 75, values=values)]
    if failed:
        clips.append(ClipResult("radio", "b", "f", failure="truncated"))
    labels = {"dataset": "grid", "protocol": "first_frame", "protocol_hash": rules, "split_hash": "s"}
    folder.mkdir(exist_ok=True)
    write_summary(folder / "summary.csv", summarise(clips, ["psnr", "lmd"], labels, 0))
    return folder


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    path = tmp_path / "baseline.csv"
    assert main(["compare", str(path), str(results(tmp_path / "results")), "--accept"]) == 0
    return path


def test_accept_writes_what_then_passes(baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert baseline.read_text().splitlines() == [
        "model,dataset,protocol,metric,value,atol,better,protocol_hash",
        "radio,grid,first_frame,clips_failed,0,0,lower,p1",
        "radio,grid,first_frame,frames_missed,0,0,lower,p1",
        "radio,grid,first_frame,lmd,1.5,0.02,lower,p1",
        "radio,grid,first_frame,psnr,30,0.05,higher,p1",
    ]
    assert main(["compare", str(baseline), str(tmp_path / "results")]) == 0
    assert "All 4 scores are as they were." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "word", "metric"),
    [
        ({"psnr": 29.0}, "worse", "psnr"),
        ({"psnr": 31.0}, "better", "psnr"),
        ({"lmd": 1.6}, "worse", "lmd"),
        ({"lmd": 1.4}, "better", "lmd"),
        ({"lmd": None}, "nan", "lmd"),
        ({"failed": True}, "worse", "clips_failed"),
        ({"rules": "p2"}, "protocol", "psnr"),
    ],
)
def test_every_difference_fails_and_is_told(
    baseline: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, float],
    word: str,
    metric: str,
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    now = results(tmp_path / "now", **changes)  # type: ignore[arg-type]  # one keyword of several types
    assert main(["compare", str(baseline), str(now)]) == 1
    out = capsys.readouterr().out
    assert any(line.split()[0] == word and line.split()[4] == metric for line in out.splitlines()[:-1])
    assert f"dubbench compare {baseline} {now} --accept" in out
    markdown = (tmp_path / "summary.md").read_text()
    assert markdown.startswith("before\n")
    assert f"| {word} | radio grid first_frame {metric} |" in markdown
    assert "| ok |" not in markdown


def test_missing_and_new_rows_fail(baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = tmp_path / "results" / "summary.csv"
    now.write_text(now.read_text().replace("radio", "talkie"))
    assert main(["compare", str(baseline), str(now)]) == 1
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert words[:-1] == ["missing"] * 4 + ["new"] * 4
    assert words[-1] == "8"


def test_accept_keeps_the_tolerances_of_known_rows(baseline: Path, tmp_path: Path) -> None:
    baseline.write_text(baseline.read_text().replace("psnr,30,0.05", "psnr,30,0.7"))
    now = results(tmp_path / "now", psnr=33.0)
    assert main(["compare", str(baseline), str(now), "--accept"]) == 0
    assert "radio,grid,first_frame,psnr,33,0.7,higher,p1" in baseline.read_text()
    assert main(["compare", str(baseline), str(results(tmp_path / "later", psnr=32.5))]) == 0
    assert main(["compare", str(baseline), str(results(tmp_path / "later", psnr=32.0))]) == 1


def test_rows_that_stand_equal_in_two_folders_count_once(baseline: Path, tmp_path: Path) -> None:
    now = tmp_path / "results"
    assert compare(baseline, [now, now]) == compare(baseline, [now])


def test_wrong_files_are_sentences(baseline: Path, tmp_path: Path) -> None:
    now = str(tmp_path / "results")
    with pytest.raises(DubbenchError, match=r"no baseline .*absent.csv; if these results shall be it: .*--accept"):
        compare(tmp_path / "absent.csv", [Path(now)])
    with pytest.raises(DubbenchError, match="holds no results"):
        compare(baseline, [tmp_path / "results" / "videos"])
    with pytest.raises(DubbenchError, match="a second time"):
        compare(baseline, [Path(now), results(tmp_path / "other", psnr=31.0)])
    with pytest.raises(DubbenchError, match="cannot be accepted"):
        compare(baseline, [results(tmp_path / "empty", lmd=None)], accepting=True)
    text = baseline.read_text()
    for damage, words in (
        (text + text.splitlines()[1] + "\n", "a second time"),
        (text.replace("0.05", "little"), "no number"),
        (text.replace(",0.05,", ",-0.05,"), "atol at least 0"),
        (text.replace("higher", "up"), "higher or lower"),
        (text.replace("atol", "tolerance"), "lacks the column atol"),
    ):
        baseline.write_text(damage)
        with pytest.raises(DubbenchError, match=words):
            compare(baseline, [Path(now)])


def test_the_spread_of_repeats_is_the_tolerance(baseline: Path, tmp_path: Path) -> None:
    now = tmp_path / "results"
    values = {"psnr": [30.4, 29.6], "lmd": [1.5, 1.5]}
    repeats = [results(tmp_path / f"seed{k}", values["psnr"][k], values["lmd"][k]) for k in range(2)]
    words = ["compare", str(baseline), str(now), "--accept", "--repeats", *map(str, repeats)]
    assert main(words) == 0
    lines = {line.split(",")[3]: line.split(",")[5] for line in baseline.read_text().splitlines()[1:]}
    # Three times the sample deviation of 30, 30.4 and 29.6; what did not vary has its unit's.
    assert lines == {"psnr": "1.2", "lmd": "0.02", "clips_failed": "0", "frames_missed": "0"}
    assert all(main(["compare", str(baseline), str(place)]) == 0 for place in (now, *repeats))


@pytest.mark.parametrize(
    ("value", "repeats", "expected"),
    [
        (30.0, [30.0, 30.0], 0.0),
        (INF, [INF], 0.0),
        (0.5, [0.5 + 1e-9], 5e-6),
        (10.0, [10.0] * 20 + [10.9], 0.9),
        (1.0, [1.1], 0.22),
        (-2.0, [-2.0123], 0.027),
    ],
)
def test_tolerances(value: float, repeats: list[float], expected: float) -> None:
    assert tolerance(value, repeats) == pytest.approx(expected, rel=1e-6)


def test_repeats_that_say_nothing_are_refused(baseline: Path, tmp_path: Path) -> None:
    now = tmp_path / "results"
    with pytest.raises(DubbenchError, match="repeat has no value of radio grid first_frame lmd"):
        compare(baseline, [now], accepting=True, repeats=[results(tmp_path / "other", lmd=None)])
    with pytest.raises(DubbenchError, match="no tolerance covers that"):
        compare(baseline, [now], accepting=True, repeats=[results(tmp_path / "other", psnr=INF)])
    assert main(["compare", str(baseline), str(now), "--repeats", str(now)]) == 1


def test_a_folder_of_results_folders_is_all_of_them(baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    results(tmp_path / "runs/first")
    other = results(tmp_path / "runs/second") / "summary.csv"
    other.write_text(other.read_text().replace("radio", "talkie"))
    assert main(["compare", str(baseline), str(tmp_path / "runs"), "--accept"]) == 0
    assert len(baseline.read_text().splitlines()) == 9


def test_both_ends_may_differ_by_their_noise_between_folders(tmp_path: Path) -> None:
    baseline, folders = tmp_path / "baseline.csv", []
    for k, psnr in enumerate((30.0, 30.04)):
        path = results(tmp_path / f"r{k}", psnr) / "summary.csv"
        path.write_text(path.read_text().replace("radio", "copy_reference"))
        folders.append(path)
    assert compare(baseline, folders, accepting=True) == 0
    assert "copy_reference,grid,first_frame,psnr,30,0.05" in baseline.read_text()


def test_the_differences_can_be_kept_as_markdown(baseline: Path, tmp_path: Path) -> None:
    words = ["compare", str(baseline), str(results(tmp_path / "now", psnr=29.9)), "--markdown", str(tmp_path / "d.md")]
    assert main(words) == 1
    assert "| worse | radio grid first_frame psnr | 30 | 29.9 | 0.05 |" in (tmp_path / "d.md").read_text()


def test_the_repositorys_baseline_notices_twice_its_tolerances() -> None:
    golden = read_baseline(ROOT / "tests/data/baseline.csv")
    assert {model for model, *_ in golden} >= {"radio_tiny", "personatalk_tiny", "realtalk_tiny", "g4g_tiny"}
    for key, score in golden.items():
        worse = -2 * (score.atol or 1.0) * (1 if score.better == "higher" else -1)
        if isfinite(score.value):
            assert verdict(score, replace(score, value=score.value + worse)) == "worse", key
            assert verdict(score, replace(score, value=score.value + worse / 4 * (score.atol > 0))) == "ok", key
        assert verdict(score, replace(score, value=NAN)) == "nan"
        assert verdict(score, replace(score, protocol_hash="another")) == "protocol"
