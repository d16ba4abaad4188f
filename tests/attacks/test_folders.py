"""What somebody hands over as a prepared folder, as results or beside a page: nothing is reached beyond it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dubbench.cli import main
from dubbench.evaluation.score_clip import score_clip
from tests import talking
from tests.boards import results, video

PROTOCOL = "base: first_frame\nmetrics: {mse: 1}\n"
CLIPS = ("ann/one", "ann/two")


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder that no verb is told of."""
    folder = tmp_path / "private"
    for name in ("0/diary.txt", "copy_reference/ann/one.mp4", "copy_reference/ann/one.json", "old-0123abcd.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return folder


@pytest.fixture
def copy(prepared: Path, tmp_path: Path) -> Path:
    """A prepared folder of the test's own."""
    return Path(shutil.copytree(prepared, tmp_path / "prepared"))


def untouched(folder: Path) -> bool:
    return {path.read_text() for path in folder.rglob("*") if path.is_file()} == {"mine"} and len(
        [path for path in folder.rglob("*") if path.is_file()]
    ) == 4


def linked(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def scoring(root: Path, out: Path, *words: str) -> list[str]:
    """Words that score the first clip by one metric."""
    rules = out.parent / "cheap.yaml"
    rules.write_text(PROTOCOL)
    videos = out.parent / "theirs"
    if not videos.is_dir():
        video(videos / "ann/one.mp4", 0.2)
    data = ["--dataset", "folder", "--dataset.root", str(root), "--protocol", str(rules), "--limit", "1"]
    return ["eval", "--videos", str(videos), "--method", "theirs", *data, "--out", str(out), *words]


@pytest.mark.parametrize("name", [".partial", "manifest.parquet", "failures.csv", "dataset.json"])
def test_prepare_writes_and_removes_nothing_through_a_link(
    name: str, corpus: Path, copy: Path, private: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "dataset.json":
        shutil.copyfile(copy / name, private.parent / name)
        linked(copy / name, private.parent / name)
        before = (private.parent / name).read_bytes()
    else:
        linked(copy / name, private)
    words = ["prepare", "--dataset", "folder", "--root", str(corpus), "--out", str(copy), "--size", "128"]
    assert main([*words, "--faces", "largest"]) == 1
    assert "is a symbolic link, and nothing is written or removed through one" in capsys.readouterr().err
    assert untouched(private)
    assert name != "dataset.json" or (private.parent / name).read_bytes() == before


@pytest.mark.parametrize("name", ["videos", "parts", "videos/copy_reference", "parts/copy_reference", "summary.csv"])
def test_eval_writes_and_removes_nothing_through_a_link(
    name: str, prepared: Path, tmp_path: Path, private: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    linked(out / name, private / "copy_reference" if "/" in name else private)
    assert main(scoring(prepared, out)) == 1
    assert "is a symbolic link, and nothing is written or removed through one" in capsys.readouterr().err
    assert untouched(private)


def test_a_link_planted_while_eval_runs_ends_it(
    prepared: Path, tmp_path: Path, private: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def planting(*job: Any, **how: Any) -> object:  # noqa: ANN401
        linked(out / "parts/copy_reference", private / "copy_reference")
        return score_clip(*job, **how)

    monkeypatch.setattr("dubbench.evaluation.evaluate.score_clip", planting)
    assert main(scoring(prepared, out)) == 1
    assert "is a symbolic link" in capsys.readouterr().err
    assert untouched(private)


def test_a_page_removes_and_writes_nothing_through_a_link(
    tmp_path: Path, private: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(tmp_path / "run", {"mine": {"psnr": [30.0, 31.0]}})
    video(folder / "videos/mine/s1/c000.mp4", 0.2)
    linked(tmp_path / "board_files", private)
    words = ["leaderboard", str(folder), "--out", str(tmp_path / "w.csv"), "--html", str(tmp_path / "board.html")]
    assert main(words) == 1
    assert "board_files is a symbolic link" in capsys.readouterr().err
    assert untouched(private)


@pytest.mark.parametrize("how", ["folder", "link"])
def test_videos_outside_the_results_are_shown_only_when_asked_for(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    video(secret / "s1/c000.mp4", 0.2)
    video(secret / "s1/c001.mp4", 0.2)
    methods = {"theirs": {"folder": str(secret)}} if how == "folder" else {}
    folder = results(tmp_path / "run", {"theirs": {"psnr": [30.0, 31.0]}}, methods=methods)
    if how == "link":
        for clip in ("c000", "c001"):
            linked(folder / f"videos/theirs/s1/{clip}.mp4", secret / f"s1/{clip}.mp4")
    page = ["leaderboard", str(folder), "--out", str(tmp_path / "w.csv"), "--html", str(tmp_path / "site/page.html")]
    assert main(page) == 0
    assert not (tmp_path / "site/page_files").exists()
    assert how == "link" or f"--video_root {secret} shows them" in capsys.readouterr().err
    study = ["study", "make", str(folder), "--out", str(tmp_path / "study")]
    assert main(study) == 1
    assert not (tmp_path / "study").exists()
    allowed = ["--video_root", str(secret)]
    assert main([*page, *allowed]) == 0
    assert len(list((tmp_path / "site/page_files").iterdir())) == 2
    assert main([*study, *allowed]) == 0


TAMPERED: dict[str, Callable[[Path], object]] = {
    "a track swapped between clips": lambda root: swap(root, "track.npz"),
    "sound swapped between clips": lambda root: swap(root, "audio.wav"),
    "pictures swapped between clips": lambda root: swap(root, "video.mp4"),
    "a track cut off": lambda root: cut(root / CLIPS[0] / "track.npz"),
    "sound edited": lambda root: flip(root / CLIPS[0] / "audio.wav"),
}


def swap(root: Path, name: str) -> None:
    one, other = (root / clip / name for clip in CLIPS)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("attack", TAMPERED)
def test_prepared_files_that_were_changed_are_not_scored(
    attack: str, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TAMPERED[attack](copy)
    assert main(scoring(copy, tmp_path / "out")) == 1
    assert "is not the file that was prepared: it was changed since; run dubbench prepare again" in (
        capsys.readouterr().err
    )


def test_prepare_makes_changed_clips_anew_and_records_those_of_older_versions(corpus: Path, copy: Path) -> None:
    whole = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    swap(copy, "track.npz")
    talking.unrecorded(copy / CLIPS[1])
    swap(copy, "track.npz")
    flip(copy / CLIPS[0] / "audio.wav")
    words = ["prepare", "--dataset", "folder", "--root", str(corpus), "--out", str(copy), "--size", "128"]
    split = copy.parent / "split.csv"
    split.write_text("clip,speaker,split\n,ann,test\n,bob,test\n")
    assert main([*words, "--faces", "largest", "--split", str(split)]) == 0
    now = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert {path for path in whole if whole[path] != now[path]} <= {copy / "dataset.json"}


CLIP_JSON = {
    "a source elsewhere": ({"source": "/etc/hostname"}, "is not below the corpus"),
    "a source above": ({"source": "../../private/diary.mkv"}, "is not below the corpus"),
    "no form": ({"files": {"video.mp4": 1}}, "does not describe a prepared clip"),
}


@pytest.mark.parametrize("attack", CLIP_JSON)
def test_what_a_clip_says_of_itself_is_not_believed(
    attack: str, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, told = CLIP_JSON[attack]
    path = copy / CLIPS[0] / "clip.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert main(scoring(copy, tmp_path / "out")) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["video.mp4", "clip.json", ""])
def test_prepared_clips_that_are_links_outside_are_refused(
    name: str, copy: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linked(copy / CLIPS[0] / name if name else copy / CLIPS[0], prepared / CLIPS[0] / name)
    assert main(scoring(copy, tmp_path / "out")) == 1
    assert "points outside" in capsys.readouterr().err


def test_old_clips_are_scored_and_say_so_once_and_edited_values_are_scored_again(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for clip in CLIPS:
        talking.unrecorded(copy / clip)
    out = tmp_path / "out"
    assert main(scoring(copy, out)) == 0
    told = capsys.readouterr().err
    assert told.count("do not say what their files should hold") == 1
    assert "1 of 1 clips" in told
    part = out / "parts/copy_reference/ann/one.json"
    true = part.read_bytes()
    part.write_text(json.dumps(json.loads(true) | {"values": {"mse": 0.5}}))
    before = (out / "summary.csv").read_bytes()
    assert main(scoring(copy, out)) == 0
    assert f"{part} was changed after dubbench eval wrote it; the clip is scored again" in capsys.readouterr().err
    assert (out / "summary.csv").read_bytes() == before
    assert json.loads(part.read_bytes())["values"]["mse"] == json.loads(true)["values"]["mse"]
    # Nobody recorded what they should be, and yet edited files are another clip's than those that were scored.
    flip(copy / CLIPS[0] / "audio.wav")
    assert main(scoring(copy, out)) == 0
    assert "reused:" not in capsys.readouterr().err
    swap(copy, "track.npz")
    assert main(scoring(copy, out)) == 1
    assert "is not the file that was prepared" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["leaderboard", "compare"])
def test_a_summary_that_its_clips_do_not_give_is_refused(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(tmp_path / "run", {"mine": {"psnr": [30.0, 31.0]}})
    (folder / "summary.csv").write_text((folder / "summary.csv").read_text().replace("30.5", "55.5"))
    out = str(tmp_path / "new.csv")
    words = {"leaderboard": [verb, str(folder), "--out", out], "compare": [verb, out, str(folder), "--accept"]}
    assert main(words[verb]) == 1
    assert "gives mine a psnr of 55.5 over 2 clips, the clips.csv beside it 30.5 over 2" in capsys.readouterr().err
    assert not Path(out).exists()


def test_a_tolerance_without_end_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, baseline = results(tmp_path / "run", {"mine": {"psnr": [30.0, 31.0]}}), tmp_path / "base.csv"
    assert main(["compare", str(baseline), str(folder), "--accept"]) == 0
    baseline.write_text(baseline.read_text().replace(",0.05,", ",inf,"))
    assert main(["compare", str(baseline), str(folder)]) == 1
    assert "atol at least 0 and finite" in capsys.readouterr().err
