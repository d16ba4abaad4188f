import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

from dubbench.cli import main
from dubbench.results.rows import Pooled
from tests.board.test_leaderboard_files import SCORES
from tests.boards import clip_names, results, video, videos

EVIL = "<script>alert(1)</script>\"'&"
LIMIT = 3_000_000


class Page(HTMLParser):
    """What stands in a page: elements with their attributes, text by element, and whether it is well-formed."""

    VOID = frozenset({"meta", "input", "link", "br", "path", "circle", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.stack: list[str] = []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.VOID or self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.stack[-1] if self.stack else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self) -> str:
        return " ".join(" ".join(text for tag, text in self.texts if tag not in {"style", "script"}).split())


def made(tmp_path: Path, *places: Path, words: tuple[str, ...] = ()) -> tuple[Path, Page]:
    page = tmp_path / "site" / "page.html"
    given = ["leaderboard", *map(str, places), "--out", str(tmp_path / "wide.csv"), "--html", str(page)]
    assert main([*given, *words]) == 0
    return page, Page(page.read_text())


def test_page_is_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    page, found = made(tmp_path, results(tmp_path / "run", SCORES))
    assert sorted(path.name for path in page.parent.iterdir()) == ["page.html"]
    assert not found.all("link")
    assert not found.all("img")
    assert all("src" not in attributes for attributes in found.all("script"))
    assert not re.search(r"url\(|@import|https?://", page.read_text())
    assert len(found.all("h1")) == 1


def test_best_second_best_and_alike_are_marked_in_words_too(tmp_path: Path) -> None:
    _, found = made(tmp_path, results(tmp_path / "run", SCORES))
    texts = [(tag, text.strip()) for tag, text in found.texts if text.strip()]
    assert [text for tag, text in texts if tag == "strong"] == ["best", "1.000", "30.01"]
    assert [text for tag, text in texts if tag == "u"] == ["second best", "30.00", "1.200"]
    told = found.text()
    assert "30.01 best" in told
    assert re.search(
        r"30\.00 second best ≈ not distinguishable from close, the best: p = 0\.\d+ over 8 clips 29\.", told
    )
    assert told.count("≈ not distinguishable") == 1
    order = [
        attributes["data-v"]
        for attributes in found.all("th")
        if attributes.get("scope") == "row" and "data-v" in attributes
    ]
    assert order == ["ground_truth", "copy_reference", "good", "close", "bad"]
    (sorted_by,) = [attributes for attributes in found.all("th") if attributes.get("aria-sort", "none") != "none"]
    assert sorted_by["aria-sort"] == "ascending"


def test_headings_have_definitions_that_everybody_can_read(tmp_path: Path) -> None:
    _, found = made(tmp_path, results(tmp_path / "run", SCORES))
    described = [button for button in found.all("button") if "aria-describedby" in button]
    ids = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    assert {button["aria-describedby"] for button in described} == {"d-psnr", "d-lmd"} <= ids
    assert "mean distance of the 20 mouth landmarks" in found.text()
    assert all(attributes.get("scope") for attributes in found.all("th"))
    assert len(found.all("table")) == sum(tag == "caption" for tag, _ in found.elements)


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    scores = {EVIL: SCORES["good"], "mine": SCORES["close"], "also": SCORES["bad"]}
    run = {"not_computed": {"fid": EVIL}, "protocol_choices": {EVIL: EVIL}, "missing": {EVIL: EVIL}}
    methods = {EVIL: {"failed": {EVIL: EVIL}, "without_value": {EVIL: {"lmd": EVIL}}}}
    one = results(tmp_path / "one", scores, run, methods, dataset=EVIL, protocol=EVIL)
    two = results(tmp_path / "two", scores, dataset=EVIL, protocol=EVIL, protocol_hash=EVIL)
    video(one / "videos" / "mine" / "s1" / "c000.mp4", 0.2)
    page, found = made(tmp_path, one, two)
    assert EVIL not in page.read_text()
    assert str(escape(EVIL)) in page.read_text()
    assert "alert(1)" in found.text()
    assert len(found.all("script")) == 2  # the page's own, and the list of clips as data


def test_other_hashes_are_tables_with_a_visible_mark(tmp_path: Path) -> None:
    one = results(tmp_path / "one", {"mine": SCORES["good"], "more": SCORES["close"]})
    two = results(tmp_path / "two", {"mine": SCORES["bad"]}, split_hash="s2")
    _, found = made(tmp_path, one, two)
    assert [attributes["class"] for attributes in found.all("table")].count("board") == 2
    assert found.text().count("A table of its own.") == 2
    assert "clips s1 (8) here, s2 (8) there" in found.text()


def test_papers_numbers_stand_apart_and_are_not_sorted(tmp_path: Path) -> None:
    page, _ = made(tmp_path, results(tmp_path / "run", SCORES, dataset="hdtf"))
    board, papers = page.read_text().split('<section class="papers"')
    assert "33.939" not in board
    block = Page(f'<section class="papers"{papers.partition("</section>")[0]}</section>')
    rows = sum(tag == "tr" for tag, _ in block.elements) - len(block.all("table"))
    assert rows == sum(text == "printed in a paper, not measured here" for tag, text in block.texts if tag == "td") > 5
    assert not block.all("button")
    assert "LPIPS †" in block.text()
    assert "† another definition or unit" in block.text()
    assert "33.939" in block.text()


def test_what_is_missing_is_told_with_its_reason(tmp_path: Path) -> None:
    run = {"not_computed": {"csim": "w600k_r50.onnx is not here"}, "missing": {"s9/x": "the corpus lacks it"}}
    methods = {"good": {"failed": {"s1/c000": "no face at all"}, "without_value": {"s1/c001": {"lmd": "mouth hidden"}}}}
    _, found = made(tmp_path, results(tmp_path / "run", SCORES, run, methods))
    for words in (
        "csim w600k_r50.onnx is not here",
        "s9/x the corpus lacks it",
        "s1/c000 no face at all",
        "lmd mouth hidden",
    ):
        assert words in found.text()
    assert "What is missing: 2 failures, 1 clips, 1 metrics" in found.text()


def test_plots_say_in_words_what_they_show(tmp_path: Path) -> None:
    scores = {
        name: {**own, "seconds_per_frame": [0.01 * (1 + place)] * 8} for place, (name, own) in enumerate(SCORES.items())
    }
    pooled = {method: Pooled({"fid": 5.0}, {}, 600) for method in SCORES}
    _, found = made(tmp_path, results(tmp_path / "run", scores, pooled=pooled))
    told = [attributes["aria-label"] for attributes in found.all("svg")]
    assert all(attributes["role"] == "img" for attributes in found.all("svg"))
    assert [text.split(".")[0] for text in told] == [
        *("lmd ↓ clip by clip", "psnr ↑ clip by clip"),
        *("lmd ↓ against speed", "psnr ↑ against speed", "fid ↓ against speed"),
    ]
    assert "copy_reference median 0.500 of 8 clips; good median 1.000 of 8 clips" in told[0]
    assert "good 1.000 at 30 ms" in told[2]


def test_videos_are_copied_beside_the_page_once(tmp_path: Path) -> None:
    folder = results(tmp_path / "run", {"ground_truth": SCORES["ground_truth"], "mine": SCORES["good"]})
    videos(folder, ["ground_truth", "mine"], clip_names(4), 0.2)
    again = results(tmp_path / "again", {"ground_truth": SCORES["ground_truth"], "other": SCORES["bad"]})
    videos(again, ["ground_truth"], clip_names(4), 0.2)
    page, found = made(tmp_path, folder, again, words=("--clips", "2"))
    sources = [attributes.get("src", "") for attributes in found.all("video")]
    assert [bool(source) for source in sources] == [True, True, False]
    copies = sorted(path.name for path in (page.parent / "page_files").iterdir())
    assert [re.sub(r"-[0-9a-f]{8}\.mp4", "", name) for name in copies] == [
        "ground_truth-s1_c000", "ground_truth-s1_c002", "mine-s1_c000", "mine-s1_c002",
    ]  # fmt: skip
    assert sources[0] == f"page_files/{copies[0]}"
    before = page.read_bytes()
    _, found = made(tmp_path, folder, again, words=("--clips", "2"))
    assert page.read_bytes() == before
    made(tmp_path, folder, again, words=("--clips", "1"))
    assert sorted(path.name for path in (page.parent / "page_files").iterdir()) == [copies[0], copies[2]]


def test_videos_can_be_linked_or_left_out(tmp_path: Path) -> None:
    folder = results(tmp_path / "run #1", {"mine": SCORES["good"]})
    videos(folder, ["mine"], clip_names(1), 0.2)
    page, found = made(tmp_path, folder, words=("--videos", "link"))
    assert found.all("video")[0]["src"] == "../run%20%231/videos/mine/s1/c000.mp4"
    assert not (page.parent / "page_files").exists()
    _, found = made(tmp_path, folder, words=("--videos", "none"))
    assert not found.all("video")


def test_foreign_videos_are_shown_where_a_browser_plays_them(tmp_path: Path) -> None:
    finished = tmp_path / "finished"
    video(finished / "s1__c000.mp4", 0.2)
    (finished / "s1__c001.avi").write_bytes((finished / "s1__c000.mp4").read_bytes())
    methods = {"theirs": {"folder": str(finished)}}
    folder = results(tmp_path / "run", {"theirs": {"psnr": [30.0, 31.0]}}, methods=methods)
    page, found = made(tmp_path, folder, words=("--video_root", str(finished)))
    assert found.all("video")[0]["src"].startswith("page_files/theirs-s1_c000-")
    assert "browsers do not play .avi with h264 yuv420p" in page.read_text()


def test_clip_names_cannot_reach_out_of_the_results(tmp_path: Path) -> None:
    folder = results(tmp_path / "run", {"mine": SCORES["good"]})
    video(tmp_path / "secret.mp4", 0.2)
    text = (folder / "clips.csv").read_text()
    (folder / "clips.csv").write_text(text.replace("s1/c000", "../../../secret"))
    page, found = made(tmp_path, folder)
    assert not found.all("video")
    assert not (page.parent / "page_files").exists()


def test_two_hundred_rows_stay_small(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    metrics = ("psnr", "ssim", "ms_ssim", "lmd", "lmd_iod", "f_lmd", "sync_similarity", "style_sim")
    scores = {f"method {place}": {metric: generator.normal(30, 2, 20) for metric in metrics} for place in range(200)}
    page, found = made(tmp_path, results(tmp_path / "run", scores))
    assert page.stat().st_size < LIMIT
    assert sum(attributes.get("class") == "method" for attributes in found.all("tr")) == 200
    assert "160 more methods are not drawn" in page.read_text()


def test_wrong_number_of_clips_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path / "run", {"mine": SCORES["good"]})
    assert main(["leaderboard", str(folder), "--out", str(tmp_path / "w.csv"), "--clips", "0"]) == 1
    assert "--clips is 0; give at least 1, or --videos none" in capsys.readouterr().err
    assert not (tmp_path / "w.csv").exists()
