"""How heads move: rigid motions are given back, and mouths do not count."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.face.landmarks import MESH_TO_68, FaceMesh, points_68
from dubbench.face.opening import mouth_opening
from dubbench.face3d import head
from dubbench.face3d.first_guess import rotation_vectors, weak_perspective
from dubbench.face3d.head import head_motion, in_square, seated
from dubbench.face3d.model import project, rotation_matrices
from dubbench.face3d.regions import STEADY
from dubbench.media.video import read_frames

FRAMES = 30
LANDMARKS = list(MESH_TO_68)


@pytest.fixture
def unsmoothed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TURN", "PLACE", "SCALE"):
        monkeypatch.setattr(head, name, 0.0)


def rigid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A cloud [468, 3] whose 68 landmarks have the mean 0 and the outer eyes the distance 1, and moved [T, 468, 3]."""
    random = np.random.default_rng(2)
    cloud = random.uniform(-1, 1, (468, 3))
    cloud -= cloud[LANDMARKS].mean(0)
    cloud /= np.linalg.norm(cloud[LANDMARKS[36]] - cloud[LANDMARKS[45]])
    time = 0.2 * np.arange(FRAMES)
    turns = Rotation.from_rotvec(0.2 * np.sin(time[:, None] + [0, 1, 2]))
    scale = 90 * np.exp(0.1 * np.sin(time))[:, None, None]
    place = np.stack([200 + 9 * np.sin(time), 150 + 5 * np.cos(time), 0 * time], 1)[:, None]
    return cloud, scale * (cloud @ turns.as_matrix().transpose(0, 2, 1)) + place


def seen_all() -> Tensor:
    return torch.ones(FRAMES, dtype=torch.bool)


@pytest.mark.usefixtures("unsmoothed")
def test_a_rigid_head_is_brought_to_its_meshes_also_in_the_square() -> None:
    _, meshes = rigid()
    poses = head_motion(torch.from_numpy(meshes), seen_all())
    angle = np.linspace(-0.3, 0.3, FRAMES)
    linear = 1.7 * np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], 1), np.stack([np.sin(angle), np.cos(angle)], 1)], 1
    )
    transforms = np.concatenate([linear, np.stack([20 + angle, 10 - angle], 1)[..., None]], 2)
    square = in_square(poses, transforms, 128)
    # The head as it is in its own space: the first mesh, put back.
    rotation = rotation_matrices(poses[0, :3]).numpy()
    flat = np.c_[poses[0, 3:5].numpy()[None], meshes[0, LANDMARKS, 2].mean()]
    own = torch.from_numpy((meshes[0] - flat) @ rotation / np.exp(poses[0, 5].item()))
    np.testing.assert_allclose(own[LANDMARKS].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(project(own, poses, 256)[..., :2], meshes[..., :2], atol=1e-8)
    aligned = np.linalg.solve(transforms[:, None, :, :2], (meshes[..., :2] - transforms[:, None, :, 2])[..., None])
    np.testing.assert_allclose(project(own, square, 128)[..., :2], aligned[..., 0], atol=1e-8)


def test_nothing_but_steady_vertices_moves_a_head_in_time() -> None:
    _, meshes = rigid()
    random = np.random.default_rng(0)
    others = np.setdiff1d(np.arange(468), STEADY)
    moved = meshes.copy()
    moved[:, others] += random.normal(0, 20, (FRAMES, len(others), 3))
    before, after = (
        rotation_matrices(head_motion(torch.from_numpy(part), seen_all())[:, :3]) for part in (meshes, moved)
    )
    torch.testing.assert_close(after, before)
    scales = [head_motion(torch.from_numpy(part), seen_all())[:, 5] for part in (meshes, moved)]
    torch.testing.assert_close(scales[1] - scales[1][0], scales[0] - scales[0][0])


def test_trembling_is_smoothed_and_gaps_lie_between_their_neighbours() -> None:
    cloud, _ = rigid()
    still = np.repeat(90 * cloud[None] + [100, 80, 0], FRAMES, 0)
    shaken = still + np.random.default_rng(1).normal(0, 1, still.shape)
    poses = head_motion(torch.from_numpy(shaken), seen_all())
    assert float(poses[:, :3].diff(dim=0).norm(dim=1).mean()) < 1e-3
    assert float((poses[:, 5].exp() - 90).abs().max()) < 1
    detected = seen_all()
    detected[[0, 1, 12, 13]] = False
    blind = torch.from_numpy(shaken).clone()
    blind[~detected] = torch.nan
    found = head_motion(blind, detected)
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found, poses, atol=0.5, rtol=0)


