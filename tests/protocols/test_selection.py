import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from dubbench.cli import main
from dubbench.core.config_names import names
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.protocols import protocol as protocols
from dubbench.protocols import selection
from dubbench.protocols.pairing import pair
from dubbench.protocols.selection import draw, listed, published, select
from tests import talking
from tests.scored import table

TEST = {clip: (clip.split("/")[0], "test") for clip in talking.LENGTHS}


def in_order(clips: Sequence[str], seed: int) -> list[str]:
    return sorted(clips, key=lambda clip: sha256(f"{seed}:{clip}".encode()).hexdigest())


def protocol(folder: Path, **changes: object) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"base": "first_frame", "metrics": {"psnr": 2}, **changes}))
    return str(path)


@pytest.fixture
def videos(corpus: Path) -> list[str]:
    """Words that score the corpus' own files as somebody's videos."""
    return ["--videos", str(corpus), "--method", "mine", "--dataset", "folder", "--device", "cpu"]


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for published split files instead of the package's."""
    monkeypatch.setattr(selection, "CONFIGS", tmp_path / "configs")
    (tmp_path / "configs/split").mkdir(parents=True)
    return tmp_path / "configs/split"


def test_a_sample_is_a_prefix_of_one_order() -> None:
    clips = [f"s{k}/c" for k in range(40)]
    assert draw(clips, 7, 3) == sorted(in_order(clips, 3)[:7])
    assert set(draw(clips, 7, 3)) < set(draw(clips, 8, 3))
    assert draw(clips[::-1], 7, 3) == draw(clips, 7, 3)
    assert draw(clips, 7, 4) != draw(clips, 7, 3)
    assert draw(clips, 99, 3) == sorted(clips)


def test_without_a_list_the_test_clips_of_the_folder_are_drawn_from() -> None:
    prepared = {**TEST, "cid/one": ("cid", "train")}
    found = select("nowhere", {"count": 2, "seed": 0}, prepared, None)
    assert found.clips == sorted(in_order(list(TEST), 0)[:2])
    assert (found.driving, found.missing, found.short) == ({}, {}, 0)
    assert select("nowhere", {"count": 5, "seed": 0}, prepared, None).short == 2


def test_a_published_list_decides_and_what_is_not_there_is_named(lists: Path) -> None:
    (lists / "ours.csv").write_text(
        "clip,speaker,split\nann/one,ann,test\nann/two,ann,test\nbob/one,bob,test\neve/one,eve,test\nx/y,x,train\n"
    )
    wanted = ["ann/one", "ann/two", "bob/one", "eve/one"]
    assert listed("ours", {"count": 9, "seed": 0}) == wanted
    found = select("ours", {"count": 4, "seed": 0}, TEST, None)
    assert (found.clips, found.missing) == (wanted[:3], {"eve/one": "not prepared"})
    crossed = select("ours", {"count": 4, "seed": 0}, TEST, 0)
    whole = pair({clip: clip[:3] for clip in wanted}, 0)
    driven_by_eve = next(clip for clip in wanted if whole[clip] == "eve/one")
    assert crossed.missing[driven_by_eve] == "eve/one, whose speech drives it, is not prepared"
    assert crossed.driving == {clip: whole[clip] for clip in wanted[:3] if clip != driven_by_eve}


def test_clips_that_training_may_have_seen_are_refused(lists: Path) -> None:
    (lists / "ours.csv").write_text("clip,speaker,split\nann/one,ann,test\n")
    with pytest.raises(DubbenchError, match="ann/one was prepared for train and the protocol tests on it"):
        select("ours", {"count": 1, "seed": 0}, {"ann/one": ("ann", "train")}, None)
    with pytest.raises(DubbenchError, match=r"of the 1 test clips of ours .*\(ann/one is the first\) not one"):
        select("ours", {"count": 1, "seed": 0}, {"bob/one": ("bob", "test")}, None)


def test_eval_scores_what_is_there_and_says_what_is_not(
    prepared: Path, videos: list[str], lists: Path, tmp_path: Path
) -> None:
    clips = "".join(f"{clip},{clip[:3]},test\n" for clip in (*talking.LENGTHS, "eve/one"))
    (lists / "folder.csv").write_text(f"clip,speaker,split\n{clips}")
    rules = protocol(tmp_path, clips={"folder": {"count": 4, "seed": 0}})
    words = ["eval", *videos, "--dataset.root", str(prepared), "--protocol", rules]
    assert main([*words, "--out", str(tmp_path / "all")]) == 0
    run = json.loads((tmp_path / "all/run.json").read_text())
    assert (run["clips"], run["missing"], run["clips_short"]) == (3, {"eve/one": "not prepared"}, 0)
    assert main([*words, "--limit", "2", "--out", str(tmp_path / "part")]) == 0
    whole, part = (table(tmp_path / name)["mine", "psnr"] for name in ("all", "part"))
    assert whole["protocol_hash"] == part["protocol_hash"]
    assert whole["split_hash"] != part["split_hash"]


