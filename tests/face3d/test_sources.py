import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from dubbench.errors import DubbenchError
from dubbench.face.landmarks import MESH_TO_68
from dubbench.face3d.model import LinearFaceModel
from dubbench.face3d.sources import learn_mesh, load_bfm, load_ict
from tests.face3d.basel import packed

CLEAR = 0.5  # of the nose base, whose height the mean of speakers decides
Meshes = list[tuple[str, NDArray[np.float32]]]


@pytest.fixture(scope="module")
def canonical(shared: Path) -> NDArray[np.float64]:
    """MediaPipe's canonical face [468, 3], turned to x right, y down, z away."""
    lines = (shared / "assets/canonical_face_model.obj").read_text().splitlines()
    rows = [[float(word) for word in line.split()[1:]] for line in lines if line.startswith("v ")]
    turned: NDArray[np.float64] = np.array(rows) * np.array([1.0, -1, -1])
    return turned


def meshes(face: NDArray[np.float64], speakers: int) -> tuple[Meshes, list[NDArray[np.float64]]]:
    """Clips of faces with a shape each and two expressions below the nose, posed at random; and the same unposed."""
    random = np.random.default_rng(0)
    low = face[:, 1] > face[2, 1] + CLEAR
    moves = random.normal(0, 0.3, (2, *face.shape)) * low[:, None]
    clips, truth = [], []
    for number in range(speakers):
        # Shapes keep the upper face: there is no telling them from pose otherwise but approximately.
        own = face + random.normal(0, 0.5, face.shape) * low[:, None]
        plain = own + np.einsum("nk,kvj->nvj", random.normal(size=(20, 2)), moves)
        posed = [
            Rotation.from_rotvec(random.normal(0, 0.2, 3)).apply(mesh) * random.uniform(5, 9) + random.uniform(0, 99, 3)
            for mesh in plain
        ]
        clips.append((f"speaker {number}", np.stack(posed).astype(np.float32)))
        truth.append(plain)
    return clips, truth


