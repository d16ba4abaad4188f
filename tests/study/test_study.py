"""Opinion studies: who sees what, what the page gives away, and what answers come to."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dubbench.cli import main
from dubbench.errors import DubbenchError
from dubbench.media.video import read_frames
from dubbench.study.answers import Rating
from dubbench.study.design import design, williams
from dubbench.study.score import Estimate, estimates, krippendorff
from tests import filmed, talking

CLIPS = ["s1/bbaf", "s1/lgiz", "s2/pwij"]
METHODS = ["ground_truth", "dinet", "wav2lip"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filmed.results(tmp_path_factory.mktemp("study") / "results", [*METHODS, "copy_reference"], CLIPS)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7])
def test_methods_stand_everywhere_and_follow_each_other_equally_often(count: int) -> None:
    rows = williams(count)
    assert all(sorted(row) == list(range(count)) for row in rows)
    places = Counter((k, method) for row in rows for k, method in enumerate(row))
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert len(set(places.values())) == len(set(follows.values())) == 1
    assert len(follows) == count * (count - 1)


@pytest.mark.parametrize(
    ("methods", "clips", "per_rater", "period"),
    [(3, 10, None, 1), (2, 2, None, 1), (4, 6, 8, 3), (5, 20, 20, 5), (3, 20, 9, 20), (6, 3, None, 1), (5, 7, 25, 7)],
)
def test_everybody_sees_each_method_equally_often_and_no_clip_twice_in_a_row(
    methods: int, clips: int, per_rater: int | None, period: int
) -> None:
    orders = design(methods, clips, 2 * period, per_rater, seed=3)
    count = per_rater or methods * clips
    for order in orders:
        assert len(order) == len(set(order)) == count
        assert set(Counter(method for method, _ in order).values()) == {count // methods}
        seen = Counter(clip for _, clip in order)
        assert max(seen.values()) - min(seen[clip] for clip in range(clips)) <= 1
        assert all(one[1] != other[1] for one, other in pairwise(order))
        for block in range(0, count, methods):
            assert sorted(method for method, _ in order[block : block + methods]) == list(range(methods))
    pairs = Counter(item for order in orders for item in order)
    assert len(pairs) == methods * clips
    assert len(set(pairs.values())) == 1


def test_orders_go_by_seed_and_rater() -> None:
    orders = design(3, 10, 6, None, seed=1)
    assert orders == design(3, 10, 9, None, seed=1)[:6]
    assert orders != design(3, 10, 6, None, seed=2)
    assert len({tuple(order) for order in orders}) == 6
    assert len({order[0][0] for order in orders}) == 3


@pytest.mark.parametrize(
    ("methods", "clips", "per_rater", "words"),
    [(3, 1, None, "two clips or more"), (3, 4, 7, "give 6"), (3, 4, 15, "give 12"), (3, 4, 0, "give 3")],
)
def test_numbers_that_do_not_go_together_are_told(methods: int, clips: int, per_rater: int | None, words: str) -> None:
    with pytest.raises(DubbenchError, match=words):
        design(methods, clips, 5, per_rater, seed=0)


def made(results: Path, out: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The page's data and the key of a study."""
    assert main(["study", "make", str(results), "--out", str(out), "--raters", "6", *options]) == 0
    page = re.search(r'id="study">(.*?)</script>', (out / "index.html").read_text(), re.S)
    assert page is not None
    return json.loads(page[1]), json.loads(out.with_name(f"{out.name}.key.json").read_text())