@pytest.mark.parametrize(
    ("clips", "more", "words"),
    [
        ({"hdtf": {"count": 2, "seed": 0}}, [], "mine scores clips of hdtf, not folder"),
        ({"folder": {"count": 2, "seed": 0}}, ["--split", "val"], "of the split test, not val"),
        ({"folder": {"count": 2}}, [], "clips of folder need the numbers count and seed"),
        ({"folder": {"count": 0, "seed": 0}}, [], "count is 0; it must be at least 1"),
        ({"folder": 3}, [], "clips of folder need the numbers count and seed"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    clips: object,
    more: list[str],
    words: str,
    prepared: Path,
    videos: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["eval", *videos, "--dataset.root", str(prepared), "--out", str(tmp_path / "out")]
    assert main([*command, "--protocol", protocol(tmp_path, clips=clips), *more]) == 1
    assert words in capsys.readouterr().err


def test_parts_get_a_folder_each_and_are_read_together(prepared: Path, videos: list[str], tmp_path: Path) -> None:
    first = protocol(tmp_path)
    (tmp_path / "cross.yaml").write_text("base: mine.yaml\ndriving: cross\n")
    (tmp_path / "both.yaml").write_text("parts: [mine.yaml, cross.yaml]\n")
    out = tmp_path / "out"
    words = ["eval", *videos, "--dataset.root", str(prepared), "--protocol", str(tmp_path / "both.yaml")]
    assert main([*words, "--out", str(out)]) == 0
    hashes = {table(out / name)["mine", "psnr"]["protocol_hash"] for name in ("mine", "cross")}
    assert hashes == {protocols.load(first).hash, protocols.load(tmp_path / "cross.yaml").hash}
    assert main(["leaderboard", str(out), "--out", str(tmp_path / "board.csv")]) == 0
    with (tmp_path / "board.csv").open() as file:
        assert {row["protocol"] for row in csv.DictReader(file)} == {"mine", "cross"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: mine.yaml\n", "stands on itself by way of"),
        ("parts: []\n", "parts is a list of different protocols"),
        ("parts: [cross, cross]\n", "parts is a list of different protocols"),
        ("parts: [cross]\nsize: 3\n", "nothing stands beside it"),
        ("parts: [sideways]\n", "no protocol is called 'sideways'"),
    ],
)
def test_bases_and_parts_that_cannot_be_are_sentences(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(DubbenchError, match=words):
        protocols.load_all(tmp_path / "mine.yaml")


def test_one_protocol_is_asked_for_where_several_cannot_be() -> None:
    with pytest.raises(DubbenchError, match="fair consists of several protocols"):
        protocols.load("fair")


def test_the_hash_follows_definitions_lists_and_samples(lists: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = protocols.load("first_frame")
    drawn = replace(first, clips={"ours": {"count": 1, "seed": 0}})
    assert len({first.hash, drawn.hash, replace(drawn, clips={"ours": {"count": 1, "seed": 1}}).hash}) == 3
    plain, before = first.hash, drawn.hash
    (lists / "ours.csv").write_text("clip,speaker,split\na,a,test\n")
    selection._test_clips.cache_clear()
    assert drawn.hash != before
    text = DEFINITIONS["lmd"].text
    changed = {**DEFINITIONS, "lmd": replace(DEFINITIONS["lmd"], text=text + ", halved")}
    monkeypatch.setattr(protocols, "DEFINITIONS", changed)
    assert protocols.load("first_frame").hash != plain


def test_published_protocols_name_their_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protocol"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in names("protocol"))
    assert main(["protocol", "realtalk_table2", "--csv", str(tmp_path / "clips.csv")]) == 0
    out = capsys.readouterr().out
    with (tmp_path / "clips.csv").open() as file:
        lines = list(csv.DictReader(file))
    own, cross = (
        [line for line in lines if line["protocol"] == f"realtalk_table2_{part}" and line["dataset"] == "hdtf"]
        for part in ("reconstruction", "cross")
    )
    assert [line["clip"] for line in own] == [line["clip"] for line in cross] == draw(published("hdtf"), 20, 0)
    assert {line["driving"] for line in own} == {""}
    assert sorted(line["driving"] for line in cross) == [line["clip"] for line in cross]
    assert f"lists {len(lines)} clips" in out


def test_protocols_that_list_nothing_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protocol", "first_frame", "--csv", str(tmp_path / "clips.csv")]) == 1
    assert "first_frame lists no clip by name" in capsys.readouterr().err
    assert main(["protocol", "--csv", str(tmp_path / "clips.csv")]) == 1
    assert main(["protocol", "second_frame"]) == 1
