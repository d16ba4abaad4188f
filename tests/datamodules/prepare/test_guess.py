"""``prepare --geometry bfm`` with and without the user's copy of D3DFR's network."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from dubbench.cli import main
from dubbench.core.files import sha256
from dubbench.datamodules import geometry
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.geometry import ClipGeometry, model_path, read_geometry
from dubbench.datamodules.prepare.geometry import prepare_geometry
from dubbench.datamodules.prepare.run import prepare
from dubbench.errors import DubbenchError
from dubbench.face.landmarks import MESH_TO_68
from dubbench.face3d.mesh_topology import mesh_triangles
from dubbench.face3d.model import LinearFaceModel
from tests.data import videos
from tests.datamodules.conftest import tree
from tests.face3d.basel import constant_state, write_network

SIZE, FRAMES = 64, 6
MODEL, NETWORK = "BFM_model_front.mat", "epoch_20.pth"
EXPRESSION = torch.linspace(-1, 1, 64)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    videos.write(root / "ann.mp4", videos.portraits(FRAMES))
    videos.write(root / "bob.mp4", videos.portraits(FRAMES + 2)[2:])
    return root


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks' files, to be put beside the face model."""
    folder = tmp_path_factory.mktemp("own")
    write_network(folder / "one.pth", constant_state(torch.zeros(80), EXPRESSION))
    write_network(folder / "two.pth", constant_state(torch.ones(80), EXPRESSION))
    return folder


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A prepared folder, and one with a face model in the Basel packing whose mean is the face in it."""
    root, folder = tmp_path_factory.mktemp("made") / "out", tmp_path_factory.mktemp("assets")
    prepare("folder", corpus, root, size=SIZE)
    mesh = PreparedClip(root, "ann").aligned_mesh([0])[0, :468].astype(np.float64)
    random = np.random.default_rng(2)
    waves = np.sin(mesh @ random.normal(0, 4 / SIZE, (3, 3 * 144)) + random.uniform(0, 6, 3 * 144)).reshape(-1, 144)
    held = {
        "meanshape": (mesh * [1, -1, -1]).reshape(1, -1),
        "idBase": waves[:, :80] * SIZE / 300,
        "exBase": waves[:, 80:] * SIZE / 300,
        "tri": mesh_triangles(mesh) + 1,
        "keypoints": np.array(MESH_TO_68)[None] + 1,
    }
    savemat(folder / MODEL, held)
    return root, folder


@pytest.fixture
def root(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """The prepared folder, to spoil."""
    return Path(shutil.copytree(made[0], tmp_path / "out"))


@pytest.fixture
def folder(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's assets, with the face model alone."""
    monkeypatch.setenv("DUBBENCH_ASSETS", str(tmp_path / "assets"))
    return Path(shutil.copytree(made[1], tmp_path / "assets"))


def run(corpus: Path, root: Path, *more: str) -> int:
    options = ["--dataset", "folder", "--root", str(corpus), "--out", str(root), "--size", str(SIZE)]
    return main(["prepare", *options, "--geometry", "bfm", *more])


def found(root: Path, clip: str = "ann") -> ClipGeometry:
    return read_geometry(PreparedClip(root, clip), LinearFaceModel.load(model_path(root, "bfm")).hash())


