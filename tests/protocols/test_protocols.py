from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml

from dubbench.core.config_names import names, resolve
from dubbench.errors import DubbenchError
from dubbench.face.alignment import ALIGNMENTS
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.protocols import protocol as protocols
from dubbench.protocols.pairing import pair


def choices(**changes: object) -> dict[str, object]:
    text = Path(resolve("protocol", "first_frame")).read_text()
    return {**yaml.safe_load(text), **changes}


# What was published names these, and goes on doing so whatever metrics come.
PUBLISHED = [
    "psnr", "ssim", "ms_ssim", "mse", "psnr_mouth", "ssim_mouth", "lpips_alex", "lpips_vgg", "csim", "lmd", "lmd_iod",
    "lmd_uncentred", "f_lmd", "f_lmd_uncentred", "sync_c", "sync_d", "av_offset", "sync_similarity", "style_sim", "fid",
    "kid",
]  # fmt: skip


@pytest.mark.parametrize("name", names("protocol"))
def test_every_protocol_loads_and_names_its_metrics(name: str) -> None:
    for protocol in protocols.load_all(name):
        assert protocol.name.startswith(name)
        # Whom a mouth follows is a question of cross driving; papers' protocols keep to the papers' metrics.
        wanted = PUBLISHED + ["drive", "ghost"] * (protocol.name in ("cross", "fair_cross"))
        if protocol.name.startswith("realtalk_table2"):
            wanted.insert(wanted.index("f_lmd_uncentred") + 1, "lmd_outside_uncentred")  # its F-LMD
        assert list(protocol.metrics) == wanted
        assert [metric for metric in DEFINITIONS if metric in protocol.metrics] == wanted, "tables keep this order"


def test_names_say_what_they_choose() -> None:
    first, native, cross = (protocols.load(name) for name in ("first_frame", "native", "cross"))
    assert (first.driving, first.references) == ("own", "first_frame")
    assert (native.driving, native.references) == ("own", "native")
    assert (cross.driving, cross.references) == ("cross", "first_frame")
    assert (first.size, first.crop) == (256, "nose")
    fair = protocols.load_all("fair")
    assert [(each.name, each.driving, each.align) for each in fair] == [
        ("fair_own", "own", "upper"),
        ("fair_cross", "cross", "upper"),
    ]
    others = [each for name in names("protocol") for each in protocols.load_all(name) if each not in fair]
    assert {each.align for each in others} == {"ffhq"}, "the papers' squares are FFHQ's"
    # But for the alignment, fair is what first_frame and cross are.
    assert [replace(each, align="ffhq").hash for each in fair] == [first.hash, cross.hash]


def test_hash_follows_choices_and_not_names(tmp_path: Path) -> None:
    first = protocols.load("first_frame")
    found = {protocol.name: protocol.hash for name in names("protocol") for protocol in protocols.load_all(name)}
    assert len(set(found.values())) == len(found)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(choices()))
    assert protocols.load(tmp_path / "mine.yaml").hash == first.hash
    for change in (
        *({"size": 224}, {"border": "reflect"}, {"result_crf": 19}, {"metrics": {"psnr": 2}}),
        {"align": "upper"},
    ):
        assert replace(first, **change).hash != first.hash


def test_a_file_that_names_no_alignment_means_the_papers(tmp_path: Path) -> None:
    without = choices()
    assert without.pop("align") == "ffhq"
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(without))
    assert protocols.load(tmp_path / "mine.yaml").hash == protocols.load("first_frame").hash
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**without, "align": "upper"}))
    assert protocols.load(tmp_path / "mine.yaml").hash == protocols.load("fair_own").hash
    assert get_args(get_type_hints(protocols.Protocol)["align"]) == tuple(ALIGNMENTS)


