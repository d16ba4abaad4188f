import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dubbench.datamodules import splits
from dubbench.datamodules.sources import RawClip, hdtf
from dubbench.errors import DubbenchError


def clips(*ids: str) -> list[RawClip]:
    return [RawClip(clip, clip.split("/")[0], Path(clip)) for clip in ids]


def test_speakers_fall_into_80_10_10_by_the_documented_hash() -> None:
    many = clips(*(f"speaker{n}/{k}" for n in range(2000) for k in range(2)))
    got = splits.assign("folder", many)
    counts = Counter(got.values())
    assert counts["train"] == pytest.approx(3200, abs=120)
    assert counts["val"] == pytest.approx(400, abs=90)
    assert counts["test"] == pytest.approx(400, abs=90)
    for clip in many:
        first = int(hashlib.sha256(clip.speaker.encode()).hexdigest()[:16], 16) % 10
        expected = "train" if first < 8 else ("val", "test")[first - 8]
        assert got[clip.clip] == expected


def test_no_speaker_is_in_two_splits_and_others_do_not_matter() -> None:
    many = clips(*(f"speaker{n}/{k}" for n in range(50) for k in range(4)))
    got = splits.assign("folder", many, "speaker")
    for n in range(50):
        assert len({got[f"speaker{n}/{k}"] for k in range(4)}) == 1
    assert splits.assign("folder", many[60:70], "speaker") == {clip.clip: got[clip.clip] for clip in many[60:70]}


def test_rule_clip_spreads_one_speaker() -> None:
    got = splits.assign("folder", clips(*(f"anna/{k}" for k in range(300))), "clip")
    assert set(got.values()) == {"train", "val", "test"}


def test_grid_is_split_by_clip_for_s1_and_by_speaker_for_the_rest() -> None:
    table = {line.split(",")[0]: line.split(",") for line in (splits.PUBLISHED / "grid.csv").read_text().splitlines()}
    listed = [name for name in table if name.startswith("s1/")]
    got = splits.assign("grid", clips(*listed, "s1/unlisted", "s2/bbaf1a", "s2/swwp2s"))
    assert Counter(got[name] for name in listed) == {"train": 120, "val": 10, "test": 20}
    ranked = sorted(listed, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert [got[name] for name in ranked] == ["train"] * 120 + ["val"] * 10 + ["test"] * 20
    assert got["s1/unlisted"] == "train"
    assert got["s2/bbaf1a"] == got["s2/swwp2s"] == splits.by_hash("s2")


def test_published_grid_split_lists_the_real_clips(shared: Path) -> None:
    lines = (splits.PUBLISHED / "grid.csv").read_text().splitlines()
    real = {f"s1/{path.stem}" for path in (shared / "data" / "grid" / "s1").glob("*.mpg")}
    assert {line.split(",")[0] for line in lines[2:]} == real


def test_published_hdtf_split_follows_its_rule() -> None:
    table = pd.read_csv(splits.PUBLISHED / "hdtf.csv")
    assert list(table["speaker"]) == [hdtf.speaker(clip) for clip in table["clip"]]
    sizes = table.groupby("speaker").size()
    expected, counts = {}, Counter[str]()
    for speaker in sorted(sizes.index, key=lambda name: hashlib.sha256(f"0:{name}".encode()).hexdigest()):
        expected[speaker] = "test" if counts["test"] < 60 else "val" if counts["val"] < 20 else "train"
        counts[expected[speaker]] += sizes[speaker]
    assert list(table["split"]) == [expected[speaker] for speaker in table["speaker"]]
    assert counts == {"train": 356, "val": 20, "test": 60}
    assert (len(sizes), Counter(expected.values())) == (275, {"train": 220, "val": 11, "test": 44})


def test_what_the_corpus_says_yields_to_files_and_rules(tmp_path: Path) -> None:
    ours = [replace(clip, official="val") for clip in clips("anna/1", "bob/1")]
    assert set(splits.assign("folder", ours).values()) == {"val"}
    (tmp_path / "split.csv").write_text("clip,speaker,split\n,anna,test\n")
    got = splits.assign("folder", ours, str(tmp_path / "split.csv"))
    assert got == {"anna/1": "test", "bob/1": splits.by_hash("bob")}
    assert splits.assign("folder", ours, "speaker") == {clip.clip: splits.by_hash(clip.speaker) for clip in ours}


@pytest.mark.parametrize("path", sorted(splits.PUBLISHED.glob("*.csv")), ids=lambda path: path.stem)
def test_published_files_read(path: Path) -> None:
    splits.assign(path.stem, clips("nobody/nothing"), str(path))


def test_a_clip_row_wins_over_its_speaker_row_and_the_rest_is_hashed(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_text("clip,speaker,split\n,anna,val\nanna/1,anna,test\n")
    got = splits.assign("folder", clips("anna/1", "anna/2", "bob/1"), str(path))
    assert got == {"anna/1": "test", "anna/2": "val", "bob/1": splits.by_hash("bob")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,split\na,train\n", "lacks the column speaker: it must have clip, speaker, split"),
        ("clip,speaker,split\na,b,dev\n", "'dev'; splits are train, val, test"),
        ("clip,speaker,split\na,b,val\na,b,train\n", "lists a twice"),
        ("", "lacks the column clip"),
    ],
)
def test_malformed_files_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(DubbenchError, match=message):
        splits.assign("folder", clips("a/b"), str(path))


def test_absent_file_says_what_the_rule_takes() -> None:
    with pytest.raises(DubbenchError, match="auto, speaker, clip, train, val, test or a CSV file"):
        splits.assign("folder", clips("a/b"), "sepaker")


def test_a_split_by_name_holds_for_all_clips() -> None:
    assert splits.assign("grid", clips("s1/a", "s4/b"), "test") == {"s1/a": "test", "s4/b": "test"}
