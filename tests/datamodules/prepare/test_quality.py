"""``prepare --quality``: whose scores get where, that worse clips score lower, and what survives interruptions."""

import json
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from dubbench.assets import store
from dubbench.cli import main
from dubbench.core.files import sha256
from dubbench.datamodules.clip import MANIFEST_COLUMNS, PreparedClip, read_dataset, read_manifest
from dubbench.datamodules.prepare.quality import prepare_quality, settled_quality
from dubbench.datamodules.prepare.run import prepare
from dubbench.errors import DubbenchError
from dubbench.media.container import Image
from dubbench.media.video import read_frames
from dubbench.metrics.networks.hyperiqa import FILE, load_hyperiqa
from dubbench.metrics.networks.hyperiqa import hyperiqa as score
from tests import ROOT, hyperiqa
from tests.data import videos
from tests.datamodules.conftest import SIZE, tree

OWN = ["quality", "sharpness", "exposure", "face_size"]
CLIPS = ["anna/one", "anna/two words", "bob/ü", "dora"]


def blurred(sigma: float) -> Callable[[Image], Image]:
    return lambda frame: np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma), np.uint8)


def darkened(gain: float) -> Callable[[Image], Image]:
    return lambda frame: np.round(frame * gain).astype(np.uint8)


def brightened(gain: float) -> Callable[[Image], Image]:
    return lambda frame: np.clip(np.round(frame * gain), 0, 255).astype(np.uint8)


def shrunk(share: float) -> Callable[[Image], Image]:
    return lambda frame: np.asarray(cv2.resize(frame, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.uint8)


# From the mildest to the strongest.
WORSE = {
    "blur": [blurred(1), blurred(2), blurred(4)],
    "dark": [darkened(0.7), darkened(0.4), darkened(0.15)],
    "bright": [brightened(1.5), brightened(2.2)],
    "small": [shrunk(0.75), shrunk(0.5)],
}


@pytest.fixture(scope="module")
def graded(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The manifest of a real clip and its worse copies, by clip."""
    root, out = tmp_path_factory.mktemp("graded"), tmp_path_factory.mktemp("graded prepared")
    frames = list(islice(read_frames(shared / "data/grid/s1/bbaf2n.mpg"), 10))
    videos.write(root / "original.mp4", frames)
    for kind, steps in WORSE.items():
        for k, spoil in enumerate(steps, 1):
            videos.write(root / f"{kind}{k}.mp4", [spoil(frame) for frame in frames])
    words = ["prepare", "--dataset", "folder", "--root", str(root), "--out", str(out), "--size", "256"]
    assert main([*words, "--quality", "own"]) == 0
    table: pd.DataFrame = read_manifest(out).set_index("clip")
    assert len(table) == 1 + sum(map(len, WORSE.values()))
    assert not table[OWN].isna().any(axis=None)
    return table


@pytest.mark.parametrize("kind", WORSE)
def test_worse_copies_of_a_real_clip_score_lower_step_by_step(graded: pd.DataFrame, kind: str) -> None:
    names = ["original", *(f"{kind}{k}" for k in range(1, len(WORSE[kind]) + 1))]
    scores = graded["quality"][names].to_numpy()
    assert (np.diff(scores) < 0).all(), scores
    assert scores[-1] < 0.9 * scores[0]
    assert (graded["quality"] > 0).all()
    assert (graded["quality"] < 100).all()


def test_each_measure_tells_its_own_fault(graded: pd.DataFrame) -> None:
    original = graded.loc["original"]
    for k, share in enumerate((0.75, 0.5), 1):
        assert graded["face_size"][f"small{k}"] == pytest.approx(share * original["face_size"], rel=0.05)
    for kind, count in (("blur", 3), ("dark", 3)):
        for k in range(1, count + 1):
            assert graded["face_size"][f"{kind}{k}"] == pytest.approx(original["face_size"], rel=0.05)
    assert (np.diff(graded["sharpness"][["original", "blur1", "blur2", "blur3"]]) < -0.02).all()
    # Light changes the exposure and hardly the sharpness, blur the sharpness more than the exposure.
    for k in (1, 2):
        assert graded["sharpness"][f"dark{k}"] == pytest.approx(original["sharpness"], rel=0.12)
    assert graded["exposure"]["dark1"] == pytest.approx(0.7 * original["exposure"], rel=0.05)
    for blur in ("blur1", "blur2"):
        lost = graded.loc[blur, ["sharpness", "exposure"]] / original[["sharpness", "exposure"]]
        assert lost["sharpness"] < lost["exposure"]


def run(corpus: Path, out: Path, *more: str) -> int:
    words = ["prepare", "--dataset", "folder", "--root", str(corpus), "--out", str(out), "--size", str(SIZE)]
    return main([*words, "--smooth", "1.5", *more])


@pytest.fixture(scope="module")
def scored(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature corpus with scores, made in one go in this process."""
    out = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("scored") / "out"))
    report = prepare_quality(out, settled_quality("own"))
    assert (report.name, report.done, report.skipped, report.failures) == ("own", 4, 0, ())
    return out