def test_more_metrics_are_those_of_the_base_and_the_files_own(tmp_path: Path) -> None:
    metrics = {**dict.fromkeys([*PUBLISHED, "drive", "ghost"], 1), "psnr": 2, "psnr_mouth": 2}
    written_out = {"base": "first_frame", "driving": "cross", "metrics": metrics}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(written_out))
    assert protocols.load(tmp_path / "mine.yaml").hash == protocols.load("cross").hash
    (tmp_path / "few.yaml").write_text("base: first_frame\nmetrics: {psnr: 2}\n")
    (tmp_path / "more.yaml").write_text("base: few.yaml\nmore_metrics: {lmd: 1}\n")
    (tmp_path / "most.yaml").write_text("base: more.yaml\nsize: 96\nmore_metrics: {ssim: 1}\n")
    assert list(protocols.load(tmp_path / "most.yaml").metrics) == ["psnr", "lmd", "ssim"]
    assert list(protocols.load(tmp_path / "more.yaml").metrics) == ["psnr", "lmd"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: first_frame\nmore_metrics: {drive: 1}\nmetrics: {psnr: 2}\n", "has both metrics and more_metrics"),
        ("base: first_frame\nmore_metrics: {lmd: 1}\n", "more_metrics names 'lmd', which its base has already"),
        ("base: first_frame\nmore_metrics: [drive]\n", "more_metrics names metrics with their versions"),
        ("base: first_frame\nmore_metrics: {}\n", "more_metrics names metrics with their versions"),
        ("base: first_frame\nmore_metrics: {drive: 9}\n", "asks for drive in version 9"),
        ("base: first_frame\nmore_metrics: {vmaf: 1}\n", "no metric is called 'vmaf'"),
        ("more_metrics: {drive: 1}\n", "has the unknown more_metrics"),
        ("parts: [cross]\nmore_metrics: {psnr: 2}\n", "nothing stands beside it"),
    ],
)
def test_more_metrics_that_cannot_be_are_sentences(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(DubbenchError, match=words):
        protocols.load_all(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"driving": "both"}, "driving is 'both'; it can be own, cross"),
        ({"size": "large"}, "size is 'large', which is of the wrong type"),
        ({"size": True}, "wrong type"),
        ({"size": 0}, "at least 1"),
        ({"metrics": {"vmaf": 1}}, "no metric is called 'vmaf'; there are psnr"),
        ({"sync": "cropped"}, "sync is 'cropped'; it can be landmark, pipeline, precropped"),
        ({"pool_minimum": 1}, "pool_minimum at least 2"),
        ({"metrics": {"ssim": 7}}, "asks for ssim in version 7, this package computes version 1"),
        ({"metrics": {}}, "names no metric"),
        ({"align": "lower"}, "align is 'lower'; it can be ffhq, upper"),
        ({"colour": "red"}, "has the unknown colour"),
    ],
)
def test_wrong_files_are_sentences(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(choices(**changes)))
    with pytest.raises(DubbenchError, match=words):
        protocols.load(tmp_path / "mine.yaml")


def test_incomplete_and_absent_files_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("driving: own\n")
    with pytest.raises(DubbenchError, match="lacks border, clips, crop"):
        protocols.load(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_text("driving: [own\n")
    with pytest.raises(DubbenchError, match="not a protocol file"):
        protocols.load(tmp_path / "mine.yaml")
    with pytest.raises(DubbenchError, match="not a protocol file"):
        protocols.load(tmp_path / "absent.yaml")


def test_pairing_is_a_derangement_within_speakers() -> None:
    speakers = {f"{speaker}/{k}": speaker for speaker, count in {"a": 5, "b": 2, "c": 3}.items() for k in range(count)}
    pairs = pair(speakers, 0)
    assert sorted(pairs.values()) == sorted(speakers)
    assert all(clip != driving for clip, driving in pairs.items())
    assert all(speakers[clip] == speakers[driving] for clip, driving in pairs.items())
    assert pair(dict(reversed(speakers.items())), 0) == pairs
    assert pair(speakers, 1) != pairs


@pytest.mark.parametrize("alone", [["c"], ["c", "d"], ["c", "d", "e"]])
def test_speakers_with_one_clip_are_driven_too(alone: list[str]) -> None:
    speakers = {"a/1": "a", "a/2": "a", "a/3": "a", "b/1": "b", "b/2": "b", **{f"{name}/1": name for name in alone}}
    pairs = pair(speakers, 0)
    assert sorted(pairs.values()) == sorted(speakers)
    assert all(clip != driving for clip, driving in pairs.items())
    assert pairs["b/1"] == "b/2"
    if len(alone) > 1:
        assert {pairs[f"{name}/1"] for name in alone} == {f"{name}/1" for name in alone}


def test_one_clip_cannot_be_crossed() -> None:
    assert pair({"a/1": "a", "b/1": "b"}, 0) == {"a/1": "b/1", "b/1": "a/1"}
    with pytest.raises(DubbenchError, match="needs two clips, the split has 1"):
        pair({"a/1": "a"}, 0)
