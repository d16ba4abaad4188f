"""Whose face ``dubbench score`` looks at where there are two, and which frames count."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dubbench.cli import main
from dubbench.datamodules.demo.portraits import ASTRONAUT
from dubbench.evaluation.evaluate import evaluate
from dubbench.media.video import read_frames
from tests import talking
from tests.data.people import Person, film
from tests.data.speakers import MIRRORED
from tests.data.videos import blank, portraits, write

LEFT, RIGHT = Person(ASTRONAUT, 150, 140, 110), Person(MIRRORED, 420, 140, 130)
Score = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Score:
    """Scores two people of whom the left one's mouth was changed; gives status, table and the clip's record."""
    monkeypatch.setenv("DUBBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "150")
    images = film(4, 280, 560, LEFT, RIGHT)
    talking.write(tmp_path / "target.mkv", images)
    changed = [image.copy() for image in images]
    for image in changed:
        image[155:185, 125:175] //= 2
    talking.write(tmp_path / "pred.mkv", changed)
    talking.write(tmp_path / "short.mkv", changed[:3])

    def run(pred: str, *words: str) -> tuple[int, str, dict[str, Any]]:
        sides = ["--pred", str(tmp_path / f"{pred}.mkv"), "--target", str(tmp_path / "target.mkv")]
        out = tmp_path / "out.json"
        status = main(["score", *sides, "--device", "cpu", "--metrics", "psnr", "--json", str(out), *words])
        return status, capsys.readouterr().out, json.loads(out.read_text())["clips"]["target"]

    return run


def test_one_person_is_followed_and_more_are_told(score: Score) -> None:
    status, out, clip = score("pred")
    assert (status, clip["values"]["psnr"], clip["several"]) == (0, "inf", 4), "the right face is larger"
    assert 110 < clip["face"] < 190
    assert "more than one face in 4 of 4 frames (1 of 1 clip): the one that is largest at first is scored" in out
    status, out, clip = score("pred", "--faces", "100,80,100,130")
    assert (status, clip["several"]) == (0, 4)
    assert 10 < clip["values"]["psnr"] < 30, "the left face's mouth is another"
    assert "the one in the box is scored" in out
    status, out, clip = score("pred", "--faces", "one")
    assert status == 1
    assert clip["failure"] == "two faces in 4 of 4 frames; --faces largest follows the larger one"


def test_a_small_face_in_the_box_beside_a_large_one(tmp_path: Path, score: Score) -> None:
    """The first look finds the large face alone; also with landmarks from the cache, which has another entry."""
    large, small = Person(MIRRORED, 1300, 500, 400), Person(ASTRONAUT, 300, 300, 70)
    images = film(2, 1080, 1920, large, small)
    talking.write(tmp_path / "target.mkv", images)
    for image in images:
        image[315:330, 290:310] //= 2
    talking.write(tmp_path / "pred.mkv", images)
    _, _, clip = score("pred")
    assert (clip["values"]["psnr"], clip["several"]) == ("inf", 0)
    for _ in range(2):
        status, _, clip = score("pred", "--faces", "250,240,100,120")
        assert (status, clip["several"]) == (0, 2)
        assert 10 < clip["values"]["psnr"] < 40
        assert 50 < clip["face"] < 120


def test_the_table_says_how_many_frames_were_compared(score: Score) -> None:
    for words in ((), ("--length", "prefix")):
        _, out, clip = score("short", *words)
        assert (clip["frames"], clip["shown"]) == (3, 4)
        (row,) = [line.split() for line in out.splitlines() if "frames_compared" in line]
        assert row == ["frames_compared", "frames", "3", "1"]
        assert "target: 3 of 4 frames were compared" in out
    assert "frames_compared" not in score("pred")[1]


def test_the_reference_is_the_first_frame_with_a_face(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clip begins with three grey frames: copying frame 0 would copy grey, and so would natives' draws."""
    write(tmp_path / "corpus" / "ann" / "late.mp4", [*blank(3), *portraits(9)])
    root = tmp_path / "prepared"
    words = ["--dataset", "folder", "--root", str(tmp_path / "corpus"), "--out", str(root), "--size", "128"]
    assert main(["prepare", *words, "--split", "clip"]) == 0
    capsys.readouterr()
    manifest = pd.read_parquet(root / "manifest.parquet")
    size = json.loads((root / "ann" / "late" / "clip.json").read_text())["face"]
    assert manifest["face"].tolist() == [size]
    assert 30 < size < 70, "the photograph's face is a third of its 128 px"
    out = evaluate(root, {}, out=tmp_path / "results", split=str(manifest["split"][0]))
    assert json.loads((out / "run.json").read_text())["first_frames"] == {"ann/late": 3}
    places = out / "videos" / "copy_reference" / "ann" / "late.mp4", tmp_path / "corpus" / "ann" / "late.mp4"
    copied, source = (list(read_frames(path))[3].astype(float) for path in places)
    assert np.abs(copied - source)[64:].mean() < 8, "frame 3 has its own lower half, and no grey one"