def test_neither_page_nor_files_tell_whose_videos_they_are(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    page, key = made(results, out, "--title", "A </script> title")
    told = capsys.readouterr().out
    assert "3 methods (ground_truth, dinet, wav2lip), 3 clips" in told
    assert "each of 6 raters sees 9 videos" in told
    assert page["title"] == "A </script> title"
    names = sorted(path.stem for path in (out / "videos").iterdir())
    assert names == page["items"] == sorted(key["items"])
    assert all(re.fullmatch(r"[0-9a-f]{12}", name) for name in [*names, page["study"]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study", "study.key.json"]
    for path in out.rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        for word in (*METHODS, *CLIPS, key["secret"], "lavf"):
            assert word.encode() not in content, (path, word)
    assert not re.search(r"https?:|src=|href=", (out / "index.html").read_text())
    assert {path.stat().st_mtime for path in (out / "videos").iterdir()} == {0}
    for order in page["orders"]:
        assert sorted(order) == list(range(9))


def test_the_key_says_which_video_is_whose(results: Path, tmp_path: Path) -> None:
    _, key = made(results, tmp_path / "study")
    owners = {(item["method"], item["clip"]): name for name, item in key["items"].items()}
    assert len(owners) == 9
    for (method, clip), name in owners.items():
        pairs = zip(
            read_frames(tmp_path / "study" / "videos" / f"{name}.mp4"),
            read_frames(results / "videos" / method / f"{clip}.mp4"),
            strict=True,
        )
        assert all(np.array_equal(copy, own) for copy, own in pairs)
    _, other = made(results, tmp_path / "other")
    assert not key["items"].keys() & other["items"].keys()
    assert key["study"] != other["study"]


def test_options_choose_methods_clips_questions_and_share(results: Path, tmp_path: Path) -> None:
    page, key = made(
        results,
        tmp_path / "a",
        "--without_ground_truth",
        "--clips",
        "2",
        "--per_rater",
        "2",
        "--questions",
        "personatalk",
    )
    assert {item["method"] for item in key["items"].values()} == {"dinet", "wav2lip"}
    assert [len(order) for order in page["orders"]] == [2] * 6
    assert [question["key"] for question in page["questions"]] == ["visual", "sync", "persona"]
    again, twin = made(
        results, tmp_path / "b", "--clips", "2", "--methods", "copy_reference", "--questions", "visual", "--seed", "5"
    )
    assert {item["method"] for item in twin["items"].values()} == {"ground_truth", "copy_reference"}
    assert [question["key"] for question in again["questions"]] == ["visual"]
    assert again["seed"] == 5


def test_a_study_is_never_overwritten(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(results, tmp_path / "study")
    key = (tmp_path / "study.key.json").read_bytes()
    assert main(["study", "make", str(results), "--out", str(tmp_path / "study")]) == 1
    assert "exists; answers to it need its key" in capsys.readouterr().err
    assert (tmp_path / "study.key.json").read_bytes() == key


def test_foreign_videos_are_made_playable_and_nameless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "theirs"
    for clip in CLIPS[:2]:
        grey = [np.full((48, 64, 3), 90, np.uint8)] * filmed.FRAMES
        talking.write(theirs / f"{clip.replace('/', '__')}.mkv", grey, np.zeros(filmed.FRAMES * 640, np.float32))
    folder = filmed.results(tmp_path / "results", ["ground_truth", "dinet"], CLIPS, {"theirs": theirs})
    tagged = folder / "videos/dinet/s1/bbaf.mp4"
    plain = tagged.read_bytes()
    filmed.film(tagged.with_name("x.mp4"), filmed.COLOURS["dinet"]).replace(tagged)
    assert tagged.read_bytes() == plain
    with av.open(str(tagged)) as source, av.open(str(tagged.with_name("y.mp4")), "w") as copy:
        copy.metadata["title"] = "made by dinet"
        streams = [copy.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)
    tagged.with_name("y.mp4").replace(tagged)
    assert b"made by dinet" in tagged.read_bytes()
    _, key = made(folder, tmp_path / "study", "--video_root", str(theirs))
    told = capsys.readouterr().out
    assert "1 clips that not every method has are left out: s2/pwij" in told
    assert "2 videos were encoded again" in told
    for name in key["items"]:
        path = tmp_path / "study" / "videos" / f"{name}.mp4"
        assert b"made by" not in path.read_bytes()
        with av.open(str(path)) as container:
            assert [stream.codec.canonical_name for stream in container.streams] == ["h264", "aac"]


def test_a_silent_video_is_told_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = filmed.results(tmp_path / "results", ["ground_truth", "dinet"], CLIPS)
    filmed.film(folder / "videos/dinet/s1/bbaf.mp4", (1, 2, 3), sound=False)
    assert main(["study", "make", str(folder), "--out", str(tmp_path / "study")]) == 1
    assert "has no sound, so nobody can judge its lips" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


Values = Callable[[int, str, str, str, int], int]


def answered(
    page: dict[str, Any], key: dict[str, Any], rater: int, value: Values, count: int | None = None
) -> dict[str, Any]:
    """What the page saves of a rater who gives ``value(rater, method, clip, question, position)``."""
    order = [page["items"][k] for k in page["orders"][rater - 1]]
    questions = [question["key"] for question in page["questions"]]
    items = []
    for position, name in enumerate(order[:count], 1):
        owner = key["items"][name]
        answers = {asked: value(rater, owner["method"], owner["clip"], asked, position) for asked in questions}
        items.append(
            {"id": name, "position": position, "answers": answers, "failed": False, "plays": 1, "seconds": 9.0}
        )
    return {
        "form": 1,
        "study": page["study"],
        "rater": rater,
        "started": f"2024-01-0{rater}",
        "saved": f"2024-02-0{rater}",
        "total": len(order),
        "complete": count is None,
        "items": items,
    }


def table(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    with path.open() as file:
        return {(r["statistic"], r["question"], r["method"], r["against"]): r for r in csv.DictReader(file)}


def test_means_differences_and_what_cannot_be_used(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    page, key = made(results, tmp_path / "study")
    base = {"ground_truth": 5, "dinet": 3, "wav2lip": 2}

    def value(rater: int, method: str, clip: str, question: str, position: int) -> int:
        return base[method] - (question == "sync" and method == "dinet" and rater == 2)

    folder = tmp_path / "answers"
    folder.mkdir()
    early = answered(page, key, 1, lambda *_: 1) | {"saved": "2024-01-01", "started": "2023"}
    foreign = answered(page, key, 4, value) | {"study": "0" * 12}
    spoilt = answered(page, key, 5, lambda *_: 6)
    files = [answered(page, key, 1, value), answered(page, key, 2, value), answered(page, key, 3, value, 4)]
    for name, content in zip("abcdef", [*files, early, foreign, spoilt], strict=True):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "g.json").write_text("{")
    out = tmp_path / "scores.csv"
    capsys.readouterr()
    assert main(["study", "score", str(folder), "--key", str(tmp_path / "study.key.json"), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    rows = table(out)
    assert {name[1] for name in rows} == {"visual", "sync", "realness"}
    mean = rows["mean", "visual", "dinet", ""]
    assert (mean["value"], mean["ci_low"], mean["ci_high"], mean["raters"]) == ("3", "3", "3", "3")
    seen = [key["items"][item["id"]]["method"] for item in files[2]["items"]]
    assert mean["ratings"] == str(6 + seen.count("dinet"))
    sync = rows["mean", "sync", "dinet", ""]
    assert float(sync["value"]) == pytest.approx(3 - 3 / (6 + seen.count("dinet")), abs=1e-5)
    assert float(sync["ci_low"]) < float(sync["value"]) < float(sync["ci_high"])
    assert rows["difference", "visual", "dinet", "wav2lip"]["value"] == "1"
    assert rows["alpha", "visual", "", ""]["value"] == "1"
    assert 0 < float(rows["alpha", "sync", "", ""]["value"]) < 1
    assert "answer files: 2 complete, 1 incomplete, 1 double, 1 foreign, 2 damaged" in told
    assert "c.json is incomplete: 4 of 9 videos; they count" in told
    assert "d.json is left out: rater 1 saved a.json after it, begun at another time: another person?" in told
    assert "e.json is left out: it answers another study" in told
    assert "bootstrap over raters and clips" in told
    ours, _, theirs = told.partition("RealTalk, Table 3")
    assert "as printed in its paper" in theirs
    assert "3.77" in theirs
    assert "3.77" not in ours
    assert "1.478" in told
    assert "* ground_truth" in told


def test_answers_that_do_not_count_at_all_are_one_sentence(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(results, tmp_path / "study")
    (tmp_path / "x.json").write_text("[]")
    key, out = str(tmp_path / "study.key.json"), str(tmp_path / "o.csv")
    assert main(["study", "score", str(tmp_path / "x.json"), "--key", key, "--out", out]) == 1
    assert "not one rating counts" in capsys.readouterr().err
    assert main(["study", "score", str(tmp_path / "x.json"), "--key", str(tmp_path / "x.json"), "--out", out]) == 1
    assert "is no study's key" in capsys.readouterr().err


def test_alpha_of_the_published_example() -> None:
    """Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, ordinal 0.815."""
    observers = ["1233214 12***".replace(" ", ""), "1233224125*3", "*3332342251*", "12332441251*"]
    units = [[int(value) for value in column if value != "*"] for column in zip(*observers, strict=True)]
    assert krippendorff(units) == pytest.approx(0.815, abs=5e-4)
    assert np.isnan(krippendorff([[3, 3], [3, 3]]))
    assert np.isnan(krippendorff([[1], [5]]))
    assert krippendorff([[1, 5], [5, 1], [1, 5]]) < 0


def ratings(value: Values, raters: int = 8, clips: int = 6, methods: tuple[str, ...] = ("a", "b")) -> Iterator[Rating]:
    for rater in range(raters):
        for k, clip in enumerate(map(str, range(clips))):
            for m, method in enumerate(methods):
                position = 1 + k * len(methods) + m
                given = value(rater, method, clip, "visual", position)
                yield Rating(rater, method, clip, "visual", given, position, clips * len(methods))


def of(found: list[Estimate], statistic: str, method: str = "") -> Estimate:
    return next(each for each in found if (each.statistic, each.method) == (statistic, method))


def test_a_difference_is_paired_over_raters_and_clips() -> None:
    draw = np.random.default_rng(0)
    strict, easy = draw.integers(0, 3, 8), draw.integers(0, 2, 6)
    found = estimates(
        list(ratings(lambda r, m, c, q, p: int(1 + (m == "a") + strict[r] + easy[int(c)]))), ["visual"], ["a", "b"]
    )
    assert of(found, "mean", "a").ci_high - of(found, "mean", "a").ci_low > 0.5
    difference = of(found, "difference", "a")
    assert (difference.value, difference.ci_low, difference.ci_high) == pytest.approx((1, 1, 1))


def test_intervals_are_those_of_drawing_raters_and_clips() -> None:
    draw = np.random.default_rng(1)
    values = draw.integers(1, 6, (8, 6))
    found = estimates(list(ratings(lambda r, m, c, q, p: int(values[r, int(c)]), methods=("a",))), ["visual"], ["a"])
    slow = [values[draw.integers(0, 8, 8)][:, draw.integers(0, 6, 6)].mean() for _ in range(4000)]
    mean = of(found, "mean", "a")
    assert mean.value == pytest.approx(values.mean())
    assert (mean.ci_low, mean.ci_high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.06)
    only = [rating for rating in ratings(lambda r, m, c, q, p: 2 + r % 2, methods=("a",)) if rating.clip == "0"]
    alone = of(estimates(only, ["visual"], ["a"]), "mean", "a")
    assert (alone.value, alone.clips) == (2.5, 1)
    assert 2 <= alone.ci_low < 2.5 < alone.ci_high <= 3


def test_drift_is_told_from_differences_of_methods() -> None:
    found = estimates(list(ratings(lambda r, m, c, q, p: 4 - (p > 6) - (m == "b"))), ["visual"], ["a", "b"])
    drift = of(found, "drift")
    assert (drift.value, drift.ci_low, drift.ci_high) == pytest.approx((-1, -1, -1))
