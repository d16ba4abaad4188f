"""``dubbench corpus`` as a user meets it: the list, a corpus' page, and a folder that is or is not the corpus."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dubbench.cli import main
from dubbench.datamodules import sources
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.corpus_check import about_corpus
from dubbench.datamodules.prepare.run import prepare
from dubbench.datamodules.sources.about import About
from tests.data import corpora, videos


@dataclass
class Said:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.out.splitlines() if line.startswith("warning: ")]


@pytest.fixture
def corpus(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*words: str | Path) -> Said:
        status = main(["corpus", "--quiet", *map(str, words)])
        return Said(status, *capsys.readouterr())

    return call


Corpus = Callable[..., Said]


def test_the_list_names_every_corpus(corpus: Corpus) -> None:
    said = corpus()
    assert said.status == 0
    assert [line.split()[0] for line in said.out.splitlines() if line.startswith("  ") and line[2:3].strip()] == [
        "corpus",
        *sorted(sources.NAMES),
    ]


@pytest.mark.parametrize("name", sources.NAMES)
def test_a_page_says_all_there_is_to_know(name: str, corpus: Corpus) -> None:
    said = corpus(name)
    assert said.status == 0
    words = "".join(said.out.split())
    about = about_corpus(name)
    told = [getattr(about, field.name) for field in fields(About) if field.type == "str" or field.type is str]
    assert all(told[:1])
    assert [text for text in told if text != about.label and "".join(text.split()) not in words] == []


@pytest.mark.parametrize("name", sorted(corpora.MAKERS))
def test_a_faithful_folder_is_usable(name: str, tmp_path: Path, corpus: Corpus) -> None:
    said = corpus(name, "--root", corpora.make(name, tmp_path))
    assert (said.status, said.err) == (0, "")
    clips = sources.find(name, tmp_path)
    assert said.out.startswith(f"{len(clips)} clips of {len({clip.speaker for clip in clips})} speakers\nsplit: ")
    unasked = {"celebvhq": ["other video", "no sound"], "hdtf": ["other video"], "mead": ["other video"]}
    assert len(said.warnings) == len(unasked.get(name, []))
    assert all(word in line for word, line in zip(unasked.get(name, []), said.warnings, strict=True))


def test_counts_hours_rates_and_sizes_are_those_of_the_files(tmp_path: Path, corpus: Corpus) -> None:
    corpora.make("lrs2", tmp_path)
    lines = corpus("lrs2", "--root", tmp_path, "--sample", 4).out.splitlines()
    hours = 6 * corpora.FRAMES / 25 / 3600
    assert lines[:2] == ["6 clips of 4 speakers", "split: 3 train, 2 val, 1 test"]
    assert lines.pop(2) == "1 file ignored: 1 .txt"
    assert float(lines[2].split()[1]) == pytest.approx(hours, rel=0.1)
    assert lines[2].endswith("judged by 4 clips")
    assert lines[3:] == ["frame rates: 25 (4)", "frames: 160 x 160 (4)", "usable"]
    assert corpus("lrs2", "--root", tmp_path, "--sample", 0).out.splitlines() == [
        *lines[:2],
        "1 file ignored: 1 .txt",
        "usable",
    ]


@pytest.mark.parametrize(
    ("name", "files", "sentence"),
    [
        ("lrw", [], "is empty; `dubbench corpus lrw` says what to get"),
        ("lrs2", ["lrs2_v1_partaa", "lrs2_v1_partab"], "no video but 2 archives, such as {root}/lrs2_v1_partaa; join"),
        ("mead", ["M003/video.tar", "M003/audio.tar"], "2 archives, such as {root}/M003/audio.tar; join the parts"),
        ("voxceleb2", ["vox2_dev_mp4_partaa.part", "x.zip"], "1 unfinished download, such as"),
        ("voxceleb1", ["wav/id10001/1zcIwhmdeo4/00001.wav"], "1 sound file, such as {root}/wav/id10001/1zcIwhmdeo4/"),
        ("voxceleb2", ["aac/id00012/21Uxsk56VDQ/00001.m4a"], "that is the sound alone"),
        ("voxceleb1", ["txt/id10001/1zcIwhmdeo4/00001.txt"], "1 text file, such as"),
        (
            "hdtf",
            ["RD_annotion_time.txt", "RD_video_url.txt"],
            "2 text files, such as {root}/RD_annotion_time.txt; those",
        ),
        ("celebvhq", ["celebvhq_info.json"], "those are annotations; the videos that they belong to must be fetched"),
        ("vfhq", ["Clip+-0QvYQYiNGE+P0+C1+F1-9/00000000.png"], "no video but 1 picture, such as"),
        ("vfhq", ["Clip+-0QvYQYiNGE+P0+C1+F1-9/00000000.png"], "frames have no sound"),
        ("grid", ["s1.bin"], "1 other file, such as {root}/s1.bin; fetch the corpus' videos"),
        ("mead", ["front/angry/level_1/001.mp4"], "but none lies as mead does: <speaker>/video/front/"),
        ("lrw", ["s1/bbaf2n.mpg"], "it looks like grid"),
        ("lrw", ["talk.mp4"], "restore those names, or take the videos with --dataset folder"),
        ("demo", ["astronaut/en-1.mp4"], "but none lies as demo does"),
    ],
)
def test_a_folder_that_is_not_the_corpus_says_what_it_is(
    name: str, files: list[str], sentence: str, tmp_path: Path, corpus: Corpus
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for file in files:
        corpora.text(root / file, ["anything"])
    said = corpus(name, "--root", root)
    assert said.status == 1
    assert said.out == ""
    assert said.err.startswith(f"dubbench: {root} ")
    assert sentence.format(root=root) in said.err
    assert said.err.count("\n") == 1


def test_damage_is_told_file_by_file(tmp_path: Path, corpus: Corpus) -> None:
    corpora.make("lrw", tmp_path)
    words = tmp_path / "lipread_mp4"
    (words / "ABOUT/test/ABOUT_00001.mp4").write_bytes(b"")
    (words / "ABOUT/train/ABOUT_00001.mp4").write_text("no video")
    (words / "ABOUT/val/ABOUT_00001.txt").unlink()
    corpora.clip(words / "YOUNG/test/YOUNG_00001.mp4", 96, 96, 30, sound=False)
    corpora.text(tmp_path / "lrw-v1-partaa", ["x"])
    said = corpus("lrw", "--root", tmp_path)
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines()[-1] == "usable, with the warnings above"
    for line, (count, word, first) in zip(
        said.warnings,
        [
            ("1 of 6 clips", "are empty (0 bytes)", "ABOUT/test/ABOUT_00001.mp4"),
            ("1 archive", "join the parts", "lrw-v1-partaa"),
            ("1 of 6 clips", "have no .txt beside them", "ABOUT/val/ABOUT_00001.mp4"),
            ("1 of 5 clips", "cannot be read", "ABOUT/train/ABOUT_00001.mp4"),
            ("1 of 5 clips", "do not run at the corpus' 25 fps", "YOUNG/test/YOUNG_00001.mp4"),
            ("1 of 5 clips", "do not have the corpus' 256 x 256 pixels", "YOUNG/test/YOUNG_00001.mp4"),
            ("1 of 5 clips", "have no sound", "YOUNG/test/YOUNG_00001.mp4"),
        ],
        strict=True,
    ):
        assert line.startswith(f"warning: {count} ")
        assert word in line
        assert first in line


def test_lists_that_are_missing_are_told(tmp_path: Path, corpus: Corpus) -> None:
    corpora.make("lrs2", tmp_path / "a/b/c")
    shutil.move(tmp_path / "a/b/c/mvlrs_v1", tmp_path / "a/b/c/d/e/f")
    said = corpus("lrs2", "--root", tmp_path / "a/b/c/d/e/f")
    assert [line for line in said.warnings if "3 of 6 clips are in none of train.txt, val.txt, test.txt" in line]


def test_a_corpus_of_nothing_but_broken_clips_is_of_no_use(tmp_path: Path, corpus: Corpus) -> None:
    corpora.text(tmp_path / "WDA_A_000.mp4", [])
    assert corpus("hdtf", "--root", tmp_path) == Said(
        1, "", f"dubbench: no clip below {tmp_path} has content: 1 file of 0 bytes; fetch them again\n"
    )
    corpora.text(tmp_path / "WDA_A_000.mp4", ["no video"])
    said = corpus("hdtf", "--root", tmp_path)
    assert (said.status, "none of 1 opened clip can be read: " in said.err) == (1, True)
    corpora.clip(tmp_path / "WDA_A_000.mp4", 64, 64, sound=False)
    said = corpus("hdtf", "--root", tmp_path)
    assert (said.status, "none of 1 opened clip has sound" in said.err) == (1, True)
    assert corpus("hdtf", "--root", tmp_path, "--sample", 0).status == 0


def test_mead_is_silent_only_where_its_sound_is_missing_too(tmp_path: Path, corpus: Corpus) -> None:
    corpora.make("mead", tmp_path)
    (tmp_path / "M003/audio/angry/level_1/001.m4a").write_bytes(b"broken")
    said = corpus("mead", "--root", tmp_path)
    assert said.status == 0
    assert "2 of them with a sound file of their own" in said.out
    assert [line for line in said.warnings if "1 of 2 clips have no sound" in line and "M003/video/front" in line]
    shutil.rmtree(tmp_path / "W021/audio")
    assert "none of 2 opened clips has sound" in corpus("mead", "--root", tmp_path).err


def test_a_folder_of_speakers_one_level_down_is_noticed(tmp_path: Path, corpus: Corpus) -> None:
    for speaker in ("anna", "bob"):
        corpora.clip(tmp_path / "videos" / speaker / "1.mp4", 64, 64)
    said = corpus("folder", "--root", tmp_path)
    assert said.warnings == [
        f"warning: all clips count as of one speaker; are the speakers' folders in --root {tmp_path / 'videos'}?"
    ]
    assert corpus("folder", "--root", tmp_path / "videos").warnings == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lrs3"], "no corpus is called 'lrs3'; there are celebvhq, demo, "),
        (["lrw", "--root", "nowhere"], "nowhere is not a folder; give the folder of the lrw corpus with --root"),
        (["--root", "."], "name the corpus that --root holds"),
        (["lrw", "--root", ".", "--sample", "-1"], "--sample -1 is too small"),
    ],
)
def test_mistakes_are_one_sentence(words: list[str], sentence: str, corpus: Corpus) -> None:
    said = corpus(*words)
    assert (said.status, said.err.count("\n")) == (1, 1)
    assert sentence in said.err


def test_names_that_are_no_utf_8_are_no_trouble(tmp_path: Path, corpus: Corpus) -> None:
    path = corpora.clip(tmp_path / "a.mp4", 64, 64)
    path.rename(tmp_path / b"\xff.mp4".decode(errors="surrogateescape"))
    corpora.text(tmp_path / b"\xff.zip".decode(errors="surrogateescape"), ["x"])
    said = corpus("folder", "--root", tmp_path)
    assert (said.status, len(said.warnings)) == (0, 1)
    assert r"\xff.zip" in said.out


def test_looking_at_the_demo_corpus_makes_nothing(tmp_path: Path, corpus: Corpus) -> None:
    assert corpus("demo", "--root", tmp_path).status == 1
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "demo.json").write_text("{}")
    corpora.clip(tmp_path / "astronaut/en-1.mp4", 320, 320)
    corpora.text(tmp_path / "astronaut/en-1.viseme.csv", ["frame,opening"])
    said = corpus("demo", "--root", tmp_path)
    assert (said.status, said.warnings, len(list(tmp_path.rglob("*.mp4")))) == (0, [], 1)


def test_mead_is_prepared_with_the_sound_that_lies_beside(tmp_path: Path) -> None:
    level = "M003/{}/angry/level_1/001"
    videos.write(tmp_path / f"in/{level.format('video/front')}.mp4", videos.portraits(24), fps=30, rate=None)
    corpora.sound(tmp_path / f"in/{level.format('audio')}.m4a", 2.0, start=0.4)
    videos.write(tmp_path / f"in/{level.format('video/front')[:-1]}2.mp4", videos.portraits(24), fps=30, rate=None)
    videos.write(tmp_path / f"in/{level.format('video/front')[:-1]}3.mp4", videos.portraits(24), fps=30)
    corpora.sound(tmp_path / f"in/{level.format('audio')[:-1]}3.wav", 1.0, start=1.0)
    report = prepare("mead", tmp_path / "in", tmp_path / "out", size=64)
    assert (report.done, report.failed) == (2, 1)
    failed = pd.read_csv(tmp_path / "out/failures.csv")
    assert list(failed["clip"] + ": " + failed["reason"]) == ["M003/front/angry/level_1/002: no audio track"]
    clip = PreparedClip(tmp_path / "out", "M003/front/angry/level_1/001")
    assert (len(clip), clip.info.speaker, clip.info.source) == (20, "M003", f"{level.format('video/front')}.mp4")
    speech = clip.speech()
    assert len(speech) == 20 * 640
    loud = np.flatnonzero(np.abs(speech) > 0.1)
    assert loud[0] == pytest.approx(0.4 * 16_000, abs=200)
    own = PreparedClip(tmp_path / "out", "M003/front/angry/level_1/003").speech()
    assert np.abs(own).max() > 0.1
