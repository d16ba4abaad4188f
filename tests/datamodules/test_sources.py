import re
from pathlib import Path

import pytest

from dubbench.datamodules import sources
from dubbench.errors import DubbenchError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listed(dataset: str, root: Path) -> list[tuple[str, str, str]]:
    clips = sources.find(dataset, root)
    return [(clip.clip, clip.speaker, clip.path.relative_to(root).as_posix()) for clip in clips]


def test_grid_takes_sentences_of_either_layout_and_no_alignments(tmp_path: Path) -> None:
    touch(tmp_path, "s2/bbaf1a.mpg", "s1/video/mpg_6000/bbaf2n.mpg", "s1/bbaf2n.align", "s1/audio/bbaf2n.wav", "x.mpg")
    assert listed("grid", tmp_path) == [
        ("s1/bbaf2n", "s1", "s1/video/mpg_6000/bbaf2n.mpg"),
        ("s2/bbaf1a", "s2", "s2/bbaf1a.mpg"),
    ]


def test_grid_keeps_both_qualities_of_one_sentence_apart(tmp_path: Path) -> None:
    touch(tmp_path, "s1/bbaf2n.mpg", "s1/video/mpg_6000/bbaf2n.mpg")
    assert [clip for clip, _, _ in listed("grid", tmp_path)] == ["s1/bbaf2n.mpg", "s1/video/mpg_6000/bbaf2n.mpg"]


def test_hdtf_speakers_drop_their_counters(tmp_path: Path) -> None:
    touch(tmp_path, "WDA_KatieHill_000.mp4", "WDA_KatieHill_001.mp4", "part2/RD_Radio1_000.mp4", "WRA_Q_0_12.mp4")
    assert [(clip, speaker) for clip, speaker, _ in listed("hdtf", tmp_path)] == [
        ("WDA_KatieHill_000", "WDA_KatieHill"),
        ("WDA_KatieHill_001", "WDA_KatieHill"),
        ("WRA_Q_0_12", "WRA_Q"),
        ("part2/RD_Radio1_000", "RD_Radio1"),
    ]


@pytest.mark.parametrize("below", ["", "mp4/", "dev/mp4/"])
def test_voxceleb2_from_any_of_its_roots(tmp_path: Path, below: str) -> None:
    touch(tmp_path, f"{below}id00012/21Uxsk56VDQ/00001.mp4", f"{below}id00012/stray.mp4")
    assert listed("voxceleb2", tmp_path) == [
        ("id00012/21Uxsk56VDQ/00001", "id00012", f"{below}id00012/21Uxsk56VDQ/00001.mp4")
    ]


def test_voxceleb2_joins_dev_and_test(tmp_path: Path) -> None:
    touch(tmp_path, "dev/mp4/id2/v/00001.mp4", "test/mp4/id1/v/00001.mp4")
    assert [clip for clip, _, _ in listed("voxceleb2", tmp_path)] == ["id1/v/00001", "id2/v/00001"]


def test_folder_names_speakers_by_their_top_folder(tmp_path: Path) -> None:
    touch(tmp_path, "anna/day 1/a,b.MP4", "bob/ü.mkv", "dora.webm", "notes.txt", ".trash/x.mp4", "bob/._ü.mkv")
    assert listed("folder", tmp_path) == [
        ("anna/day 1/a,b", "anna", "anna/day 1/a,b.MP4"),
        ("bob/ü", "bob", "bob/ü.mkv"),
        ("dora", "dora", "dora.webm"),
    ]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a/x.mp4", "a/x.mkv", "a/y.mp4"], ["a/x.mkv", "a/x.mp4", "a/y"]),
        (["a.mp4", "a/b.mp4"], ["a.mp4", "a/b"]),
        (["a.mp4", "a/video.mp4.mkv"], ["a.mp4", "a/video.mp4"]),
        (["a.mp4", "a.mkv", "a.mp4.mov"], ["a.mkv", "a.mp4", "a.mp4.mov"]),
        (["manifest.parquet.mp4", "dataset.json.mp4"], ["dataset.json.mp4", "manifest.parquet.mp4"]),
    ],
)
def test_ids_that_clash_keep_their_suffix(tmp_path: Path, names: list[str], ids: list[str]) -> None:
    assert [clip for clip, _, _ in listed("folder", touch(tmp_path, *names))] == ids


def test_ids_never_nest_nor_repeat(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.mkv", "a/b.mp4", "a/b/c.mp4", "a/b.mkv", "b.mov.mp4", "b.mov", "b/manifest.parquet.ts")
    ids = [clip for clip, _, _ in listed("folder", tmp_path)]
    assert len(set(ids)) == 8
    assert not [(a, b) for a in ids for b in ids if b.startswith(f"{a}/")]


def test_unknown_dataset_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match=r"'lrs3'.*demo, folder, grid, hdtf, voxceleb2"):
        sources.find("lrs3", tmp_path)


def test_empty_and_absent_roots_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match=re.escape("<speaker>/<sentence>.mpg")):
        sources.find("grid", tmp_path)
    with pytest.raises(DubbenchError, match=r"not a folder.*--root"):
        sources.find("grid", tmp_path / "absent")


def test_real_corpora(shared: Path) -> None:
    grid = sources.find("grid", shared / "data" / "grid")
    assert len(grid) == 158
    assert len({clip.speaker for clip in grid}) == 8
    voxceleb2 = sources.find("voxceleb2", shared / "data" / "voxceleb2")
    assert len(voxceleb2) == 12
    assert len({clip.speaker for clip in voxceleb2}) == 10
    assert [clip.speaker for clip in sources.find("hdtf", shared / "data" / "hdtf")] == ["WDA_KatieHill"]
