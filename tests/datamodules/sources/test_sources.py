import re
import shutil
from pathlib import Path

import pytest

from dubbench.datamodules import sources, splits
from dubbench.datamodules.corpus_check import layout
from dubbench.datamodules.sources import voxceleb1
from dubbench.errors import DubbenchError
from tests.data import corpora


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listed(dataset: str, root: Path) -> list[tuple[str, str, str]]:
    clips = sources.find(dataset, root)
    return [(clip.clip, clip.speaker, clip.path.relative_to(root).as_posix()) for clip in clips]


EXPECTED: dict[str, dict[str, tuple[str, str | None]]] = {
    "celebvhq": {
        "0A4uuYNxg44_0_0": ("0A4uuYNxg44", None),
        "M2Ohb0FAaJU_1": ("M2Ohb0FAaJU", None),
        "_0tf2n3rlJU_0": ("_0tf2n3rlJU", None),
    },
    "grid": {"s1/bbaf2n": ("s1", None), "s2/swwp2s": ("s2", None)},
    "hdtf": {
        "RD_Radio11_001": ("RD_Radio11", None),
        "WDA_BarbaraLee0_000": ("WDA_BarbaraLee", None),
        "WDA_BarbaraLee1_000": ("WDA_BarbaraLee", None),
        "WRA_AdamKinzinger2_002": ("WRA_AdamKinzinger", None),
    },
    "lrs2": {
        "main/5535415699068794046/00001": ("5535415699068794046", "train"),
        "main/6000000000000000001/00002": ("6000000000000000001", "val"),
        "main/6330311066473698535/00011": ("6330311066473698535", "test"),
        "pretrain/5535415699068794046/00009": ("5535415699068794046", "train"),
        "pretrain/6000000000000000001/00005": ("6000000000000000001", "val"),
        "pretrain/7000000000000000001/00001": ("7000000000000000001", "train"),
    },
    "lrw": {
        clip: (clip, part)
        for word in ("ABOUT", "YOUNG")
        for part in ("test", "train", "val")
        for clip in (f"{word}/{part}/{word}_00001",)
    },
    "mead": {
        "M003/front/angry/level_1/001": ("M003", None),
        "W021/front/neutral/level_1/001": ("W021", None),
    },
    "vfhq": {
        "Clip+-0QvYQYiNGE+P0+C1+F3000-3110": ("-0QvYQYiNGE+P0", None),
        "Clip+-0QvYQYiNGE+P1+C0+F100-210": ("-0QvYQYiNGE+P1", None),
    },
    "voxceleb1": {
        "Eartha_Kitt/x6uYqmx31kE/00002": ("Eartha_Kitt", "test"),
        "id10001/1zcIwhmdeo4/00001": ("id10001", "train"),
        "id10270/5r0dWxy17C8/00003": ("id10270", "test"),
        "id10283/8NgJ8hWrVXA/003107-003233": ("id10283", "test"),
    },
    "voxceleb2": {"id00012/21Uxsk56VDQ/00001": ("id00012", None), "id00017/01dfn2spqyE/00001": ("id00017", None)},
}


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("corpora")
    return {name: corpora.make(name, root / name) for name in corpora.MAKERS}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_corpus_gives_its_clips_speakers_and_official_splits(name: str, miniatures: dict[str, Path]) -> None:
    found = sources.find(name, miniatures[name])
    assert {clip.clip: (clip.speaker, clip.official) for clip in found} == EXPECTED[name]
    assert all(clip.path.is_file() for clip in found)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_ids_do_not_depend_on_how_deep_the_root_points(
    name: str, miniatures: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {clip.path: clip for clip in sources.find(name, miniatures[name])}
    for clip in whole.values():
        assert clip.clip in {near.clip for near in sources.find(name, clip.path.parent)}
    above = miniatures[name].parent / f"{name}-above"
    (above / "deep").mkdir(parents=True)
    shutil.copytree(miniatures[name], above / "deep" / "copy")
    assert [clip.clip for clip in sources.find(name, above)] == sorted(EXPECTED[name])
    monkeypatch.chdir(next(iter(whole)).parent)
    assert sources.find(name, Path())[0].clip in EXPECTED[name]


def test_mead_finds_the_sound_of_each_video(miniatures: dict[str, Path]) -> None:
    root = miniatures["mead"]
    first, second = sources.find("mead", root)
    assert first.audio == root / "M003/audio/angry/level_1/001.m4a"
    assert second.audio == root / "W021/audio/neutral/level_1/001.m4a"


def test_official_splits_decide_unless_another_rule_is_given(miniatures: dict[str, Path]) -> None:
    for name in ("lrw", "lrs2", "voxceleb1"):
        found = sources.find(name, miniatures[name])
        assert splits.assign(name, found) == {clip: split for clip, (_, split) in EXPECTED[name].items()}
        hashed = splits.assign(name, found, "speaker")
        assert hashed == {clip: splits.by_hash(speaker) for clip, (speaker, _) in EXPECTED[name].items()}


def test_lrs2_without_lists_leaves_main_to_the_hash(miniatures: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(miniatures["lrs2"] / "mvlrs_v1", tmp_path / "a/b/mvlrs_v1")
    found = sources.find("lrs2", tmp_path / "a/b/mvlrs_v1")
    assert {clip.official for clip in found if clip.clip.startswith("main")} == {None}
    assert {clip.official for clip in found if clip.clip.startswith("pretrain")} == {"train"}
    assert splits.assign("lrs2", found)[found[0].clip] == splits.by_hash(found[0].speaker)


def test_voxceleb1_keeps_the_corpus_own_test_speakers() -> None:
    speakers = [f"id1{number:04}" for number in range(1, 1252)]
    parts = {speaker: voxceleb1.official(speaker) for speaker in speakers}
    assert [speaker for speaker in speakers if parts[speaker] == "test"] == [f"id{n}" for n in range(10270, 10310)]
    assert sum(part == "val" for part in parts.values()) == pytest.approx(121, abs=35)


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
    touch(tmp_path, "WDA_Q0_000.mp4", "RD_Radio2_000.mp4", "WDA_WhipJimClyburn_000.mp4", "_videos_raw/WDA_Q0.mp4")
    assert [(clip, speaker) for clip, speaker, _ in listed("hdtf", tmp_path)] == [
        ("RD_Radio1_000", "RD_Radio1"),
        ("RD_Radio2_000", "RD_Radio2"),
        ("WDA_KatieHill_000", "WDA_KatieHill"),
        ("WDA_KatieHill_001", "WDA_KatieHill"),
        ("WDA_Q0_000", "WDA_Q"),
        ("WDA_WhipJimClyburn_000", "WDA_JamesClyburn"),
        ("WRA_Q_0_12", "WRA_Q"),
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
    with pytest.raises(DubbenchError, match=r"'lrs3'.*celebvhq, demo, folder, grid, hdtf, lrs2, .*, voxceleb2"):
        sources.find("lrs3", tmp_path)


def test_empty_and_absent_roots_say_what_is_expected(tmp_path: Path) -> None:
    for name in sources.NAMES:
        if name != "demo":
            with pytest.raises(DubbenchError, match=re.escape(layout(name))):
                sources.find(name, tmp_path)
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
