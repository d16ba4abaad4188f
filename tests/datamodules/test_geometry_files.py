import shutil
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from dubbench.cli import main
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.geometry import geometry_name, model_path, read_geometry
from dubbench.datamodules.prepare import geometry
from dubbench.datamodules.prepare.geometry import prepare_geometry
from dubbench.errors import DubbenchError
from dubbench.face.landmarks import MESH_TO_68
from dubbench.face3d.model import LinearFaceModel, project
from dubbench.face3d.sources import learn_mesh
from tests import talking
from tests.datamodules.conftest import FRAMES, SIZE, tree

NAMES = ["anna/one", "anna/two words", "bob/ü", "dora"]


@pytest.fixture(scope="module")
def fitted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared corpus with geometry of its own mesh model."""
    root = tmp_path_factory.mktemp("fitted") / "out"
    shutil.copytree(prepared, root)
    report = prepare_geometry(root, "mesh")
    assert (report.done, report.skipped, report.failures) == (4, 0, ())
    return root


@pytest.fixture
def copy(fitted: Path, tmp_path: Path) -> Path:
    """The same, to spoil."""
    return Path(shutil.copytree(fitted, tmp_path / "copy"))


def files(root: Path) -> list[Path]:
    name = geometry_name(LinearFaceModel.load(model_path(root, "mesh")).hash())
    return [root / clip / name for clip in NAMES]


def test_another_clips_geometry_is_noticed_and_made_anew(copy: Path) -> None:
    """All clips have as many frames, so that nothing but the record tells them apart."""
    model = LinearFaceModel.load(copy / "face_mesh.npz")
    own, other, *_ = files(copy)
    before = own.read_bytes()
    shutil.copyfile(other, own)
    with pytest.raises(DubbenchError, match=r"was fitted to other landmarks than the clip's; remove it and run"):
        read_geometry(PreparedClip(copy, NAMES[0]), model.hash())
    report = prepare_geometry(copy, "mesh")
    assert (report.done, report.skipped) == (1, 3)
    assert own.read_bytes() == before


def test_every_clip_gets_coefficients_that_show_its_face(fitted: Path) -> None:
    model = LinearFaceModel.load(fitted / "face_mesh.npz")
    assert model.source == "mesh"
    for name in NAMES:
        clip = PreparedClip(fitted, name)
        geometry = read_geometry(clip, model.hash())
        shape, expression, pose = (torch.from_numpy(geometry.rows(part)) for part in ("shape", "expression", "pose"))
        assert geometry.pose.dtype == np.float32
        assert len(geometry) == FRAMES
        points = project(model.vertices(shape, expression)[:, model.landmarks], pose, SIZE)[..., :2].numpy()
        truth = clip.aligned_points()
        eyes = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
        error = np.linalg.norm(points - truth, axis=2).mean(1) / eyes
        assert error.mean() < 0.02
        np.testing.assert_allclose(geometry.error, error, atol=1e-4)
    assert sorted(path.name for path in fitted.iterdir() if path.is_file()) == [
        *("dataset.json", "face_mesh.npz", "failures.csv", "geometry_failures.csv", "manifest.parquet"),
    ]
    assert pd.read_csv(fitted / "geometry_failures.csv").empty


def test_poses_do_not_tell_how_the_mouth_stands(copy: Path) -> None:
    """The same clip with another mouth in every frame has the same poses, but for how its face sits on its head."""
    clip = PreparedClip(copy, "dora")
    model = LinearFaceModel.load(copy / "face_mesh.npz")
    before = read_geometry(clip, model.hash())
    track = dict(np.load(clip.folder / "track.npz"))
    lips = model.regions["lips"].numpy()
    opening = np.random.default_rng(4).uniform(0, 12, FRAMES)[:, None]
    below = track["mesh"][:, lips, 1] > track["mesh"][:, lips, 1].mean(1, keepdims=True)
    track["mesh"][:, lips, 1] += opening * below
    track["mesh"][:, :468, 1] += opening * np.isin(np.arange(468), model.regions["contour"].numpy()) * 0.5
    track["points"] = track["mesh"][:, MESH_TO_68, :2]
    talking.unrecorded(clip.folder)
    np.savez(clip.folder / "track.npz", **track)
    (clip.folder / geometry_name(model.hash())).unlink()
    assert prepare_geometry(copy, "mesh").done == 1
    after = read_geometry(PreparedClip(copy, "dora"), model.hash())
    differing = (after.pose - before.pose).astype(float)
    assert np.abs(after.expression - before.expression).mean() > 0.1
    # In radians, pixels and logarithms: what is left is how one and the same change stands under another turn.
    assert (differing.std(0) < [1e-3, 1e-3, 1e-3, 0.05, 0.05, 1e-4]).all()


def test_files_of_earlier_versions_are_refused_and_fitted_anew(copy: Path) -> None:
    whole = tree(copy)
    model = LinearFaceModel.load(copy / "face_mesh.npz")
    path = files(copy)[3]
    old = path.with_name(f"geometry.{model.hash()}.npz")
    path.rename(old)
    with pytest.raises(DubbenchError, match=r"has no geometry .* and version 2; .*--geometry"):
        read_geometry(PreparedClip(copy, "dora"), model.hash())
    report = prepare_geometry(copy, "mesh")
    assert (report.done, report.skipped) == (1, 3)
    assert tree(copy) == whole


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen speakers, broader and broader, with a clip each."""
    root = tmp_path_factory.mktemp("crowd")
    for k in range(15):
        faces = [np.asarray(cv2.resize(face, (190 + 4 * k, 231)), np.uint8) for face in talking.frames("ann/two")]
        talking.write(root / f"s{k:02d}/one.mkv", faces)
    return root


