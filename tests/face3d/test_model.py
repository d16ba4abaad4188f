import io
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.face3d.model import REGIONS, LinearFaceModel, project, rotation_jacobian, rotation_matrices
from tests.face3d.models import face_model

MODEL = face_model()


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def test_vertices_match_a_plain_sum_and_broadcast() -> None:
    shape, expression = random(2, 1, 3), random(5, 4, seed=2)
    vertices = MODEL.vertices(shape.float(), expression.float())
    assert vertices.shape == (2, 5, 90, 3)
    mean, shapes, expressions = (
        part.double().numpy() for part in (MODEL.mean, MODEL.shape_basis, MODEL.expression_basis)
    )
    for i in range(2):
        for j in range(5):
            expected = mean.copy()
            for k in range(3):
                expected += float(shape[i, 0, k]) * shapes[k]
            for k in range(4):
                expected += float(expression[j, k]) * expressions[k]
            np.testing.assert_allclose(vertices[i, j].numpy(), expected, atol=1e-5)


def test_expression_only_has_no_shape() -> None:
    expression = random(6, 4).float()
    torch.testing.assert_close(MODEL.expression_only(expression), MODEL.vertices(torch.zeros(6, 3), expression))


@pytest.mark.parametrize("length", [0.0, 1e-12, 1e-5, 0.0099, 0.0101, 0.3, 2.0, 3.1, 7.0])
def test_rotations_are_those_of_scipy(length: float) -> None:
    directions = random(7, 3)
    vectors = length * directions / directions.norm(dim=1, keepdim=True)
    expected = Rotation.from_rotvec(vectors.numpy()).as_matrix()
    np.testing.assert_allclose(rotation_matrices(vectors).numpy(), expected, atol=1e-14)
    np.testing.assert_allclose(rotation_matrices(vectors.float()).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("length", [0.0, 1e-5, 0.0101, 0.3, 2.0])
def test_the_rotation_jacobian_says_how_turns_follow_the_vector(length: float) -> None:
    vectors = length * torch.nn.functional.normalize(random(5, 3))
    jacobian = rotation_jacobian(vectors).numpy()
    for k in range(3):
        change = 1e-6 * np.eye(3)[k]
        one, other = (Rotation.from_rotvec(vectors.numpy() + side * change) for side in (1, -1))
        np.testing.assert_allclose((one * other.inv()).as_rotvec() / 2e-6, jacobian[:, :, k], atol=1e-8)


def test_projection_turns_scales_and_shifts() -> None:
    vertices, pose = random(4, 9, 3), 0.3 * random(4, 6, seed=3)
    pose[:, 3:5] += 128
    turned = np.stack(
        [Rotation.from_rotvec(p[:3]).apply(v) for p, v in zip(pose.numpy(), vertices.numpy(), strict=True)]
    )
    expected = turned * np.exp(pose[:, 5].numpy())[:, None, None]
    expected[..., :2] += pose[:, None, 3:5].numpy()
    np.testing.assert_allclose(project(vertices, pose).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(project(vertices, pose, 96).numpy(), expected * 96 / 256, rtol=1e-12)


def test_a_positive_turn_about_y_takes_the_image_right_away_from_the_camera() -> None:
    # y points down, z away: turning x towards -z about y is the negative sense.
    right = torch.tensor([[1.0, 0.0, 0.0]])
    pose = torch.tensor([0.0, -0.2, 0.0, 0.0, 0.0, 0.0])
    assert project(right, pose)[0, 2] > 0


def test_gradients_are_those_of_finite_differences_also_without_rotation() -> None:
    model = face_model(vertices=68).double()
    shape, expression = random(2, 3).requires_grad_(), random(2, 4).requires_grad_()
    pose = 0.2 * random(2, 6)
    pose[0, :3] = 0
    pose.requires_grad_()
    assert torch.autograd.gradcheck(lambda *c: project(model.vertices(*c[:2]), c[2])[:, ::9], (shape, expression, pose))


def test_autocast_leaves_coordinates_alone() -> None:
    shape, expression, pose = random(2, 3).float(), random(2, 4).float(), 0.1 * random(2, 6).float()
    expected = project(MODEL.vertices(shape, expression), pose)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(project(MODEL.vertices(shape, expression), pose), expected)


def test_pncc_spans_the_unit_cube() -> None:
    colours = MODEL.pncc()
    assert colours.amin(0).tolist() == [0, 0, 0]
    assert colours.amax(0).tolist() == [1, 1, 1]
    mean = MODEL.mean.numpy()
    expected = (mean[5] - mean.min(0)) / (mean.max(0) - mean.min(0))
    np.testing.assert_allclose(colours[5].numpy(), expected, atol=1e-6)


def test_the_upper_face_is_what_the_lower_face_is_not() -> None:
    regions = MODEL.regions
    assert tuple(regions) == REGIONS
    both = torch.cat([regions["lower_face"], regions["upper_face"]])
    assert sorted(both.tolist()) == list(range(90))
    assert regions["upper_face"].tolist() == sorted(regions["upper_face"].tolist())


def test_a_model_without_shape_components_is_one_face() -> None:
    model = face_model(shapes=0)
    assert model.sizes == (90, 0, 4)
    torch.testing.assert_close(model.vertices(torch.zeros(5, 0), torch.zeros(5, 4)), model.mean.expand(5, -1, -1))


def test_files_give_the_same_model_and_the_same_bytes(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "a.npz")
    again = LinearFaceModel.load(tmp_path / "a.npz")
    again.save(tmp_path / "b.npz")
    assert again.hash() == MODEL.hash()
    assert again.source == "bfm"
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.npz", "b.npz"]


def test_a_checkpoint_carries_a_model_as_plain_tensors() -> None:
    file = io.BytesIO()
    torch.save({"source": MODEL.source, "arrays": MODEL.arrays()}, file)
    file.seek(0)
    held = torch.load(file, weights_only=True)
    assert LinearFaceModel.of(held["arrays"], held["source"]).hash() == MODEL.hash()


def test_the_hash_covers_every_array_and_the_source() -> None:
    hashes = {MODEL.hash(), LinearFaceModel(MODEL.arrays(), "ict").hash()}
    for name, array in MODEL.arrays().items():
        changed = array.clone()
        changed.view(-1)[0] += 1
        hashes.add(LinearFaceModel({**MODEL.arrays(), name: changed}, "bfm").hash())
    assert len(hashes) == 2 + len(MODEL.arrays())
    assert all(len(digits) == 12 and int(digits, 16) >= 0 for digits in hashes)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("mean", lambda a: a[:, :2], "mean has shape"),
        ("mean", lambda a: a * float("nan"), "mean holds values that are not finite"),
        ("mean", lambda a: a[:0], "beyond the 0 vertices|0"),
        ("shape_basis", lambda a: a[:, :4], "shape_basis has 4 vertices, the mean 90"),
        ("triangles", lambda a: a + 90, "triangles points beyond the 90 vertices"),
        ("landmarks", lambda a: a[:5], "landmarks has shape"),
        ("region_lips", lambda a: a - 100, "region_lips points beyond"),
        ("region_eyes", None, "region_eyes is missing"),
    ],
)
def test_damaged_files_are_told(name: str, change: object, words: str, tmp_path: Path) -> None:
    arrays = {key: array.numpy() for key, array in MODEL.arrays().items()}
    if callable(change):
        arrays[name] = change(arrays[name])
    else:
        del arrays[name]
    np.savez(tmp_path / "face.npz", source="bfm", **arrays)
    with pytest.raises(DubbenchError, match=rf"face\.npz is no face model \(.*({words}).*--geometry"):
        LinearFaceModel.load(tmp_path / "face.npz")


def test_other_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "face.npz"
    MODEL.save(path)
    whole = path.read_bytes()
    np.savez(path, source="cube", **{key: array.numpy() for key, array in MODEL.arrays().items()})
    with pytest.raises(DubbenchError, match="their source is 'cube', not one of mesh, ict, bfm"):
        LinearFaceModel.load(path)
    np.savez(path, mean=np.array([{"a": 1}], dtype=object))
    for content in (path.read_bytes(), whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(DubbenchError, match=r"is truncated, damaged or holds more than arrays"):
            LinearFaceModel.load(path)
    path.unlink()
    with pytest.raises(DubbenchError, match="is not there"):
        LinearFaceModel.load(path)