@pytest.fixture
def copy(scored: Path, tmp_path: Path) -> Path:
    """The same, to spoil."""
    return Path(shutil.copytree(scored, tmp_path / "out"))


def test_a_finished_folder_gets_scores_and_nothing_else_changes(
    corpus: Path, prepared: Path, scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(prepared, tmp_path / "out"))
    assert run(corpus, out, "--quality", "own", "--json", "--workers", "2") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["prepared"], told["finished_before"]) == (0, 4)
    quality = told["quality"]
    scores = read_manifest(out)["quality"]
    assert quality.pop("tenths") == pytest.approx(
        {f"0.{k}": round(float(np.percentile(scores, 10 * k)), 2) for k in (1, 5, 9)}
    )
    assert quality == {"name": "own", "scored": 4, "finished_before": 0, "failures": [], "not_in_the_folder": 0}
    # In two processes, and over another way.
    assert tree(out) == tree(scored)
    before, after = tree(prepared), tree(out)
    files = {f"{clip}/quality.own.1.json" for clip in CLIPS}
    assert after.keys() - before.keys() == {*files, "quality_failures.csv"}
    assert {name for name in before if before[name] != after[name]} == {"manifest.parquet", "dataset.json"}
    manifest = read_manifest(out)
    assert list(manifest) == [*MANIFEST_COLUMNS, *OWN]
    pd.testing.assert_frame_equal(manifest[list(MANIFEST_COLUMNS)], read_manifest(prepared))
    assert read_dataset(out) == {**read_dataset(prepared), "quality": {"name": "own", "version": 1}}