def test_a_corpus_too_large_to_be_learnt_from_whole(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the frames that are learnt from would be one of every clip, no clip would show how a face moves."""
    monkeypatch.setattr(geometry, "LEARNT_FROM", 29)
    out = tmp_path / "out"
    assert main(command(crowd, out, "--geometry", "mesh")) == 0
    model = LinearFaceModel.load(out / "face_mesh.npz")
    assert model.sizes[1] == 2  # three speakers
    assert model.sizes[2] > 8
    for k in range(15):
        clip = PreparedClip(out, f"s{k:02d}/one")
        assert read_geometry(clip, model.hash()).error.mean() < 0.02
    manifest = pd.read_parquet(out / "manifest.parquet")
    manifest["speaker"] = ["ann"] * 13 + ["bob", "cat"]
    manifest.to_parquet(out / "manifest.parquet")
    (out / "face_mesh.npz").unlink()
    taken: list[tuple[str, int]] = []

    def learnt(clips: Iterable[tuple[str, NDArray[np.float32]]]) -> LinearFaceModel:
        taken.extend((speaker, len(meshes)) for speaker, meshes in clips)
        return model

    monkeypatch.setattr(geometry, "learn_mesh", learnt)
    (out / "s13/one/track.npz").write_bytes(b"")  # bob's only clip gives way to somebody's second
    assert prepare_geometry(out, "mesh").skipped == 15
    assert sorted(taken) == [("ann", 9), ("ann", 9), ("cat", 9)]


def test_rows_come_in_any_order(fitted: Path) -> None:
    model = LinearFaceModel.load(fitted / "face_mesh.npz")
    geometry = read_geometry(PreparedClip(fitted, "dora"), model.hash())
    np.testing.assert_array_equal(geometry.rows("pose", [7, 2, 7]), geometry.pose[[7, 2, 7]])
    for wrong in ([-1], [FRAMES]):
        with pytest.raises(IndexError, match=f"of a clip with {FRAMES} frames"):
            geometry.rows("pose", wrong)


def test_a_second_run_redoes_what_is_missing_with_the_same_bytes(copy: Path) -> None:
    whole = tree(copy)
    first, second, third, fourth = files(copy)
    kept = fourth.stat().st_mtime_ns
    first.unlink()
    second.write_bytes(second.read_bytes()[:1000])
    np.savez(third, **{name: array[:5] if array.ndim else array for name, array in np.load(third).items()})
    (first.parent / f".{first.stem}.123.tmp.npz").write_bytes(b"left by a run that was killed")
    report = prepare_geometry(copy, "mesh", workers=2)
    assert (report.done, report.skipped, report.failures) == (3, 1, ())
    assert tree(copy) == whole
    assert fourth.stat().st_mtime_ns == kept


def test_clips_that_cannot_be_fitted_are_listed(copy: Path) -> None:
    for name in ("dora", "bob/ü", "anna/one"):
        talking.unrecorded(copy / name)
    track = dict(np.load(copy / "dora/track.npz"))
    track["detected"][:] = False
    np.savez(copy / "dora/track.npz", **track)
    track["detected"][5:] = True
    np.savez(copy / "bob/ü/track.npz", **track)
    (copy / "anna/one/track.npz").write_bytes(b"")
    for path in files(copy):
        path.unlink()
    report = prepare_geometry(copy, "mesh")
    assert (report.done, report.skipped) == (2, 0)
    table = pd.read_csv(copy / "geometry_failures.csv")
    assert list(table["clip"]) == ["anna/one", "dora"] == [failure.clip for failure in report.failures]
    assert table["reason"][1] == "no frame of the clip shows a face to fit"
    assert "track.npz is not a track" in table["reason"][0]
    assert str(copy) not in table["reason"][0]
    geometry = np.load(files(copy)[2])
    assert np.flatnonzero(np.isnan(geometry["error"])).tolist() == [0, 1, 2, 3, 4]
    assert all(np.isfinite(geometry[name]).all() for name in ("shape", "expression", "pose"))


def test_the_face_model_is_kept_and_may_be_another_folders(copy: Path, prepared: Path, tmp_path: Path) -> None:
    own = copy / "face_mesh.npz"
    clip = PreparedClip(copy, "dora")
    other = learn_mesh([("dora", clip.aligned_mesh(range(0, 20)))])
    other.save(tmp_path / "face.npz")
    before = own.read_bytes()
    with pytest.raises(DubbenchError, match=r"face_mesh\.npz is another face model than the one given"):
        prepare_geometry(copy, "mesh", file=tmp_path / "face.npz")
    assert own.read_bytes() == before
    own.unlink()
    assert prepare_geometry(copy, "mesh", file=tmp_path / "face.npz").done == 4
    assert LinearFaceModel.load(own).hash() == other.hash()
    assert read_geometry(clip, other.hash()).pose.shape == (FRAMES, 6)
    own.write_bytes(before[:5000])
    with pytest.raises(DubbenchError, match=r"face_mesh\.npz is no face model .* remove it"):
        prepare_geometry(copy, "mesh")


def test_coefficients_that_are_absent_or_of_another_clip(copy: Path) -> None:
    clip = PreparedClip(copy, "dora")
    with pytest.raises(
        DubbenchError, match=r"clip dora of .* has no geometry of face model 0123456789ab and version 2; .*--geometry"
    ):
        read_geometry(clip, "0123456789ab")
    held = dict(np.load(files(copy)[3]))
    path = copy / "dora" / geometry_name("0123456789ab")
    np.savez(path, **{name: array[:9] if array.ndim else array for name, array in held.items()})
    with pytest.raises(DubbenchError, match=r"holds shape of shape \(9, .* for 30 frames; remove it"):
        read_geometry(clip, "0123456789ab")
    del held["pose"]
    np.savez(path, **held)
    with pytest.raises(DubbenchError, match="lacks pose; remove it"):
        read_geometry(clip, "0123456789ab")


def command(corpus: Path, out: Path, *more: str) -> list[str]:
    options = ["--dataset", "folder", "--root", str(corpus), "--out", str(out), "--size", str(SIZE), "--smooth", "1.5"]
    return ["prepare", *options, *more]


def test_the_command_prepares_and_then_fits(corpus: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(copy)[1].unlink()
    assert main(command(corpus, copy, "--geometry", "mesh")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{copy}: 0 prepared, 4 finished before, 0 failed"
    assert lines[1] == f"{copy}: 1 fitted with mesh, 3 finished before, 0 failed"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--geometry", "cube"], "--geometry cube is not known; give mesh, ict or bfm"),
        (["--geometry_file", "x.npz"], "--geometry_file wants --geometry beside it"),
        (["--geometry", "ict"], "ict_facekit_face9409.npz is not here; put your copy into"),
        (["--geometry", "bfm"], "BFM_model_front.mat is not here; put your copy into"),
        (["--geometry", "bfm", "--geometry_file", "/nowhere/x.mat"], "--geometry_file /nowhere/x.mat is not there"),
        (["--geometry", "mesh", "--geometry_file", "{corpus}/dora.mp4"], "dora.mp4 is no face model"),
        (["--geometry", "ict", "--geometry_file", "{corpus}"], "ict_facekit_face9409.npz is not there"),
    ],
)
def test_bad_geometry_is_told_before_anything_is_prepared(
    options: list[str], words: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(command(corpus, out, *(option.format(corpus=corpus) for option in options))) == 1
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_ict_is_found_among_the_assets(shared: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("anna", "bob"):
        shutil.rmtree(copy / name)
    manifest = pd.read_parquet(copy / "manifest.parquet")
    manifest[manifest["clip"] == "dora"].to_parquet(copy / "manifest.parquet")
    monkeypatch.setenv("DUBBENCH_ASSETS", str(shared / "assets"))
    assert prepare_geometry(copy, "ict").done == 1
    model = LinearFaceModel.load(copy / "face_ict.npz")
    assert read_geometry(PreparedClip(copy, "dora"), model.hash()).error.mean() < 0.04
    monkeypatch.delenv("DUBBENCH_ASSETS")
    assert prepare_geometry(copy, "ict").skipped == 1