def test_a_face_sits_still_on_its_head() -> None:
    _, meshes = rigid()
    motion = head_motion(torch.from_numpy(meshes), seen_all())
    turn = torch.from_numpy(Rotation.from_rotvec([0.1, -0.3, 0.2]).as_matrix())
    place = torch.tensor([0.1, 0.2, -0.15], dtype=torch.float64)
    head_turn = rotation_matrices(motion[:, :3])
    shift = motion[:, 3:5] + motion[:, 5:].exp() * (head_turn @ place)[:, :2]
    truth = torch.cat([rotation_vectors(head_turn @ turn), shift, motion[:, 5:] + 0.3], 1)
    random = torch.Generator().manual_seed(0)
    noise = 0.02 * torch.randn(truth.shape, generator=random, dtype=torch.float64)
    noise[20:] = torch.nan
    found = seated(motion, truth + noise, torch.arange(20))
    torch.testing.assert_close(found[:, 3:5], truth[:, 3:5], atol=0.5, rtol=0)
    torch.testing.assert_close(found[:, [0, 1, 2, 5]], truth[:, [0, 1, 2, 5]], atol=0.02, rtol=0)
    again = rotation_matrices(found[:, :3])
    torch.testing.assert_close(head_turn.mT @ again, (head_turn.mT @ again)[:1].expand(FRAMES, 3, 3))


def test_clips_without_a_head() -> None:
    _, meshes = rigid()
    with pytest.raises(DubbenchError, match="no frame of the clip shows a face"):
        head_motion(torch.from_numpy(meshes), ~seen_all())
    with pytest.raises(DubbenchError, match="landmarks are not finite"):
        head_motion(torch.from_numpy(meshes) * torch.nan, seen_all())


def told(poses: list[Tensor], openings: list[NDArray[np.float64]]) -> float:
    """R2 of the mouths' openings by ridge regression on the poses, each clip's means removed, from the other clips."""
    deviation = torch.cat([rows - rows.mean(0) for rows in poses]).std(0)
    rows = [((part - part.mean(0)) / deviation).numpy() for part in poses]
    wanted = [opening - opening.mean() for opening in openings]
    errors = []
    for k, (mine, truth) in enumerate(zip(rows, wanted, strict=True)):
        known, asked = (np.concatenate(part[:k] + part[k + 1 :]) for part in (rows, wanted))
        weights = np.linalg.solve(known.T @ known + 0.01 * len(known) * np.eye(6), known.T @ asked)
        errors.append(truth - mine @ weights)
    return float(1 - np.square(np.concatenate(errors)).sum() / np.square(np.concatenate(wanted)).sum())


def test_the_head_does_not_tell_how_far_a_real_mouth_is_open(shared: Path) -> None:
    joint, alone, openings = [], [], []
    with FaceMesh(max_faces=1) as detector:
        for path in sorted((shared / "data/grid/s1").glob("*.mpg"))[:6]:
            detector.reset()
            meshes = np.stack([detector.detect(frame)[0] for frame in islice(read_frames(path), 60)]).astype(float)
            points, seen = points_68(meshes), torch.ones(len(meshes), dtype=torch.bool)
            openings.append(np.array(mouth_opening(points, points, seen.numpy()), float))
            alone.append(head_motion(torch.from_numpy(meshes), seen))
            mean = torch.from_numpy(meshes[:, :468].mean(0)).expand(len(meshes), -1, -1)
            joint.append(weak_perspective(mean, torch.from_numpy(meshes[:, :468, :2])))
    assert told(joint, openings) > 0.4
    assert told(alone, openings) < 0.1