def test_killed_it_goes_on_and_ends_with_the_same_bytes(
    corpus: Path, prepared: Path, scored: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(prepared, tmp_path / "out"))
    words = ["--dataset", "folder", "--root", str(corpus), "--out", str(out), "--size", str(SIZE), "--smooth", "1.5"]
    command = [sys.executable, "-m", "dubbench", "prepare", *words, "--quality", "own"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    first, deadline = out / CLIPS[0] / "quality.own.1.json", time.monotonic() + 300
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = sorted(path.parent.relative_to(out).as_posix() for path in out.rglob("quality.own.1.json"))
    assert 0 < len(kept) < 4
    report = prepare_quality(out, settled_quality("own"), workers=2)
    assert (report.done, report.skipped) == (4 - len(kept), len(kept))
    assert tree(out) == tree(scored)


def test_scores_stay_with_clips_that_stay(
    corpus: Path, copy: Path, scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(corpus, copy) == 0
    assert tree(copy) == tree(scored)
    assert "no quality score" not in capsys.readouterr().err
    source = Path(shutil.copytree(corpus, tmp_path / "in"))
    shutil.copy(source / "bob/ü.mp4", source / "dora.mp4")
    assert run(source, copy) == 0
    said = capsys.readouterr().err
    assert f"{copy}: 1 clips have no quality score; the same command with --quality own adds it" in said
    manifest, before = (read_manifest(root).set_index("clip") for root in (copy, scored))
    assert manifest.loc["dora", OWN].isna().all()
    pd.testing.assert_frame_equal(manifest.loc[CLIPS[:3], OWN], before.loc[CLIPS[:3], OWN])
    assert run(source, copy, "--quality", "own") == 0
    assert "1 scored by own, 3 scored before, 0 without a score" in capsys.readouterr().out
    again = read_manifest(copy).set_index("clip")
    assert again.loc["dora", OWN].tolist() == again.loc["bob/ü", OWN].tolist()


def test_a_score_of_other_pictures_or_landmarks_is_made_anew(copy: Path, scored: Path) -> None:
    own, other = (copy / clip / "quality.own.1.json" for clip in CLIPS[:2])
    shutil.copy(other, own)
    (copy / "dora/quality.own.1.json").write_text('{"quality": NaN}')
    (copy / "bob/ü/quality.own.0.json").write_text("{}")
    (copy / "bob/ü/quality.own.1.json").unlink()
    report = prepare_quality(copy, settled_quality("own"))
    assert (report.done, report.skipped) == (3, 1)
    assert tree(copy) == tree(scored)


def test_a_clip_that_cannot_be_judged_is_listed_and_has_no_score(copy: Path) -> None:
    track = dict(np.load(copy / "dora/track.npz"))
    track["detected"][:] = False
    np.savez(copy / "dora/track.npz", **track)
    about = json.loads((copy / "dora/clip.json").read_text())
    about.pop("files")
    (copy / "dora/clip.json").write_text(json.dumps(about))
    report = prepare_quality(copy, settled_quality("own"))
    assert (report.done, report.skipped) == (0, 3)
    assert (
        copy / "quality_failures.csv"
    ).read_text() == "clip,reason\ndora,no frame of the clip shows a face to judge\n"
    assert read_manifest(copy)["quality"].isna().tolist() == [False, False, False, True]


def test_a_table_of_ones_own(
    corpus: Path, copy: Path, scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        f"quality;clip\n3.5;anna/one\n-1;{unicodedata.normalize('NFD', 'bob/ü')}\n;dora\n7;eve\n", encoding="utf-8-sig"
    )
    assert run(corpus, copy, "--quality", str(table)) == 0
    said = capsys.readouterr().out
    assert f"2 scored by csv, 0 scored before, 2 without a score (see {copy / 'quality_failures.csv'})" in said
    assert f"{table}: 1 of its clips are not in {copy}" in said
    listed = "clip,reason\nanna/two words,mine.csv gives it no quality\ndora,mine.csv gives it no quality\n"
    assert (copy / "quality_failures.csv").read_text() == listed
    manifest = read_manifest(copy)
    assert list(manifest) == [*MANIFEST_COLUMNS, "quality"]
    np.testing.assert_array_equal(manifest["quality"], [3.5, np.nan, -1, np.nan])
    record = read_dataset(copy)["quality"]
    assert (record["name"], record["file"], len(record["sha256"])) == ("csv", "mine.csv", 64)
    # Kept by a later run, but not for another source.
    whole = tree(copy)
    assert run(corpus, copy) == 0
    assert tree(copy) == whole
    report = prepare_quality(copy, settled_quality(str(table)))
    assert (report.done, report.skipped, len(report.failures)) == (0, 2, 2)
    source = Path(shutil.copytree(corpus, tmp_path / "in"))
    shutil.copy(source / "dora.mp4", source / "anna/one.mp4")
    assert run(source, copy) == 0
    np.testing.assert_array_equal(read_manifest(copy)["quality"], [np.nan, np.nan, -1, np.nan])
    # What was computed before is still there.
    report = prepare_quality(copy, settled_quality("own"))
    assert (report.done, report.skipped) == (1, 3)
    assert list(read_manifest(copy)) == [*MANIFEST_COLUMNS, *OWN]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,score\na,1\n", "lacks the column quality"),
        ("clip,quality\na,1\na,2\n", "lists a twice"),
        ("clip,quality\na,good\n", "gives a the quality 'good'; give a finite number, or leave it empty"),
        ("clip,quality\na,inf\n", "gives a the quality 'inf'"),
        ("clip,quality\na,\n", "gives no clip a quality"),
    ],
)
def test_a_wrong_table_is_told_before_anything_is_prepared(
    corpus: Path, tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").write_text(text)
    assert run(corpus, tmp_path / "out", "--quality", str(tmp_path / "mine.csv")) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_word_is_told(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(corpus, tmp_path / "out", "--quality", "hyperqia") == 1
    assert "--quality hyperqia is not known; give own, hyperiqa or a CSV file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(DubbenchError, match="is not a prepared folder"):
        prepare_quality(tmp_path, settled_quality("own"))


def test_a_folder_without_scores_stays_as_it_was(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(prepared, tmp_path / "out"))
    prepare("folder", corpus, out, size=SIZE, smooth=1.5)
    assert tree(out) == tree(prepared)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HyperIQA's file with random weights, in the user's folder, as if it were the published one."""
    (tmp_path / "assets").mkdir()
    path = hyperiqa.write(tmp_path / "assets" / FILE, hyperiqa.state())
    row = replace(store.ASSETS[FILE], digest=sha256(path), size=path.stat().st_size)
    monkeypatch.setitem(store.ASSETS, FILE, row)
    monkeypatch.setenv("DUBBENCH_ASSETS", str(path.parent))
    return path


def test_hyperiqa_scores_the_aligned_frames(
    corpus: Path, copy: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(copy)
    manifest[:2].to_parquet(copy / "manifest.parquet", index=False)  # of each clip it judges 36 crops
    report = prepare_quality(copy, settled_quality("hyperiqa"), workers=2)
    assert (report.name, report.done, report.failures) == ("hyperiqa", 2, ())
    scores = read_manifest(copy)
    assert list(scores) == [*MANIFEST_COLUMNS, "quality"]
    # Of 30 frames with a face, the middles of three equal parts.
    frames = PreparedClip(copy, CLIPS[0]).frames([5, 15, 25])
    judge = load_hyperiqa(network)
    expected = np.mean([float(score(judge, torch.from_numpy(frame.transpose(2, 0, 1))[None])) for frame in frames])
    assert scores["quality"][0] == pytest.approx(expected, abs=0.006)
    assert read_dataset(copy)["quality"] == {"name": "hyperiqa", "version": 1, "sha256": sha256(network)}
    # Another network's score is made anew, by one process as by two, and ours are there still.
    whole = tree(copy)
    old = json.loads((copy / CLIPS[0] / "quality.hyperiqa.1.json").read_text())
    (copy / CLIPS[0] / "quality.hyperiqa.1.json").write_text(json.dumps({**old, "network": "0" * 64}))
    assert prepare_quality(copy, settled_quality("hyperiqa")).done == 1
    assert tree(copy) == whole
    assert prepare_quality(copy, settled_quality("own")).skipped == 2


def test_hyperiqa_without_its_file_is_told_before_anything_is_prepared(
    corpus: Path, tmp_path: Path, network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = hyperiqa.state()
    weights.pop("fc5b_fc.bias")
    hyperiqa.write(network, weights)
    assert run(corpus, tmp_path / "out", "--quality", "hyperiqa") == 1
    assert f"{network} is damaged or another version" in capsys.readouterr().err
    network.unlink()
    assert run(corpus, tmp_path / "out", "--quality", "hyperiqa") == 1
    said = capsys.readouterr().err
    assert f"{FILE} for HyperIQA (prepare --quality hyperiqa) is not here" in said
    assert f"`dubbench assets pull {FILE}`" in said
    assert not (tmp_path / "out").exists()