def similar(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Largest distance of two meshes after the best similarity, by scipy, over the eye distance of the second."""
    a, b = one - one.mean(0), other - other.mean(0)
    rotation, _ = Rotation.align_vectors(b, a)
    turned = rotation.apply(a)
    turned *= (turned * b).sum() / np.square(turned).sum()
    points = other[list(MESH_TO_68)]
    return float(np.linalg.norm(turned - b, axis=1).max() / np.linalg.norm(points[36] - points[45]))


def check_conventions(model: LinearFaceModel) -> None:
    points = model.mean[model.landmarks].double()
    torch.testing.assert_close(points.mean(0), torch.zeros(3).double(), atol=1e-6, rtol=0)
    assert float((points[45] - points[36]).norm()) == pytest.approx(1, abs=1e-6)
    assert points[45, 0] > 0 > points[36, 0]
    assert points[8, 1] > points[54, 1] > points[33, 1] > points[27, 1]
    assert points[30, 2] < points[36, 2] < points[0, 2]
    x, y = (model.mean[model.triangles][..., axis] for axis in (0, 1))
    turns = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    assert (turns < 0).float().mean() > 0.8


def test_a_mesh_model_gives_back_what_it_was_learnt_from(canonical: NDArray[np.float64]) -> None:
    clips, truth = meshes(canonical, 4)
    model = learn_mesh(iter(clips))
    assert model.source == "mesh"
    assert model.sizes == (468, 3, 2)
    check_conventions(model)
    basis = torch.cat([model.shape_basis, model.expression_basis]).double().flatten(1).numpy()
    codes = []
    for plain in truth:
        for mesh in plain[::5]:
            # Brought to the mean by the vertices that never move, which is how the truth was made.
            still = canonical[:, 1] <= canonical[2, 1] + CLEAR
            matrix, *_ = np.linalg.lstsq(
                np.c_[canonical[still], np.ones(still.sum())], model.mean.double().numpy()[still], rcond=None
            )
            placed = np.c_[mesh, np.ones(468)] @ matrix
            code, *_ = np.linalg.lstsq(basis.T, (placed - model.mean.double().numpy()).ravel(), rcond=None)
            made = model.vertices(*(torch.from_numpy(part)[None].float() for part in np.split(code, [3])))[0]
            assert similar(made.double().numpy(), mesh) < 2e-3
            codes.append(code)
    # Coefficients are in deviations: over everything learnt from they have about unit variance.
    assert np.std(codes, axis=0) == pytest.approx(np.ones(5), abs=0.45)


def test_learning_is_repeatable_and_does_not_depend_on_pose(canonical: NDArray[np.float64]) -> None:
    clips, _ = meshes(canonical, 3)
    model = learn_mesh(clips)
    assert learn_mesh(clips).hash() == model.hash()
    turn = Rotation.from_rotvec([0.3, 0.5, 0.2])
    moved = [(name, np.stack([turn.apply(face) * 3 + 7 for face in part]).astype(np.float32)) for name, part in clips]
    torch.testing.assert_close(learn_mesh(moved).mean, model.mean, atol=1e-4, rtol=0)


def test_one_speaker_gets_a_shape_a_clip_and_one_clip_none(canonical: NDArray[np.float64]) -> None:
    clips, _ = meshes(canonical, 3)
    assert learn_mesh([("anna", part) for _, part in clips]).sizes == (468, 2, 2)
    assert learn_mesh(clips[:1]).sizes == (468, 0, 2)
    for few in ([], [("anna", clips[0][1][:1])], [("anna", clips[0][1] * np.float32("nan"))]):
        with pytest.raises(DubbenchError, match="needs two or more meshes of finite numbers"):
            learn_mesh(few)


def test_the_mesh_is_a_closed_surface_with_one_rim(canonical: NDArray[np.float64]) -> None:
    model = learn_mesh(meshes(canonical, 2)[0])
    edges = Counter((int(t[k]), int(t[(k + 1) % 3])) for t in model.triangles for k in range(3))
    assert set(edges.values()) == {1}
    rim = {start for start, end in edges if (end, start) not in edges}
    assert rim == set(model.regions["contour"].tolist())
    assert len(rim) == 36
    assert len(model.triangles) == 898
    regions = {name: set(vertices.tolist()) for name, vertices in model.regions.items()}
    assert regions["inner_mouth"] < regions["lips"] < regions["lower_face"]
    assert {MESH_TO_68[k] for k in range(60, 68)} < regions["inner_mouth"]
    assert {MESH_TO_68[k] for k in range(48, 60)}.isdisjoint(regions["inner_mouth"])
    assert 152 in regions["lower_face"]  # the chin
    assert {1, 10, *regions["eyes"]} < regions["upper_face"]  # nose tip, forehead, eyes


def test_ict_facekit_is_mapped_vertex_by_vertex(shared: Path) -> None:
    path, indices = shared / "assets/ict_facekit_face9409.npz", shared / "assets/ict_vertex_indices.json"
    model = load_ict(path, indices)
    assert model.sizes == (9409, 100, 53)
    check_conventions(model)
    raw, table = np.load(path), json.loads(indices.read_text())
    assert model.landmarks.tolist() == table["idx_to_landmark_verts"]
    neutral, landmarks = raw["neutral"].astype(float), table["idx_to_landmark_verts"]
    unit = np.linalg.norm(neutral[landmarks[36]] - neutral[landmarks[45]])
    opening = list(raw["expression_names"]).index("jawOpen")
    face = neutral + 2 * raw["identity"][3] + 0.5 * raw["expression"][opening]
    expected = (face - neutral[landmarks].mean(0)) / unit * [1, -1, -1]
    shape, expression = torch.zeros(100), torch.zeros(53)
    shape[3], expression[table["expressions"].index("jawOpen")] = 2, 0.5 * 12**0.5
    np.testing.assert_allclose(model.vertices(shape, expression).numpy(), expected, atol=1e-5)
    regions = model.regions
    assert set(model.landmarks[48:].tolist()) <= set(regions["lips"].tolist())
    assert set(model.landmarks[:17].tolist()) <= set(regions["contour"].tolist())
    assert set(model.landmarks[36:48].tolist()) <= set(regions["eyes"].tolist()) <= set(regions["upper_face"].tolist())
    assert set(model.landmarks[48:].tolist()) | {int(model.landmarks[8])} <= set(regions["lower_face"].tolist())


def test_other_files_are_not_ict_facekit(tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    table.write_text("{}")
    np.savez(tmp_path / "face.npz", neutral=np.zeros((5, 3)))
    for name in ("face.npz", "none.npz"):
        with pytest.raises(DubbenchError, match=rf"{name}.*(not ICT-FaceKit|is not there)"):
            load_ict(tmp_path / name, table)


def test_the_basel_model_is_read_from_its_packing(tmp_path: Path) -> None:
    held = packed()
    savemat(tmp_path / "BFM_model_front.mat", held)
    model = load_bfm(tmp_path)
    assert load_bfm(tmp_path / "BFM_model_front.mat").hash() == model.hash()
    assert model.source == "bfm"
    assert model.sizes == (200, 80, 64)
    assert model.landmarks.tolist() == list(range(68))
    assert sorted(model.triangles[1].tolist()) == [3, 4, 199]
    random = np.random.default_rng(1)
    shape, expression = random.normal(size=80), random.normal(size=64)
    flat = held["meanshape"][0] + held["idBase"] @ shape + held["exBase"] @ expression
    mean = held["meanshape"].reshape(-1, 3)
    expected = (flat.reshape(-1, 3) - mean[:68].mean(0)) * [1, -1, -1]  # its outer eyes are 1 apart
    vertices = model.vertices(torch.from_numpy(shape).float(), torch.from_numpy(expression).float())
    np.testing.assert_allclose(vertices.numpy(), expected, atol=1e-5)


def test_triangles_are_wound_alike_whatever_the_file_says(tmp_path: Path) -> None:
    held = packed()
    mean = held["meanshape"].reshape(-1, 3)[:, :2]
    corners = np.random.default_rng(2).permutation(200)[:60].reshape(-1, 3)
    a, b, c = mean[corners].transpose(1, 0, 2)
    turns = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    corners[turns < 0] = corners[turns < 0, ::-1]
    models = []
    for name, triangles in (("one.mat", corners), ("other.mat", corners[:, ::-1])):
        savemat(tmp_path / name, {**held, "tri": triangles + 1.0})
        models.append(load_bfm(tmp_path / name))
    for model in models:
        x, y = (model.mean[model.triangles][..., axis] for axis in (0, 1))
        turned = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
        assert bool((turned < 0).all())


def test_other_files_are_not_the_basel_model(tmp_path: Path) -> None:
    path = tmp_path / "BFM_model_front.mat"
    with pytest.raises(DubbenchError, match=r"BFM_model_front\.mat is not there; bring your own copy"):
        load_bfm(tmp_path)
    upside_down = packed()
    upside_down["meanshape"] = -upside_down["meanshape"]
    for held in ({"meanshape": np.zeros((1, 9))}, upside_down):
        savemat(path, held)
        with pytest.raises(DubbenchError, match=r"is not Deep3DFaceRecon's BFM_model_front\.mat"):
            load_bfm(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DubbenchError, match=r"is not Deep3DFaceRecon's BFM_model_front\.mat"):
        load_bfm(path)
