"""Curves, posters and failures of the page as it is written; a browser looks at them in ``test_page_looks``."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.board.test_leaderboard_files import SCORES
from tests.board.test_page import Page, made
from tests.boards import Curves, clip_names, results, video, videos

WAVE = [round(0.1 + 0.1 * float(np.sin(0.4 * k)), 4) for k in range(25)]
TWO = {name: SCORES[name] for name in ("ground_truth", "good")}


def recorded(*clips: str, **more: Curves) -> dict[str, dict[str, Curves]]:
    """The source's wave, and a method that has it three frames late and one frame without a face."""
    late: list[float | None] = [*WAVE[:3], None, *WAVE[1:-3]]
    return {
        method: {clip: {"opening": own, **more.get(method, {})} for clip in clips or clip_names(8)}
        for method, own in (("ground_truth", list[float | None](WAVE)), ("good", late))
    }


def lines(found: Page, name: str) -> list[str]:
    return [path["d"] for path in found.all("path") if path.get("class") == name]


def marks(line: str) -> list[list[tuple[int, int]]]:
    """Runs of (frame, ten-thousandths) of a path."""
    runs = [[int(each) for each in run.split()] for run in re.sub(r"h0|z", "", line).split("M") if run]
    return [list(zip(run[::2], run[1::2], strict=True)) for run in runs]


def data(page: Path) -> list[dict[str, Any]]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page.read_text())
    return list(json.loads(found[0]))


