from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dubbench.errors import DubbenchError
from dubbench.results.numbers import number
from dubbench.results.rows import ClipResult, interval, read_summary, summarise, write_clips, write_summary

LABELS = {"dataset": "grid", "protocol": "first_frame", "protocol_hash": "abc", "split_hash": "def"}
METRICS = ["psnr", "lmd"]


def result(method: str, clip: str, psnr: float, lmd: float | None, **others: object) -> ClipResult:
    values = {"psnr": psnr} if lmd is None else {"psnr": psnr, "lmd": lmd}
    return ClipResult(method, clip, "f", 75, values=values, **others)  # type: ignore[arg-type]  # free fields of a row


def test_interval_is_the_percentile_bootstrap() -> None:
    data = np.random.default_rng(5).gamma(2.0, 3.0, 40)
    low, high = interval(data.tolist(), 0)
    reference = stats.bootstrap(
        (data,), np.mean, n_resamples=20_000, method="percentile", random_state=np.random.default_rng(1)
    ).confidence_interval
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=0.1)
    assert interval(data.tolist(), 0) == (low, high)
    assert interval(data.tolist(), 1) != (low, high)


def test_interval_at_the_edges() -> None:
    inf = float("inf")
    assert interval([3.0], 0) == (3.0, 3.0)
    assert interval([inf, inf], 0) == (inf, inf)
    low, high = interval([10.0] * 9 + [inf], 0)
    assert (low, high) == (10.0, inf)
    assert np.isnan(interval([], 0)).all()


def test_summary_of_clips() -> None:
    results = [
        result("radio", "a", 30.0, 1.0, missed=2),
        result("radio", "b", 32.0, None, missed=75, notes={"lmd": "no face"}),
        ClipResult("radio", "c", "f", failure="truncated"),
        result("truth", "a", float("inf"), 0.0),
    ]
    rows = {(row.method, row.metric): row for row in summarise(results, METRICS, LABELS, 0)}
    assert list(rows) == [("radio", "psnr"), ("radio", "lmd"), ("truth", "psnr"), ("truth", "lmd")]
    psnr, lmd = rows["radio", "psnr"], rows["radio", "lmd"]
    assert (psnr.value, psnr.count, psnr.missed, psnr.failed) == (31.0, 2, 0, 1)
    assert psnr.std == pytest.approx(np.sqrt(2))
    assert (psnr.ci_low, psnr.ci_high) == (30.0, 32.0)
    assert (psnr.unit, psnr.better, psnr.dataset, psnr.protocol_hash) == ("dB", "higher", "grid", "abc")
    assert (lmd.value, lmd.count, lmd.missed, lmd.failed, lmd.better) == (1.0, 1, 77, 1, "lower")
    assert np.isnan(lmd.std)
    assert rows["truth", "psnr"].value == float("inf")


def test_files_read_back_as_they_were(tmp_path: Path) -> None:
    results = [
        result("radio", "a", 30.123456789, 1.0),
        ClipResult("radio", "b", "f", failure="truncated"),
        result("truth", "a", float("inf"), None),
        ClipResult("radio", "c", "f", 75, values={"psnr": 1.0, "seconds_per_frame": 0.25}),
    ]
    rows = summarise(results, METRICS, LABELS, 0)
    write_summary(tmp_path / "summary.csv", rows)
    again = read_summary(tmp_path)
    assert [row.metric for row in again] == ["psnr", "lmd", "seconds_per_frame", "psnr", "lmd"]
    for row, old in zip(again, rows, strict=True):
        assert number(row.value) == number(old.value)
        assert (row.method, row.count, row.failed, row.better) == (old.method, old.count, old.failed, old.better)
    assert [row.metric for row in read_summary(tmp_path / "summary.csv")] == [row.metric for row in again]
    write_clips(tmp_path / "clips.csv", results, METRICS)
    assert (tmp_path / "clips.csv").read_text().splitlines() == [
        "method,clip,metric,value",
        "radio,a,psnr,30.1235",
        "radio,a,lmd,1",
        "radio,b,psnr,",
        "radio,b,lmd,",
        "truth,a,psnr,inf",
        "truth,a,lmd,",
        "radio,c,psnr,1",
        "radio,c,lmd,",
        "radio,c,seconds_per_frame,0.25",
    ]
    for kept in results:
        kept.write(tmp_path / "part.json")
        assert ClipResult.read(tmp_path / "part.json") == kept


def test_damaged_parts_are_scored_again(tmp_path: Path) -> None:
    assert ClipResult.read(tmp_path / "absent.json") is None
    for text in ("{", "[]", '{"method": "radio"}', '{"values": {"psnr": "high"}}'):
        (tmp_path / "part.json").write_text(text)
        assert ClipResult.read(tmp_path / "part.json") is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",psnr,30,", ",psnr,thirty,", "no number"),
        ("better", "direction", "lacks the column better"),
        (",higher,", ",up,", "higher, lower or empty"),
        (",abc,def", ",abc", "as many cells"),
    ],
)
def test_damaged_summaries_are_sentences(tmp_path: Path, old: str, new: str, words: str) -> None:
    write_summary(tmp_path / "summary.csv", summarise([result("radio", "a", 30.0, 1.0)], METRICS, LABELS, 0))
    text = (tmp_path / "summary.csv").read_text()
    assert old in text
    (tmp_path / "summary.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(DubbenchError, match=words):
        read_summary(tmp_path)


def test_a_folder_without_results_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match=r"holds no results \(no summary.csv\)"):
        read_summary(tmp_path)
