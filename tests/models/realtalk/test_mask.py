"""RealTalk's masks: an outline that never crosses itself, and real faces."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.geometry import read_geometry
from dubbench.datamodules.prepare.geometry import prepare_geometry
from dubbench.datamodules.prepare.run import prepare
from dubbench.face3d.model import LinearFaceModel, project
from dubbench.models.layers.lower_face import lower_face_outline
from dubbench.models.layers.polygon import fill
from dubbench.models.realtalk.mask import learnable_mask, teeth_mask
from tests.face3d.models import face_model

SIZE = 256
CLIPS = ("s1/bbaf2n.mpg", "u_lbbc2a", "u_pwij3p")
LOWER_FACE = [*range(3, 14), *range(48, 68)]
EYES = slice(36, 48)


def test_teeth_can_show_within_the_inner_lips_alone() -> None:
    points = torch.zeros(2, 68, 2)
    points[:, 48:60] = torch.tensor([50.0, 2.0])  # outer lips count for nothing
    upper, lower = [(2.0, 4.0), (4, 4), (6, 4), (8, 4), (10, 4)], [(8.0, 7.0), (6, 7), (4, 7)]
    points[0, 60:] = torch.tensor([*upper, (10.0, 7.0), (6, 7), (2, 7)])
    points[1, 60:] = torch.tensor([*upper, *((x, 4.0) for x, _ in lower)])
    teeth = teeth_mask(points, 16)
    expected = torch.zeros(16, 16)
    expected[4:7, 2:10] = 1
    assert torch.equal(teeth[0, 0], expected)
    assert not teeth[1].any()


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GRID clips of three speakers, prepared with geometry."""
    root = tmp_path_factory.mktemp("mask")
    for name in CLIPS:
        path = shared / "data/grid" / name
        path = path if path.is_file() else next(p for p in sorted(path.iterdir()) if p.suffix in (".mpg", ".mp4"))
        target = root / "corpus" / path.parent.name / path.name
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
    assert prepare("folder", root / "corpus", root / "out", size=SIZE // 2, smooth=1.5).done == 3
    assert prepare_geometry(root / "out", "mesh").done == 3
    return root / "out"


@pytest.fixture(scope="module")
def face(folder: Path) -> LinearFaceModel:
    return LinearFaceModel.load(folder / "face_mesh.npz")


Coefficients = tuple[Tensor, Tensor, Tensor]
Points = NDArray[np.float64]


@pytest.fixture(scope="module")
def frames(folder: Path, face: LinearFaceModel) -> tuple[Coefficients, Tensor]:
    """Shape, expression, pose and the detected landmarks of all frames."""
    rows, points = [], []
    for name in read_manifest(folder)["clip"]:
        clip = PreparedClip(folder, name)
        geometry = read_geometry(clip, face.hash())
        rows.append([torch.from_numpy(x) for x in (geometry.shape, geometry.expression, geometry.pose)])
        points.append(torch.from_numpy(clip.aligned_points(size=SIZE)))
    shape, expression, pose = (torch.cat(column) for column in zip(*rows, strict=True))
    return (shape, expression, pose), torch.cat(points)


def landmarks(face: LinearFaceModel, coefficients: Coefficients, size: int = SIZE) -> Tensor:
    shape, expression, pose = coefficients
    return project(face.vertices(shape, expression)[:, face.landmarks], pose, size)[..., :2]


def turned(coefficients: Coefficients, yaw: float, pitch: float = 0.0) -> Coefficients:
    shape, expression, pose = coefficients
    return shape, expression, pose + torch.tensor([pitch, yaw, 0, 0, 0, 0])


def inside(region: Tensor, points: Tensor) -> Tensor:
    """Whether each of points [N, K, 2] lies in a pixel of regions [N, 1, size, size]."""
    pixels = points.long().clamp(0, region.shape[-1] - 1)
    return region[torch.arange(len(points))[:, None], 0, pixels[..., 1], pixels[..., 0]]


def test_mouth_and_jaw_of_real_frames_are_inside_and_the_eyes_never(
    face: LinearFaceModel, frames: tuple[Coefficients, Tensor]
) -> None:
    coefficients, points = frames
    mask = learnable_mask(face, *coefficients, size=SIZE)
    assert mask.shape == (len(points), 1, SIZE, SIZE)
    assert set(mask.flatten().tolist()) == {0, 1}
    region = mask == 0
    assert inside(region, points[:, LOWER_FACE]).all(1).float().mean() >= 0.99
    assert not inside(region, points[:, EYES]).any()
    # It is no more of the picture than it must be.
    assert 0.1 < region.float().mean() < 0.25


@pytest.mark.parametrize("yaw", [-1.0, -0.5, 0.5, 1.0])
def test_it_holds_for_turned_heads_too(yaw: float, face: LinearFaceModel, frames: tuple[Coefficients, Tensor]) -> None:
    coefficients = turned(frames[0], yaw, 0.1)
    points = landmarks(face, coefficients)
    region = learnable_mask(face, *coefficients, size=SIZE) == 0
    seen = ((points >= 0) & (points < SIZE)).all(2)
    assert (inside(region, points) | ~seen)[:, LOWER_FACE].all(1).float().mean() >= 0.99
    assert not inside(region, points)[:, EYES].any()


@pytest.mark.parametrize("yaw", [-1.2, 0.0, 0.6, 1.2])
@pytest.mark.parametrize("pitch", [-0.5, 0.0, 0.5])
def test_the_outline_never_crosses_itself(
    yaw: float, pitch: float, face: LinearFaceModel, frames: tuple[Coefficients, Tensor]
) -> None:
    points = landmarks(face, turned(frames[0], yaw, pitch))[::20]
    corners = lower_face_outline(points).double().numpy()
    starts, ends = corners, np.roll(corners, -1, 1)

    def side(a: Points, b: Points, c: Points) -> Points:
        """Which side of a line through a and b, 0 nearer to it than a hundredth of a pixel."""
        along = (b - a) / np.maximum(np.linalg.norm(b - a, axis=-1, keepdims=True), 1e-9)
        away = along[..., 0] * (c - a)[..., 1] - along[..., 1] * (c - a)[..., 0]
        return np.asarray(np.sign(np.where(np.abs(away) < 0.01, 0, away)), np.float64)

    count = corners.shape[1]
    for i in range(count):
        for j in range(i + 2, count - (i == 0)):
            a, b, c, d = starts[:, i], ends[:, i], starts[:, j], ends[:, j]
            assert not ((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).any()


def test_the_outline_turns_moves_and_grows_with_the_face(
    face: LinearFaceModel, frames: tuple[Coefficients, Tensor]
) -> None:
    points = landmarks(face, frames[0])[:5]
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    moved = lower_face_outline(1.5 * points @ turn.T + torch.tensor([20.0, -7.0]))
    torch.testing.assert_close(
        moved, 1.5 * lower_face_outline(points) @ turn.T + torch.tensor([20.0, -7.0]), rtol=0, atol=1e-3
    )


def test_the_region_follows_the_predicted_expression(
    face: LinearFaceModel, frames: tuple[Coefficients, Tensor]
) -> None:
    shape, expression, pose = (x[:1] for x in frames[0])
    chin = face.expression_basis[:, face.landmarks[8], 1]
    opened = expression + 0.2 * chin / chin.square().sum()  # the chin goes down by 0.2 units
    pose = pose * torch.tensor([0.0, 0, 0, 1, 1, 1]) - torch.tensor([0.0, 0, 0, 0, 30, 0.2])
    scale = float(pose[0, 5].exp())
    lowest = [lower_face_outline(landmarks(face, (shape, e, pose)))[..., 1].amax() for e in (expression, opened)]
    before, after = (learnable_mask(face, shape, e, pose, size=SIZE)[0, 0] == 0 for e in (expression, opened))
    rows = [int(region.any(1).nonzero().max()) for region in (before, after)]
    assert abs(float(lowest[1] - lowest[0]) - 0.2 * scale) < 3
    assert abs(rows[1] - rows[0] - 0.2 * scale) < 4
    assert rows[1] < SIZE - 1
    # The upper border stays where it is.
    tops = [int(region.any(1).nonzero().min()) for region in (before, after)]
    assert abs(tops[1] - tops[0]) <= 2


def test_a_mask_of_another_size_is_the_same_region(face: LinearFaceModel, frames: tuple[Coefficients, Tensor]) -> None:
    shape, expression, pose = frames[0]
    coefficients = shape[:3], expression[:3], pose[:3]
    large, little = (learnable_mask(face, *coefficients, size=size) for size in (SIZE, SIZE // 4))
    assert ((large == 0) != fill(lower_face_outline(landmarks(face, coefficients)), SIZE)).sum() <= 3
    pooled = torch.nn.functional.avg_pool2d(large, 4)
    assert (pooled - little).abs().max() <= 0.75
    assert (pooled - little).abs().mean() < 0.02
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(learnable_mask(face, *coefficients, size=SIZE), large)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the size of the largest tensor that any operator gives."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        out = func(*args, **(kwargs or {}))
        self.size = max([self.size, *(leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor))])
        return out


def test_of_a_large_face_model_the_landmarks_alone_are_touched() -> None:
    small, many = face_model(), 5000
    arrays = small.arrays()
    for name, axis in (("mean", 0), ("shape_basis", 1), ("expression_basis", 1)):
        arrays[name] = torch.cat([arrays[name], arrays[name].narrow(axis, 0, 1).repeat_interleave(many, axis)], axis)
    large = LinearFaceModel.of(arrays, small.source)
    shape, expression, pose = torch.randn(1, 3), torch.randn(1, 4), torch.tensor([[0.0, 0, 0, 128, 160, 4.45]])
    with Largest() as largest:  # type: ignore[no-untyped-call]
        mask = learnable_mask(large, shape, expression, pose, size=16)
    assert torch.equal(mask, learnable_mask(small, shape, expression, pose, size=16))
    assert largest.size < many