def picture(uri: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    head, _, text = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_lines_are_the_recorded_numbers_with_gaps(tmp_path: Path) -> None:
    folder = results(tmp_path / "run", TWO, curves=recorded())
    videos(folder, list(TWO), clip_names(1), 1.0)
    _, found = made(tmp_path, folder)
    own = [marks(line) for line in lines(found, "own")]
    late = recorded()["good"][clip_names(1)[0]]["opening"]
    assert own[0] == [[(k, round(10_000 * value)) for k, value in enumerate(WAVE)]]
    assert [frame for run in own[1] for frame, _ in run] == [0, 1, 2, *range(4, 25)]
    assert [up for run in own[1] for _, up in run] == [round(10_000 * value) for value in late if value is not None]
    (area,) = marks(lines(found, "speaker")[1])
    assert area == [(0, 0), *own[0][0], (24, 0)]
    assert lines(found, "source") == ["", ""]
    told = [svg["aria-label"] for svg in found.all("svg") if "preserveaspectratio" in svg]
    assert told[1].startswith(
        "good: 0 to 20 % of the distance of the outer eye corners, 1 frames without a face; the so"
    )
    assert "inner lips (landmarks 62 and 66 of the 68)" in found.text()


def test_another_clips_speech_has_its_own_shape(tmp_path: Path) -> None:
    clip, other = clip_names(2)
    speaker: Curves = {"driver": [0.2, 0.1, None, 0.15]}
    folder = results(tmp_path / "run", TWO, curves=recorded(clip, ground_truth=speaker), protocol="cross")
    (folder / "pairing.csv").write_text(f"clip,driving\n{clip},{other}\n")
    videos(folder, list(TWO), [clip], 1.0)
    _, found = made(tmp_path, folder)
    assert marks(lines(found, "speaker")[1]) == [[(0, 0), (0, 2000), (1, 1000), (1, 0)], [(3, 0), (3, 1500), (3, 0)]]
    assert marks(lines(found, "source")[1]) == marks(lines(found, "own")[0])
    assert "the clip whose speech drives the methods" in found.text()
    assert any(f"{other}, who speaks: 10 to 20 %" in svg.get("aria-label", "") for svg in found.all("svg"))


def test_results_without_curves_make_a_page_that_says_so(tmp_path: Path) -> None:
    folder = results(tmp_path / "run", TWO)
    videos(folder, list(TWO), clip_names(1), 0.4)
    _, found = made(tmp_path, folder)
    assert "Not recorded: how far the mouth is open in clips of ground_truth, good" in found.text()
    assert "A method that hears" not in found.text()
    assert [("hidden" in box) for box in found.all("div") if box.get("class") == "curve"] == [True, True]
    curves = recorded()
    del curves["good"]  # what lies there instead is damaged
    partly = results(tmp_path / "partly", TWO, curves=curves)
    videos(partly, list(TWO), clip_names(1), 0.4)
    (partly / "parts" / "good" / "s1").mkdir(parents=True)
    (partly / "parts" / "good" / "s1" / "c000.json").write_text('{"curves": [1, "x"], "values": {}}')
    _, found = made(tmp_path, partly)
    assert "Not recorded: how far the mouth is open in clips of good; their results" in found.text()
    assert "A method that hears" in found.text()


def test_long_clips_are_drawn_by_means_and_stay_small(tmp_path: Path) -> None:
    clip = clip_names(1)[0]
    long: list[float | None] = [0.1 if k % 2 else 0.3 for k in range(90_000)]
    curves = {"ground_truth": {clip: {"opening": long}}, "good": {clip: {"opening": long}}}
    folder = results(tmp_path / "run", TWO, curves=curves)
    videos(folder, list(TWO), [clip], 0.4)
    page, found = made(tmp_path, folder)
    (run,) = marks(lines(found, "own")[0])
    assert {up for _, up in run} == {2000}
    assert len(run) == 1000
    assert page.stat().st_size < 300_000


def test_posters_show_the_mouth_at_its_widest(tmp_path: Path) -> None:
    """Frame k of the videos is a grey of its shade + 3 k; the wave is highest in frame 4."""
    folder = results(tmp_path / "run", TWO, curves=recorded())
    videos(folder, list(TWO), clip_names(1), 1.0)
    page, found = made(tmp_path, folder)
    (first,) = data(page)
    assert [element["poster"] for element in found.all("video")] == first["posters"]
    shown = [picture(uri) for uri in first["posters"]]
    assert [own.shape for own in shown] == [(64, 80, 3)] * 2
    assert [float(own.mean()) for own in shown] == pytest.approx([12, 52], abs=4)
    assert first["ratio"] == 80 / 64
    _, found = made(tmp_path, results(tmp_path / "old", TWO))
    assert not found.all("video")


def test_a_poster_without_curves_is_the_middle_and_crowds_get_small_ones(tmp_path: Path) -> None:
    methods = [f"m{place}" for place in range(60)]
    folder = results(tmp_path / "run", {name: {"lmd": [1.0, 2.0]} for name in methods})
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    from dubbench.media.writer import VideoWriter

    for clip in clip_names(2):
        path = folder / "videos" / methods[0] / f"{clip}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with VideoWriter(path, 640, 480) as writer:
            for k in range(9):
                writer.write(noise if k == 4 else np.zeros_like(noise))
        for name in methods[1:]:
            copy = folder / "videos" / name / f"{clip}.mp4"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    page, _ = made(tmp_path, folder, words=("--clips", "1"))
    (first,) = data(page)
    sides = {picture(uri).shape for uri in first["posters"]}
    assert len(sides) == 1
    ((height, width, _),) = sides
    assert (height / width, width < 320) == (0.75, True)
    assert picture(first["posters"][0]).mean() > 60
    assert page.stat().st_size < 3_000_000


def test_a_video_that_cannot_be_read_is_counted_with_its_reason(tmp_path: Path) -> None:
    folder = results(tmp_path / "run", TWO, curves=recorded())
    videos(folder, list(TWO), clip_names(1), 1.0)
    whole = (folder / "videos" / "good" / "s1" / "c000.mp4").read_bytes()
    (folder / "videos" / "good" / "s1" / "c000.mp4").write_bytes(whole[: len(whole) // 2])
    page, found = made(tmp_path, folder)
    assert "What is missing: 0 failures, 0 clips, 0 metrics, 1 videos" in found.text()
    assert re.search(r"Videos that are there and cannot be shown .* good s1/c000 \S+ is .*truncated", found.text())
    (first,) = data(page)
    assert [bool(uri) for uri in first["posters"]] == [bool(url) for url in first["urls"]] == [True, False]
    assert "truncated" in first["notes"][1]
    assert first["rows"][1]


def test_links_name_tables_by_what_they_are_of(tmp_path: Path) -> None:
    one = results(tmp_path / "one", TWO, protocol="a b&c")
    two = results(tmp_path / "two", TWO, protocol="a b&c", split_hash="s2")
    video(one / "videos" / "good" / "s1" / "c000.mp4", 0.2)
    for places in ((one,), (two, one)):
        _, found = made(tmp_path, *places)
        links = {anchor["href"] for anchor in found.all("a")}
        assert "#table=table-grid-a-b-c-p1-s1&metric=lmd" in links
        assert "#table=table-grid-a-b-c-p1-s1&clip=s1/c000" in links
        assert "table-grid-a-b-c-p1-s1" in {section.get("id") for section in found.all("section")}
