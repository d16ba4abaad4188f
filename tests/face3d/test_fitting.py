from dataclasses import replace
from itertools import combinations, islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.linalg import block_diag
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.face.alignment import ffhq_transform
from dubbench.face.landmarks import FaceMesh, points_68
from dubbench.face3d.chain import Chain
from dubbench.face3d.energy import Energy, FitOptions
from dubbench.face3d.first_guess import Coefficients, first_guess, rotation_vectors, weak_perspective
from dubbench.face3d.fitting import Fit, clip_guess, fit, reprojection_error
from dubbench.face3d.head import head_motion, in_square
from dubbench.face3d.model import LinearFaceModel, project, rotation_matrices
from dubbench.face3d.sources import learn_mesh, load_ict
from dubbench.media.video import read_frames
from tests.face3d.models import face_model

FRAMES = 40
CLIPS = ("s1/bbaf2n", "s1/lgaf7a", "u_pwij3p/pwij3p", "u_pwij3p/swwp2s")


def coefficients(model: LinearFaceModel, frames: int) -> Coefficients:
    """A face that nods, drifts and speaks smoothly."""
    random = np.random.default_rng(7)
    time = 0.1 * np.arange(frames)[:, None]
    waves = np.sin(time + random.uniform(0, 6, len(model.expression_basis)))
    turns = 0.15 * np.sin(time + np.array([0, 2, 4]))
    place = np.concatenate([128 + 3 * np.sin(time + np.array([1, 3])), np.log(85) + 0.02 * time], axis=1)
    shape = np.tile(random.normal(size=len(model.shape_basis)), (frames, 1))
    parts = (shape, waves, np.concatenate([turns, place], axis=1))
    return Coefficients(*(torch.from_numpy(part).to(model.mean.dtype) for part in parts))


def landmarks(model: LinearFaceModel, of: Coefficients | Fit) -> Tensor:
    return project(model.vertices(of.shape, of.expression)[:, model.landmarks], of.pose)[..., :2]


def jitter(points: Tensor) -> float:
    """Mean length of the second differences over time, of points [T, N, 2]."""
    return float((points[2:] - 2 * points[1:-1] + points[:-2]).norm(dim=-1).mean())


def test_weak_perspective_gives_back_an_exact_pose() -> None:
    model = face_model().double()
    truth = coefficients(model, 5)
    vertices = model.mean.expand(5, -1, -1)
    torch.testing.assert_close(weak_perspective(vertices, project(vertices, truth.pose)[..., :2]), truth.pose)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.5, 2.5])
