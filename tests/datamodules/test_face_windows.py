"""Windows of face crops: the radius, the scale, and pictures and landmarks in the same place."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from dubbench.datamodules.batch import Mel, Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.windows import Place, WindowDataset, read_windows
from dubbench.errors import DubbenchError
from dubbench.face.crops import FACE_SCALES
from dubbench.media.video import VideoWriter
from tests.datamodules import miniature
from tests.datamodules.miniature import SIZE, Clip

MOUTH = 32
WINDOW = Window(frames=3, references=2, size=MOUTH, mel=Mel(), crop="face")
CLIP = Clip("anna/face", 24)


def landmarks() -> NDArray[np.float64]:
    """In the aligned square: a face that drifts and whose chin sinks by 0.4 pixels a frame."""
    k = np.arange(CLIP.frames)
    points = np.full((CLIP.frames, 68, 2), 20.0)
    points[:, 29] = np.stack([30 + 0.3 * k, 22 + 0.1 * k], 1)
    points[:, 33] = np.stack([32 + 0.2 * k, 30 + 0.1 * k], 1)
    points[:, 8] = np.stack([31 + 0.2 * k, 40 + 0.5 * k], 1)
    points[:, 48, 0], points[:, 54, 0] = 27, 37
    return points


def extent(frame: int) -> float:
    return 18 + 0.4 * frame


def dot(x: float, y: float) -> NDArray[np.float64]:
    """A round spot in the aligned square, pixel j centred at j + 0.5."""
    k = np.arange(SIZE) + 0.5
    return np.asarray(np.exp(-((k - x) ** 2 + (k[:, None] - y) ** 2) / 2 / 1.5**2))


def centre(weights: Tensor) -> list[float]:
    """Centroid x, y of a picture [H, W], continuous."""
    height, width = weights.shape
    weights = torch.where(weights > 0.05, weights, 0).double()
    x = (weights.sum(0) * (torch.arange(width) + 0.5)).sum() / weights.sum()
    y = (weights.sum(1) * (torch.arange(height) + 0.5)).sum() / weights.sum()
    return [float(x), float(y)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with a bright spot in column 33, row 29, and a dark one at the chin."""
    folder = miniature.make(tmp_path_factory.mktemp("faces"), [CLIP])
    points = landmarks()
    with VideoWriter(folder / CLIP.clip / "video.mp4", SIZE, SIZE, intra=True) as video:
        for face in points:
            grey = 120 + 110 * dot(face[33, 0], face[29, 1]) - 110 * dot(*face[8])
            video.write(np.repeat(grey.round().astype(np.uint8)[..., None], 3, 2))
    track = dict(np.load(folder / CLIP.clip / "track.npz"))
    track["points"] = (points * miniature.SCALE + miniature.OFFSET).astype(np.float32)
    np.savez(folder / CLIP.clip / "track.npz", **track)
    return folder


def place(root: Path, start: int, references: list[int], scale: float = FACE_SCALES[0]) -> Place:
    return Place(PreparedClip(root, CLIP.clip), start, np.array(references, np.int64), scale)


