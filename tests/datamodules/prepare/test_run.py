import fcntl
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dubbench.core.files import sha256
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.prepare.run import prepare
from dubbench.datamodules.splits import by_hash
from dubbench.errors import DubbenchError
from tests.data import videos
from tests.datamodules.conftest import FRAMES, SIZE, tree


def failures(out: Path) -> dict[str, str]:
    table = pd.read_csv(out / "failures.csv")
    assert list(table) == ["clip", "source", "reason"]
    return dict(zip(table["clip"], table["reason"], strict=True))


def test_a_prepared_folder_holds_the_corpus(prepared: Path, corpus: Path) -> None:
    manifest = read_manifest(prepared)
    assert list(manifest["clip"]) == ["anna/one", "anna/two words", "bob/ü", "dora"]
    assert list(manifest["speaker"]) == ["anna", "anna", "bob", "dora"]
    assert list(manifest["split"]) == [by_hash(name) for name in ("anna", "anna", "bob", "dora")]
    assert set(manifest["frames"]) == {FRAMES}
    assert set(manifest["detected"]) == {1.0}
    for row in manifest.to_dict("records"):
        assert row["source_sha256"] == sha256(corpus / str(row["source"]))
        folder = prepared / str(row["clip"])
        assert sorted(path.name for path in folder.iterdir()) == ["audio.wav", "clip.json", "track.npz", "video.mp4"]
        assert json.loads((folder / "clip.json").read_text())["source_sha256"] == row["source_sha256"]
    assert failures(prepared) == {}
    assert json.loads((prepared / "dataset.json").read_text())["root"] == str(corpus)
    assert sorted(path.name for path in prepared.iterdir()) == [
        *("anna", "bob", "dataset.json", "dora", "failures.csv", "manifest.parquet"),
    ]


def test_two_workers_write_the_same_bytes_as_one(prepared: Path, corpus: Path, tmp_path: Path) -> None:
    prepare("folder", corpus, tmp_path / "out", size=SIZE, smooth=1.5, workers=2)
    assert tree(tmp_path / "out") == tree(prepared)


def test_a_second_run_redoes_only_what_is_missing_or_changed(prepared: Path, corpus: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(corpus, source)
    prepare("folder", source, out, size=SIZE, smooth=1.5)
    whole = tree(out)
    made = {name: (out / name / "video.mp4").stat().st_mtime_ns for name in ("anna/one", "bob/ü", "dora")}
    shutil.rmtree(out / "dora")
    (out / "bob/ü/track.npz").unlink()
    (out / "anna/two words/clip.json").write_text('{"clip": "of another form"}')
    report = prepare("folder", source, out, size=SIZE, smooth=1.5)
    assert (report.done, report.skipped, report.failed) == (3, 1, 0)
    assert tree(out) == whole
    assert {n: (out / n / "video.mp4").stat().st_mtime_ns == t for n, t in made.items()} == {
        "anna/one": True,
        "bob/ü": False,
        "dora": False,
    }
    shutil.copy(source / "bob/ü.mp4", source / "dora.mp4")
    report = prepare("folder", source, out, size=SIZE, smooth=1.5)
    assert (report.done, report.skipped) == (1, 3)
    assert (out / "dora/video.mp4").read_bytes() == (out / "bob/ü/video.mp4").read_bytes()


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, str]]:
    root, out = tmp_path_factory.mktemp("bad"), tmp_path_factory.mktemp("bad prepared")
    expected = videos.bad_files(root)
    videos.odd_files(root)
    os.link(root / "text.mp4", root / os.fsdecode(b"\xff name.mp4"))
    report = prepare("folder", root, out, size=SIZE)
    assert (report.done, report.failed) == (6, len(expected) + 1)
    return root, out, expected


def test_bad_files_are_listed_with_their_reasons(bad: tuple[Path, Path, dict[str, str]]) -> None:
    root, out, expected = bad
    reasons = failures(out)
    assert reasons.pop("? name") == "the file name is not valid UTF-8; rename the file"
    assert reasons.keys() == expected.keys()
    for clip, word in expected.items():
        assert word in reasons[clip]
        assert str(root) not in reasons[clip]
        assert not (out / clip).exists()


def test_odd_files_are_prepared_like_any_other(bad: tuple[Path, Path, dict[str, str]]) -> None:
    _, out, _ = bad
    manifest = read_manifest(out)
    assert list(manifest["clip"]) == sorted(
        f"odd/{name}" for name in ("sides", "8 kHz", "48 kHz", "rate", "ünï 'quoted', (1)", "blinks")
    )
    for name in manifest["clip"]:
        clip = PreparedClip(out, str(name))
        assert len(clip) == (17 if name == "odd/blinks" else 12)
        assert clip.frames(range(len(clip))).shape == (len(clip), SIZE, SIZE, 3)
        spectrum = np.abs(np.fft.rfft(clip.speech()))
        assert spectrum.argmax() * 16_000 / len(clip.speech()) == pytest.approx(200, abs=12)
    assert PreparedClip(out, "odd/sides").info.source_height == videos.SIDE - 1