def test_rotation_vectors_undo_rotation_matrices(angle: float) -> None:
    vectors = angle * torch.tensor([[0.6, 0.0, 0.8], [0.0, -1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(rotation_vectors(rotation_matrices(vectors)), vectors)


def test_the_first_guess_sees_each_frame_alone() -> None:
    model = face_model()
    truth = coefficients(model, 70)
    points = landmarks(model, truth)
    guess = first_guess(model, points)
    assert float(reprojection_error(model, guess, points).max()) < 2e-3
    torch.testing.assert_close(guess.expression, truth.expression, atol=0.1, rtol=0)
    alone = first_guess(model, points[66:67])
    torch.testing.assert_close(guess.pose[66:67], alone.pose, atol=1e-4, rtol=1e-4)
    given = first_guess(model, points, shape=truth.shape[0])
    torch.testing.assert_close(given.shape, truth.shape)
    torch.testing.assert_close(given.expression, truth.expression, atol=0.05, rtol=0)
    moved = truth.pose + torch.tensor([0.0, 0.0, 0.0, 3.0, 0.0, 0.0])
    posed = first_guess(model, points + torch.tensor([3.0, 0.0]), shape=truth.shape[0], pose=moved)
    torch.testing.assert_close(posed.pose, moved)
    torch.testing.assert_close(posed.expression, truth.expression, atol=0.05, rtol=0)


@pytest.mark.parametrize(("frames", "shared"), [(1, 2), (2, 0), (5, 2), (6, 1)])
def test_a_chain_is_solved_like_the_full_matrix(frames: int, shared: int) -> None:
    random, n = np.random.default_rng(frames), 3
    own = random.normal(size=(frames, n, n))
    own = own @ own.transpose(0, 2, 1) + 30 * np.eye(n)
    following, second = random.normal(size=(frames - 1, n, n)), random.normal(size=(max(frames - 2, 0), n))
    border, corner = random.normal(size=(frames, n, shared)), 50 * np.eye(shared)
    full = block_diag(*own, corner)
    for t, block in enumerate(following):
        full[n * t : n * t + n, n * t + n : n * t + 2 * n] = block
    for t, diagonal in enumerate(second):
        full[n * t : n * t + n, n * t + 2 * n : n * t + 3 * n] = np.diag(diagonal)
    full[: n * frames, n * frames :] = border.reshape(n * frames, shared)
    full = np.triu(full) + np.triu(full, 1).T
    side = random.normal(size=n * frames + shared)
    expected = np.linalg.solve(full, side)
    chain = Chain(*(torch.from_numpy(part) for part in (own, following, second, border, corner)))
    sides = torch.from_numpy(side)
    rows, common = chain.solve(sides[: n * frames].view(frames, n), sides[n * frames :])
    np.testing.assert_allclose(np.r_[rows.ravel().numpy(), common.numpy()], expected, atol=1e-10)


def noisy(frames: int) -> tuple[LinearFaceModel, Tensor, Tensor, Coefficients]:
    """A face model, noisy landmarks, detected flags with a gap, and coefficients to start from under true poses."""
    model = face_model().double()
    noise = torch.from_numpy(np.random.default_rng(3).normal(0, 0.6, (frames, 68, 2)))
    detected = torch.ones(frames, dtype=torch.bool)
    detected[4:6] = False
    truth = coefficients(model, frames)
    points = landmarks(model, truth) + noise
    return model, points, detected, replace(clip_guess(model, points, detected), pose=truth.pose)


@pytest.mark.parametrize("frames", [12, 67])
def test_no_other_method_finds_a_lower_energy(frames: int) -> None:
    model, points, detected, start = noisy(frames)
    options = FitOptions(tempo=0.5)
    energy = Energy(model, points, None, detected, start, options)
    state = energy.start
    values = [float(energy.value(state))]
    for _ in range(30):
        state = energy.step(state)
        values.append(float(energy.value(state)))
    assert values[-1] < 0.97 * values[0]
    assert all(later < earlier + 1e-7 for earlier, later in pairwise(values))
    free = [part.clone().requires_grad_() for part in state]
    optimiser = torch.optim.LBFGS(free, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = energy.value(type(state)(*free))
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it bare
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        assert float(energy.value(type(state)(*free))) > 0.995 * values[-1]


def test_the_energy_is_that_of_the_paper() -> None:
    model, points, detected, start = noisy(9)
    options = FitOptions(landmark=1.5, tempo=0.7, laplacian=0.4, expression_bend=3, regular=0.1)
    energy = Energy(model, points, None, detected, start, options)
    expression = start.expression + torch.sin(torch.arange(9.0))[:, None]
    moved = Coefficients(start.shape + 0.1, expression, start.pose)
    state = type(energy.start)(moved.shape[0], expression)
    unit = start.pose[:, 5].exp().mean().item()
    residual = ((landmarks(model, moved) - points) / unit).numpy()
    seen = detected.numpy()
    land = np.mean([np.linalg.norm(residual[t, k]) for t in np.flatnonzero(seen) for k in range(68)])
    pairs = [t for t in range(8) if seen[t] and seen[t + 1]]
    movement = np.mean([np.linalg.norm(residual[t + 1, k] - residual[t, k]) for t in pairs for k in range(68)])
    bend = 3 * np.linalg.norm(np.diff(expression.numpy(), 2, axis=0), axis=1).mean()
    away = np.linalg.norm((expression - start.expression).numpy(), axis=1).mean()
    regular = np.linalg.norm(moved.shape[0] - start.shape[0]) + away
    expected = 1.5 * land + 0.7 * (movement + 0.4 * bend) + 0.1 * regular
    # Norms are smoothed by at most 1e-4.
    assert float(energy.value(state)) == pytest.approx(expected, abs=1e-3)


def test_frames_without_a_face_lie_between_their_neighbours() -> None:
    model = face_model()
    truth = coefficients(model, 30)
    points = landmarks(model, truth)
    detected = torch.ones(30, dtype=torch.bool)
    detected[[0, 11, 12, 13, 29]] = False
    blind = points.clone()
    blind[~detected] = torch.nan
    found = fit(model, points.where(detected[:, None, None], torch.tensor(50.0)), detected, truth.pose)
    assert found.error.isnan().tolist() == (~detected).tolist()
    assert float(found.error[detected].max()) < 3e-3
    error = reprojection_error(model, Coefficients(found.shape, found.expression, found.pose), points)
    assert float(error[11:14].max()) < 0.02
    assert float(error.max()) < 0.06
    assert all(bool(torch.isfinite(part).all()) for part in (found.shape, found.expression, found.pose))
    torch.testing.assert_close(fit(model, blind, detected, truth.pose).expression, found.expression)


def test_the_guess_of_a_gap_is_a_straight_line() -> None:
    model = face_model()
    points = landmarks(model, coefficients(model, 12))
    detected = torch.ones(12, dtype=torch.bool)
    detected[[0, 4, 5, 6, 11]] = False
    guess = clip_guess(model, points, detected)
    for rows in (guess.expression, guess.pose):
        for share, frame in ((0.25, 4), (0.5, 5), (0.75, 6)):
            torch.testing.assert_close(rows[frame], (1 - share) * rows[3] + share * rows[7])
        torch.testing.assert_close(rows[0], rows[1])
        torch.testing.assert_close(rows[11], rows[10])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_clips_of_a_few_frames_are_fitted(frames: int) -> None:
    model = face_model(shapes=0)
    truth = coefficients(model, frames)
    found = fit(model, landmarks(model, truth), torch.ones(frames, dtype=torch.bool), truth.pose)
    assert found.shape.shape == (frames, 0)
    assert float(found.error.max()) < 3e-3


def test_a_guess_may_be_given() -> None:
    model = face_model()
    truth = coefficients(model, 6)
    seen, options = torch.ones(6, dtype=torch.bool), FitOptions(steps=0)
    found = fit(model, landmarks(model, truth), seen, truth.pose, options=options, guess=truth)
    for name in ("shape", "expression", "pose"):
        torch.testing.assert_close(getattr(found, name), getattr(truth, name))


def test_clips_that_cannot_be_fitted() -> None:
    model = face_model()
    points = landmarks(model, coefficients(model, 4))
    with pytest.raises(DubbenchError, match="no frame of the clip shows a face"):
        fit(model, points, torch.zeros(4, dtype=torch.bool), torch.zeros(4, 6))
    with pytest.raises(DubbenchError, match="landmarks are not finite"):
        fit(model, points * torch.nan, torch.ones(4, dtype=torch.bool), torch.zeros(4, 6))


class Clip(NamedTuple):
    speaker: str
    points: Tensor
    mesh: Tensor
    head: Tensor


@pytest.fixture(scope="module")
def clips(shared: Path) -> list[Clip]:
    """The first frames of four GRID clips of two speakers, in a square of 256 pixels."""
    made, seen = [], torch.ones(FRAMES, dtype=torch.bool)
    with FaceMesh(max_faces=1) as detector:
        for name in CLIPS:
            detector.reset()
            path = next((shared / "data/grid" / Path(name).parent).glob(f"{Path(name).name}.*"))
            found = np.stack([detector.detect(frame)[0] for frame in islice(read_frames(path), FRAMES)]).astype(float)
            # One square for the whole clip, so that all that trembles is the face.
            transform = ffhq_transform(points_68(found.mean(0)), 256)
            head = in_square(head_motion(torch.from_numpy(found), seen), np.stack([transform] * FRAMES), 256).float()
            inverse = np.linalg.inv(transform[:, :2])
            found[..., :2] = (found[..., :2] - transform[:, 2]) @ inverse.T
            found[..., 2] *= np.sqrt(np.linalg.det(inverse))
            points, mesh = (torch.from_numpy(part).float() for part in (points_68(found), found))
            made.append(Clip(name.partition("/")[0], points, mesh, head))
    return made


@pytest.fixture(scope="module")
def mesh_model(clips: list[Clip]) -> LinearFaceModel:
    return learn_mesh((clip.speaker, clip.mesh[::2].numpy()) for clip in clips)


def check_smoothing(model: LinearFaceModel, clip: Clip, most: float) -> None:
    """The quality that the fit must have, and what L_tempo must bring and may cost."""
    seen = torch.ones(FRAMES, dtype=torch.bool)
    found = fit(model, clip.points, seen, clip.head, clip.mesh)
    rough = fit(model, clip.points, seen, clip.head, clip.mesh, replace(FitOptions(), tempo=0))
    error, baseline = float(found.error.mean()), float(rough.error.mean())
    assert error < most
    assert error < 1.2 * baseline
    assert 1.4 * jitter(landmarks(model, found)) < jitter(landmarks(model, rough))
    assert 1.9 * jitter(landmarks(model, found)) < jitter(clip.points)


@pytest.mark.parametrize("number", [0, 2])
def test_mesh_fits_real_clips(number: int, clips: list[Clip], mesh_model: LinearFaceModel) -> None:
    check_smoothing(mesh_model, clips[number], 0.02)


@pytest.fixture(scope="module")
def ict(shared: Path) -> LinearFaceModel:
    return load_ict(shared / "assets/ict_facekit_face9409.npz", shared / "assets/ict_vertex_indices.json")


def test_ict_fits_real_clips(clips: list[Clip], ict: LinearFaceModel) -> None:
    check_smoothing(ict, clips[1], 0.04)


@pytest.mark.parametrize("name", ["mesh_model", "ict"])
def test_shapes_tell_speakers_apart(name: str, clips: list[Clip], request: pytest.FixtureRequest) -> None:
    model: LinearFaceModel = request.getfixturevalue(name)
    few = [[part[::8] for part in (clip.points, clip.head, clip.mesh)] for clip in clips]
    seen = torch.ones(5, dtype=torch.bool)
    shapes = [fit(model, points, seen, head, mesh).shape[0] for points, head, mesh in few]
    same: list[float] = []
    other: list[float] = []
    for one, two in combinations(range(len(clips)), 2):
        apart = float((shapes[one] - shapes[two]).norm())
        (same if clips[one].speaker == clips[two].speaker else other).append(apart)
    assert max(same) < min(other)