@pytest.mark.parametrize("mouth", [16, 32, 64])
@pytest.mark.parametrize("scale", [1.05, 1.15])
def test_landmarks_lie_on_what_they_mark(root: Path, mouth: int, scale: float) -> None:
    window = replace(WINDOW, size=mouth)
    batch = read_windows([place(root, 4, [15, 1], scale)], window)
    assert window.picture_shape == (13 * mouth // 8, 10 * mouth // 8)
    assert batch.frames.shape == (1, 3, 3, *window.picture_shape)
    assert batch.references.shape == (1, 2, 3, *window.picture_shape)
    pixel = mouth / 32  # tolerance grows with the spot
    for shown, points, numbers in (
        (batch.frames[0], batch.points[0], [4, 5, 6]),
        (batch.references[0], batch.reference_points[0], [15, 1]),
    ):
        for picture, face, frame in zip(shown, points.tolist(), numbers, strict=True):
            level = picture.mean(0) - (120 / 127.5 - 1)
            assert centre(level) == pytest.approx([window.picture_shape[1] / 2, mouth / 2], abs=0.12 * pixel + 0.05)
            assert centre(-level) == pytest.approx(face[8], abs=0.12 * pixel + 0.05)
            assert face[29][1] == pytest.approx(mouth / 2, abs=1e-4)
            assert face[33][0] == pytest.approx(window.picture_shape[1] / 2, abs=1e-4)
            # The radius is that of the clip's last frame, whose chin hangs lowest; it tells nothing of these.
            assert face[8][1] - face[29][1] == pytest.approx(mouth / scale * extent(frame) / extent(23), abs=1e-3)


def test_a_radius_is_the_clips(root: Path) -> None:
    every = read_windows([place(root, 4, [1, 15])], WINDOW)
    some = read_windows([place(root, 4, [1, 15])], replace(WINDOW, pictures=1, reference_pictures=1))
    assert torch.equal(some.frames, every.frames[:, 1:2])
    assert torch.equal(some.points, every.points[:, 1:2])
    assert torch.equal(some.references, every.references[:, :1])
    none = read_windows([place(root, 4, [1, 15])], replace(WINDOW, pictures=0, reference_pictures=0))
    assert none.frames.shape == (1, 0, 3, 52, 40)
    assert none.reference_points.shape == (1, 0, 68, 2)


def test_the_default_scale_is_that_of_dubbing(root: Path) -> None:
    default, named = (read_windows([place(root, 4, [1, 15], *scale)], WINDOW) for scale in ((), (1.05,)))
    assert torch.equal(default.frames, named.frames)
    assert torch.equal(default.points, named.points)


def test_beyond_the_frame_lies_black(root: Path) -> None:
    inside, wide = (read_windows([place(root, 18, [23, 23], scale)], WINDOW) for scale in (1.05, 2.0))
    assert (inside.frames > -1).all()
    pixel = 2 * extent(23) / MOUTH
    # The crop of frame 18 begins one radius above landmark 29, beyond the frame's top; it also leaves it below.
    top = extent(23) - (22 + 0.1 * 18)
    first, last = top / pixel, (top + SIZE) / pixel
    column = wide.frames[0, 0, :, :, 20]
    # The border itself is interpolated, over less than a row.
    above, shown, below = slice(round(first) - 1), slice(round(first) + 1, round(last) - 1), slice(round(last) + 1, 52)
    assert 0 < above.stop < shown.start < shown.stop < below.start < 52
    assert (column[:, above] == -1).all()
    assert (column[:, shown] > -0.99).all()
    assert (column[:, below] == -1).all()


def test_scales_are_drawn_with_the_window_and_change_no_other_draw(root: Path) -> None:
    face, again = (WindowDataset(root, WINDOW, "train", 200, seed=3) for _ in range(2))
    square = WindowDataset(root, replace(WINDOW, crop="square", size=SIZE), "train", 200, seed=3)
    scales = []
    for index in range(200):
        drawn = face[1, index]
        assert again[1, index].scale == drawn.scale
        assert square[1, index].scale == 1.05
        assert (drawn.start, drawn.references.tolist()) == (
            square[1, index].start,
            square[1, index].references.tolist(),
        )
        scales.append(drawn.scale)
    assert 1.05 <= min(scales) < 1.055
    assert 1.145 < max(scales) <= 1.15
    assert np.mean(scales) == pytest.approx(1.1, abs=0.01)
    assert len(set(scales)) == 200
    assert face[2, 0].scale != face[1, 0].scale


def test_a_batch_keeps_each_windows_scale(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", 4)
    drawn = [dataset[index] for index in range(4)]
    batch = dataset.collate(drawn)
    for row, one in enumerate(drawn):
        chins = batch.points[row, :, 8, 1] - batch.points[row, :, 29, 1]
        expected = [MOUTH / one.scale * extent(one.start + k) / extent(CLIP.frames - 1) for k in range(3)]
        np.testing.assert_allclose(chins, expected, atol=1e-3)


def test_squares_are_as_they_were(root: Path) -> None:
    square = Window(frames=3, references=2, size=SIZE)
    assert square.picture_shape == (SIZE, SIZE)
    batch = read_windows([place(root, 4, [15, 1], 1.15)], square)
    pixels = torch.from_numpy(PreparedClip(root, CLIP.clip).frames([4, 5, 6])).permute(0, 3, 1, 2)
    np.testing.assert_allclose(batch.frames[0], pixels / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(batch.points[0], landmarks()[4:7], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 60}, "a face crop of 60 mouth pixels has no whole sides"),
        ({"geometry": "mesh", "pncc": True}, "belong to whole aligned frames"),
        ({"geometry": "mesh", "lips": True}, "belong to whole aligned frames"),
        ({"crop": "nose"}, "there is no crop 'nose'; take square or face"),
    ],
)
def test_what_does_not_go_together(change: dict[str, object], message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        replace(WINDOW, **change)  # type: ignore[arg-type]
    assert replace(WINDOW, geometry="mesh").geometry == "mesh"


def test_crops_follow_smoothed_landmarks_where_the_alignment_is_smoothed(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "upper")
    path = tmp_path / "upper" / CLIP.clip / "clip.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"align": "upper", "smooth": 8.0}))
    batch = read_windows([place(tmp_path / "upper", 4, [15, 1])], WINDOW)
    plain = read_windows([place(root, 4, [15, 1])], WINDOW)
    assert batch.steady_points is not None
    assert plain.steady_points is not None
    assert torch.equal(plain.steady_points, plain.points)
    smoothed = gaussian_filter1d(landmarks(), 8.0, axis=0, mode="nearest")[4:7]
    scale = 2 * 1.05 * extent(23) / 2 / MOUTH
    for steady, points, mean, seen in zip(
        batch.steady_points[0], batch.points[0], smoothed, landmarks()[4:7], strict=True
    ):
        corner = mean[[33, 29], [0, 1]] - np.array([20, 16]) * scale
        np.testing.assert_allclose(steady, (mean - corner) / scale, atol=1e-4)
        np.testing.assert_allclose(points, (seen - corner) / scale, atol=1e-4)
