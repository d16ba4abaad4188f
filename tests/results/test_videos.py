"""Which video is which clip's: the rule, and the same refusal wherever videos are scored or shown."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from dubbench.cli import main
from dubbench.results.videos import ids_of, match
from tests import filmed, talking
from tests.boards import results as board
from tests.boards import video

REFUSAL = "several videos match this clip: s1/a.mp4 and s1__a.mp4; leave one"


@pytest.mark.parametrize(
    ("clips", "names", "found", "ambiguous", "strangers"),
    [
        (["s1/a"], ["s1/a.mp4"], {"s1/a": "s1/a.mp4"}, [], []),
        (["s1/a"], ["s1__a.MOV"], {"s1/a": "s1__a.MOV"}, [], []),
        (["s1__a"], ["s1/a.mp4"], {"s1__a": "s1/a.mp4"}, [], []),
        (["a/b/c"], ["a/b__c.mp4"], {"a/b/c": "a/b__c.mp4"}, [], []),
        (["a"], ["b/a.mp4", "a.b.mp4"], {}, [], ["a.b.mp4", "b/a.mp4"]),
        (["a.b"], ["a.b.mp4"], {"a.b": "a.b.mp4"}, [], []),
        # Two videos of one clip: nobody knows which is meant.
        (["s1/a", "b"], ["s1__a.mp4", "s1/a.mp4", "b.mp4"], {"b": "b.mp4"}, ["s1/a"], []),
        (["a"], ["a.mp4", "a.avi"], {}, ["a"], []),
        # Clips that keep their file's suffix.
        (["a.mp4", "a.avi"], ["a.mp4", "a.avi"], {"a.mp4": "a.mp4", "a.avi": "a.avi"}, [], []),
        (["a.mp4", "a.avi"], ["a.mp4.mp4", "a.mov"], {"a.mp4": "a.mp4.mp4"}, [], ["a.mov"]),
        (["a.mp4"], ["a.mp4", "a.mp4.mkv"], {}, ["a.mp4"], []),
        (["a", "a.mp4"], ["a.mp4"], {"a": "a.mp4"}, [], []),
        (["a", "a.mp4"], ["a.mp4", "a.mp4.avi"], {"a": "a.mp4", "a.mp4": "a.mp4.avi"}, [], []),
        # Clips that differ in their spelling alone.
        (["s1/a", "s1__a"], ["s1/a.mp4", "s1__a.mp4"], {"s1/a": "s1/a.mp4", "s1__a": "s1__a.mp4"}, [], []),
        (["s1/a", "s1__a"], ["s1__a.mp4"], {"s1__a": "s1__a.mp4"}, [], []),
        (["a/b__c", "a__b/c"], ["a__b__c.mp4"], {}, [], ["a__b__c.mp4"]),
    ],
)
def test_the_rule(
    clips: list[str], names: list[str], found: dict[str, str], ambiguous: list[str], strangers: list[str]
) -> None:
    matches = match(clips, names)
    assert (matches.found, list(matches.ambiguous), matches.strangers) == (found, ambiguous, strangers)
    assert matches.missing == [clip for clip in clips if clip not in found and clip not in ambiguous]
    assert all(not matches.refusal(clip) for clip in found)
    assert all("several videos match" in matches.refusal(clip) for clip in ambiguous)
    assert all(f"name it {clip}.mp4" in matches.refusal(clip) for clip in matches.missing)


def test_ids_of_videos_keep_the_suffix_where_it_tells_them_apart() -> None:
    names = ["s1/a.mp4", "s1__a.mp4", "b.mp4", "b.avi", "c.d.mkv"]
    assert list(ids_of(names).values()) == ["s1/a", "s1__a", "b.mp4", "b.avi", "c.d"]


def twins(folder: Path) -> Path:
    """``s1/a.mp4`` beside ``s1__a.mp4``, of different colours."""
    filmed.film(folder / "s1/a.mp4", (9, 9, 9))
    filmed.film(folder / "s1__a.mp4", (99, 99, 99))
    return folder


def test_eval_fails_the_clip(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, rules = tmp_path / "theirs", tmp_path / "psnr.yaml"
    rules.write_text("base: first_frame\nmetrics: {psnr: 2}\n")
    for name in ("ann/one.mkv", "ann__one.mkv", "ann__two.mkv"):
        talking.write(theirs / name, list(talking.frames("ann/two" if "two" in name else "ann/one")))
    (theirs / "notes.txt").write_text("none")
    (theirs / "half.mp4.work").mkdir()
    words = ["eval", "--videos", str(theirs), "--dataset", "folder", "--dataset.root", str(prepared)]
    assert main([*words, "--protocol", str(rules), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    methods = json.loads((tmp_path / "out/run.json").read_text())["methods"]["theirs"]
    assert methods["failed"]["ann/one"] == "several videos match this clip: ann/one.mkv and ann__one.mkv; leave one"
    assert "ann/two" not in methods["failed"]
    assert methods["unmatched"] == []
    assert methods["ignored"] == {"of an unfinished dubbing": 1, ".txt": 1}
    said = capsys.readouterr().err
    assert "theirs: 2 files ignored: 1 .txt, 1 of an unfinished dubbing" in said
    assert f"source videos: below {json.loads((prepared / 'dataset.json').read_text())['root']}, as {prepared}" in said


def test_score_fails_the_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = [np.asarray(image, np.uint8) for image in talking.frames("ann/two")]
    for name in ("pred/s1/a.mkv", "pred/s1__a.mkv", "pred/s1/b.mkv", "target/s1/a.mkv", "target/s1/b.mkv"):
        talking.write(tmp_path / name, images)
    (tmp_path / "pred/.hidden.mkv").write_bytes(b"")
    words = ["score", "--pred", str(tmp_path / "pred"), "--target", str(tmp_path / "target"), "--metrics", "mse"]
    assert main([*words, "--device", "cpu", "--json", str(tmp_path / "x.json")]) == 0
    told = json.loads((tmp_path / "x.json").read_text())
    assert told["clips"]["s1/a"]["failure"] == REFUSAL.replace("mp4", "mkv")
    assert told["counts"] == {"pairs": 2, "scored": 1, "failed": 1}
    assert told["unmatched"] == {"pred": [], "target": []}
    assert told["ignored"] == {"pred": {"hidden": 1}, "target": {}}
    said = capsys.readouterr().out
    assert f"s1/a: {REFUSAL.replace('mp4', 'mkv')}" in said
    assert "pred: 1 file ignored: 1 hidden" in said
    shutil.rmtree(tmp_path / "pred/s1")
    (tmp_path / "pred/s1__a.avi").write_bytes((tmp_path / "pred/s1__a.mkv").read_bytes())
    assert main([*words, "--device", "cpu"]) == 1, "not a single clip could be scored"
    assert "failed, 1 of 1 clip" in capsys.readouterr().out


def test_ids_without_a_corpus_are_unique() -> None:
    names = ["a.mp4", "a.avi", "a.mp4.mp4", "b.mkv"]
    assert ids_of(names) == {"a.mp4": "a.mp4", "a.avi": "a.avi", "a.mp4.mp4": "a.mp4.mp4", "b.mkv": "b"}


@pytest.mark.parametrize("verb", ["strip", "study"])
def test_what_shows_videos_refuses(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = twins(tmp_path / "theirs")
    folder = filmed.results(tmp_path / "run", ["ground_truth"], ["s1/a", "s1/b"], {"theirs": theirs})
    root = ["--video_root", str(theirs)]
    words = {
        "strip": ["figure", "strip", str(folder), "--clip", "s1/a", "--out", str(tmp_path / "out.png"), *root],
        "study": ["study", "make", str(folder), "--out", str(tmp_path / "out"), *root],
    }
    assert main(words[verb]) == 1
    assert f"{theirs}, s1/a: {REFUSAL}" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))
    (theirs / "s1__a.mp4").unlink()
    filmed.film(theirs / "s1__b.mp4", (9, 9, 9))
    assert main(words[verb]) == 0


def test_a_page_says_why_it_shows_none(tmp_path: Path) -> None:
    theirs = twins(tmp_path / "theirs")
    video(theirs / "s1__c000.mp4", 0.2)
    video(theirs / "s1/c000.mp4", 0.2)
    video(theirs / "s1/c001.mp4", 0.2)
    scores = {"ground_truth": {"psnr": [40.0, 41.0]}, "theirs": {"psnr": [30.0, 31.0]}}
    folder = board(tmp_path / "run", scores, methods={"theirs": {"folder": str(theirs)}})
    video(folder / "videos/ground_truth/s1/c000.mp4", 0.2)
    page = tmp_path / "page.html"
    words = ["--html", str(page), "--video_root", str(theirs)]
    assert main(["leaderboard", str(folder), "--out", str(tmp_path / "w.csv"), *words]) == 0
    found = re.findall(r"several videos match this clip: [^\"<&]*; leave one", page.read_text())
    assert set(found) == {"several videos match this clip: s1/c000.mp4 and s1__c000.mp4; leave one"}
    copies = {re.sub(r"-[0-9a-f]{8}\.mp4", "", path.name) for path in (tmp_path / "page_files").iterdir()}
    assert copies == {"ground_truth-s1_c000", "theirs-s1_c001"}