def test_the_network_is_used_where_it_is_and_the_report_says_so(
    corpus: Path, root: Path, folder: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = Path(shutil.copytree(root, tmp_path / "closed"))
    assert run(corpus, closed) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"{closed}: 2 fitted with bfm (first guess: closed form), 0 finished before, 0 failed"
    shutil.copy(own / "one.pth", folder / NETWORK)
    assert run(corpus, root) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"{root}: 2 fitted with bfm (first guess: {NETWORK} of D3DFR), 0 finished before, 0 failed"
    assert model_path(root, "bfm").read_bytes() == model_path(closed, "bfm").read_bytes()
    one, other = found(root), found(closed)
    assert (one.guess, other.guess) == (sha256(folder / NETWORK), "")
    # The regularisation holds the expression near where it began.
    distance = [np.abs(geometry.expression - EXPRESSION.numpy()).mean() for geometry in (one, other)]
    assert distance[0] < 0.5 * distance[1]
    assert max(np.nanmean(geometry.error) for geometry in (one, other)) < 0.05
    whole = tree(root)
    (root / "ann" / geometry.geometry_name(LinearFaceModel.load(model_path(root, "bfm")).hash())).unlink()
    report = prepare_geometry(root, "bfm", workers=2)
    assert (report.done, report.skipped) == (1, 1)
    assert tree(root) == whole


def test_a_folder_keeps_the_guess_that_it_began_with(
    corpus: Path, root: Path, folder: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare_geometry(root, "bfm").guess == "closed form"
    shutil.copy(own / "one.pth", folder / NETWORK)
    report = prepare_geometry(root, "bfm")
    assert (report.done, report.skipped) == (0, 2)
    assert report.guess == f"closed form as before; remove {root}/face_bfm.npz to fit all clips anew from {NETWORK}"
    before = tree(root)
    (root / "face_bfm.json").unlink()  # a folder from before there was a choice
    assert prepare_geometry(root, "bfm").skipped == 2
    (root / "face_bfm.npz").unlink()
    report = prepare_geometry(root, "bfm")
    assert (report.done, report.guess) == (2, f"{NETWORK} of D3DFR")
    after = tree(root)
    assert before["face_bfm.npz"] == after["face_bfm.npz"]
    shutil.copy(own / "two.pth", folder / NETWORK)
    assert run(corpus, root) == 1
    assert f"{folder / NETWORK} is not the {NETWORK} that the clips of {root} were" in capsys.readouterr().err
    (folder / NETWORK).unlink()
    assert run(corpus, root) == 1
    assert f"the first guess of a {NETWORK} that is not here; put it into" in capsys.readouterr().err
    assert tree(root) == after
    (root / "face_bfm.json").write_text("{}")
    with pytest.raises(DubbenchError, match=r"face_bfm\.json is damaged .* remove .*face_bfm\.npz to fit"):
        prepare_geometry(root, "bfm")


def test_another_file_is_told_before_anything_is_prepared(
    corpus: Path, folder: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Beside the face model that is given, before the places of assets.
    given = Path(shutil.copytree(folder, tmp_path / "given"))
    shutil.copy(own / "one.pth", folder / NETWORK)
    torch.save({"weight": torch.zeros(3)}, given / NETWORK)
    for path in (given, given / MODEL):
        assert run(corpus, tmp_path / "new", "--geometry_file", str(path), "--quiet") == 1
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1
        assert said[0].startswith(f"dubbench: {given / NETWORK} is not Deep3DFaceRecon's {NETWORK} (it holds no net")
    assert not (tmp_path / "new").exists()


def test_only_bfm_has_a_network(root: Path, folder: Path) -> None:
    (folder / NETWORK).write_bytes(b"nothing of the kind")
    report = prepare_geometry(root, "mesh")
    assert (report.done, report.guess) == (2, "")
    assert not list(root.glob("face_*.json"))


def test_a_clip_without_a_face_fails_alone(root: Path, folder: Path, own: Path) -> None:
    shutil.copy(own / "one.pth", folder / NETWORK)
    track = dict(np.load(root / "ann/track.npz"))
    track["detected"][:] = False
    np.savez(root / "ann/track.npz", **track)
    report = prepare_geometry(root, "bfm")
    assert report.done == 1
    assert [failure.reason for failure in report.failures] == ["no frame of the clip shows a face to fit"]


def test_a_full_disk_stops_the_fit_with_one_sentence(
    corpus: Path, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def full(path: Path, arrays: object) -> None:
        tried.append(path.parent.name)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(geometry, "write_arrays", full)
        assert run(corpus, root) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"dubbench: no room left to write {root} (OSError in ")
    assert said.endswith("make room and run the same command again, fitted clips are kept")
    assert len(tried) == 1
    assert not (root / "geometry_failures.csv").exists()
    assert prepare_geometry(root, "bfm").done == 2
