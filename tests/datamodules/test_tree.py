"""Corpus folders as people put them together: by links, with any suffix, in either form of Unicode."""

import os
import unicodedata
from pathlib import Path

import pytest
from av import formats_available
from av.format import ContainerFormat

from dubbench.cli import main
from dubbench.datamodules import splits
from dubbench.datamodules.sources import find, ignored
from dubbench.datamodules.tree import VIDEO_SUFFIXES, told
from dubbench.results.videos import match, names_below

# What FFmpeg's table has no name for, though its demuxers read it: names that programs and cameras give to MPEG, MP4,
# AVI and RealMedia.
OTHER_NAMES = set(
    [".divx", ".evo", ".m2p", ".mod", ".mp4v", ".mpe", ".mpv", ".mqv", ".nsv", ".ogm", ".ps", ".qt", ".rmvb", ".tod"]
)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def clips(root: Path) -> list[str]:
    return [clip.clip for clip in find("folder", root)]


def test_links_are_followed_and_each_folder_once(tmp_path: Path) -> None:
    pool, corpus = touch(tmp_path / "pool", "anna/1.mp4", "anna/deep/2.mp4", "one.mp4"), tmp_path / "corpus"
    touch(corpus, "bob/3.mp4")
    (corpus / "anna").symlink_to(pool / "anna")
    (corpus / "again").symlink_to(pool / "anna")
    (corpus / "bob/up").symlink_to(corpus)
    (corpus / "circle").symlink_to(corpus / "circle")
    (corpus / "single.mp4").symlink_to(pool / "one.mp4")
    (corpus / "gone.mp4").symlink_to(pool / "none.mp4")
    found = find("folder", corpus)
    assert [clip.clip for clip in found] == ["again/1", "again/deep/2", "bob/3", "single"]
    assert told(ignored("folder", found, corpus)) == (
        "4 files ignored: 2 in folders that a link leads to a second time, 2 links to nothing"
    )


def test_every_suffix_that_ffmpeg_reads_in_any_case(tmp_path: Path) -> None:
    touch(tmp_path, *(f"s/{n}{suffix}" for n, suffix in enumerate(sorted(VIDEO_SUFFIXES))))
    touch(tmp_path, *(f"t/{n}{suffix.upper()}" for n, suffix in enumerate(sorted(VIDEO_SUFFIXES))))
    assert len(clips(tmp_path)) == 2 * len(VIDEO_SUFFIXES)
    assert (
        set([".m2ts", ".mts", ".3gp", ".ogv", ".vob", ".mxf", ".m2t", ".asf", ".dv", ".wtv", ".mp4", ".avi", ".mkv"])
        <= VIDEO_SUFFIXES
    )
    known: set[str] = set()
    for name in formats_available:
        try:
            known |= {f".{each}" for each in ContainerFormat(name).extensions}
        except ValueError:
            continue
    assert VIDEO_SUFFIXES - known == OTHER_NAMES


def test_what_is_not_taken_is_counted_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(
        tmp_path, "s1/bbaf2n.mpg", "s1/bbaf2n.align", "s1/lwae8n.align", "s1/.bbaf2n.mpg", ".trash/x.mpg", "s1/odd.mpg"
    )
    touch(tmp_path, "s1/dubbed.mp4.work/segment.mp4", "README")
    os.mkfifo(tmp_path / "s1/pipe.mpg")
    counts = ignored("grid", find("grid", tmp_path), tmp_path)
    assert told(counts) == (
        "8 files ignored: 2 .align, 2 hidden, 1 no plain files, 1 of an unfinished dubbing, "
        "1 videos that lie as none of the corpus does, 1 without a suffix"
    )
    assert main(["corpus", "grid", "--root", str(tmp_path), "--sample", "0"]) == 0
    assert "8 files ignored: 2 " in capsys.readouterr().out


def test_labels_and_lists_of_a_corpus_are_not_ignored(tmp_path: Path) -> None:
    touch(
        tmp_path, "mvlrs_v1/main/5535415699068794046/00001.mp4", "mvlrs_v1/main/5535415699068794046/00001.txt", "x.txt"
    )
    touch(tmp_path, "train.txt", "val.txt", "test.txt")
    assert ignored("lrs2", find("lrs2", tmp_path), tmp_path) == {".txt": 1}


def test_names_are_compared_in_either_form_of_unicode(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "zoë/süß") for form in ("NFC", "NFD"))
    touch(tmp_path / "corpus", f"{apart}.mp4")
    (clip,) = find("folder", tmp_path / "corpus")
    assert (clip.clip, clip.speaker) == (composed, composed.partition("/")[0])
    for name, speaker in ((apart, ""), ("", apart.partition("/")[0])):
        (tmp_path / "split.csv").write_text(f"clip,speaker,split\n{name},{speaker},val\n")
        assert splits.assign("folder", [clip], str(tmp_path / "split.csv")) == {composed: "val"}
    found = match([composed], names_below(tmp_path / "corpus"))
    assert found.found == {composed: f"{apart}.mp4"}
    assert match([apart], [f"{composed.replace('/', '__')}.mov"]).found == {apart: f"{composed.replace('/', '__')}.mov"}


def test_two_files_whose_names_differ_in_form_alone_stay_two(tmp_path: Path) -> None:
    touch(tmp_path, *(unicodedata.normalize(form, "süß.mp4") for form in ("NFC", "NFD")))
    if len(list(tmp_path.iterdir())) == 2:  # on file systems that keep both
        assert len(set(clips(tmp_path))) == 2