def test_frames_without_a_face_take_the_nearest_one(bad: tuple[Path, Path, dict[str, str]]) -> None:
    clip = PreparedClip(bad[1], "odd/blinks")
    missing = [0, 1, 10, 11, 12]
    assert np.flatnonzero(~clip.detected()).tolist() == missing
    assert clip.info.detected == pytest.approx(12 / 17, abs=1e-6)
    nearest = [2, 2, 9, 9, 13]
    for read in (clip.points, clip.mesh, clip.transforms):
        np.testing.assert_array_equal(read(missing), read(nearest))
    assert clip.frames([0, 11]).std() < 2 < 30 < clip.frames([2, 9]).std()


def test_largest_goes_on_where_one_refused(bad: tuple[Path, Path, dict[str, str]], tmp_path: Path) -> None:
    root, out, expected = bad
    shutil.copytree(out, tmp_path / "again")
    report = prepare("folder", root, tmp_path / "again", size=SIZE, faces="largest")
    assert (report.done, report.skipped, report.failed) == (1, 6, len(expected))
    clip = PreparedClip(tmp_path / "again", "two faces")
    assert clip.points()[..., 0].max() < videos.SIDE  # the left one is larger
    assert set(json.loads(path.read_text())["faces"] for path in (tmp_path / "again").rglob("clip.json")) == {"largest"}
    report = prepare("folder", root, tmp_path / "again", size=SIZE, faces="one", limit=2)
    assert len(read_manifest(tmp_path / "again")) >= 6


def test_another_split_is_given_to_finished_clips(prepared: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "out")
    (tmp_path / "split.csv").write_text("clip,speaker,split\n,anna,val\nanna/one,anna,test\n")
    options = {"size": SIZE, "smooth": 1.5, "split": str(tmp_path / "split.csv")}
    report = prepare("folder", corpus, tmp_path / "out", **options)  # type: ignore[arg-type]  # of several types
    assert (report.done, report.skipped) == (0, 4)
    manifest = read_manifest(tmp_path / "out")
    assert list(manifest["split"][:2]) == ["test", "val"]
    assert PreparedClip(tmp_path / "out", "anna/one").info.split == "test"


def test_a_folder_made_otherwise_is_left_alone(prepared: Path, corpus: Path) -> None:
    before = tree(prepared)
    for options in ({"size": 96, "smooth": 1.5}, {"size": SIZE, "smooth": 0}):
        with pytest.raises(DubbenchError, match=r"was prepared with (size 64|smooth 1.5); .* --out"):
            prepare("folder", corpus, prepared, **options)
    assert tree(prepared) == before


def test_two_runs_do_not_share_a_folder(corpus: Path, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(DubbenchError, match="another dubbench prepare is writing"):
        prepare("folder", corpus, tmp_path, size=SIZE)
    os.close(folder)
    assert list(tmp_path.iterdir()) == []


def test_limit_takes_the_first_clips_and_forgets_no_others(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare("folder", corpus, out, size=SIZE, smooth=1.5, limit=1)
    assert list(read_manifest(out)["clip"]) == ["anna/one"]
    shutil.copytree(prepared / "dora", out / "dora")
    prepare("folder", corpus, out, size=SIZE, smooth=1.5, limit=1)
    assert list(read_manifest(out)["clip"]) == ["anna/one", "dora"]


def test_what_was_prepared_is_no_source(tmp_path: Path) -> None:
    videos.write(tmp_path / "anna.mp4", videos.portraits(6))
    for _ in range(2):
        assert prepare("folder", tmp_path, tmp_path / "out", size=SIZE).failed == 0
    assert list(read_manifest(tmp_path / "out")["clip"]) == ["anna"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 4}, "--size 4"),
        ({"workers": 0}, "--workers 0"),
        ({"smooth": -1.0}, "--smooth -1"),
        ({"smooth": float("nan")}, "--smooth nan"),
        ({"limit": 0}, "--limit 0"),
        ({"faces": "all"}, "one or largest"),
        ({"split": "speakers"}, "auto, speaker, clip"),
    ],
)
def test_bad_options_are_told(corpus: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        prepare("folder", corpus, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_real_grid_clips(shared: Path, tmp_path: Path) -> None:
    report = prepare("grid", shared / "data" / "grid", tmp_path, size=128, limit=2)
    assert (report.done, report.failed) == (2, 0)
    manifest = read_manifest(tmp_path)
    assert list(manifest["clip"]) == ["s1/bbaf2n", "s1/bbaszn"]
    assert list(manifest["frames"]) == [75, 75]
    clip = PreparedClip(tmp_path, "s1/bbaf2n")
    eyes_and_mouth = clip.aligned_points(size=128)[:, [36, 39, 42, 45, 48, 54]].mean(0)
    # Where FFHQ puts eyes and mouth corners, as shares of the side.
    expected = np.array([[0.36, 0.46], [0.44, 0.46], [0.56, 0.46], [0.64, 0.46], [0.42, 0.71], [0.58, 0.71]]) * 128
    assert np.abs(eyes_and_mouth - expected).max() < 6
    assert np.abs(clip.speech()).max() > 0.05
