"""Landmark maps, face masks and supervision masks, against geometry computed pixel by pixel."""

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.face.crops import crop_shape, mouth_region
from dubbench.models.g4g.masks import (
    UPPER_PARTS,
    face_mask,
    landmark_map,
    supervision_masks,
)

MOUTH = 64
HEIGHT, WIDTH = crop_shape(MOUTH)


def face(mouth: int = MOUTH, opening: float = 0.0) -> Tensor:
    """A plain upright face [1, 68, 2] in its crop: nose at its row and column, the jaw lower the wider the mouth."""
    points = np.zeros((68, 2))
    turn = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 * np.cos(turn), 0.15 + (0.62 + 0.2 * opening) * np.sin(turn)], 1)
    points[17:27] = np.stack([np.linspace(-0.4, 0.4, 10), np.full(10, -0.35)], 1)
    points[27:31] = np.stack([np.zeros(4), np.linspace(-0.2, 0.1, 4)], 1)
    points[31:36] = np.stack([np.linspace(-0.1, 0.1, 5), np.full(5, 0.15)], 1)
    for first, side in ((36, -0.25), (42, 0.25)):
        turn = np.linspace(0, 2 * np.pi, 7)[:6]
        points[first : first + 6] = np.stack([side + 0.08 * np.cos(turn), -0.2 + 0.04 * np.sin(turn)], 1)
    for first, count, wide in ((48, 12, 0.2), (60, 8, 0.15)):
        turn = np.linspace(0, 2 * np.pi, count + 1)[:count]
        high = 0.3 * wide + 0.1 * opening
        points[first : first + count] = np.stack([-wide * np.cos(turn), 0.4 - high * np.sin(turn)], 1)
    return torch.tensor(points * mouth + [0.625 * mouth, 0.5 * mouth], dtype=torch.float32)[None]


def slow_map(points: Tensor, height: int, width: int, lines: list[list[int]]) -> Tensor:
    """Distance of every pixel centre to every segment, in float64."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) + 0.5, torch.arange(width, dtype=torch.float64) + 0.5, indexing="ij"
    )
    centres = torch.stack([x, y], -1)
    nearest = torch.full((height, width), torch.inf, dtype=torch.float64)
    for line in lines:
        for a, b in pairwise(line):
            start, along = points[a].double(), points[b].double() - points[a].double()
            share = ((centres - start) @ along / (along @ along)).clamp(0, 1)
            nearest = torch.minimum(nearest, (centres - start - share[..., None] * along).norm(dim=-1))
    return (max(height / 416, 0.5) + 0.5 - nearest).clamp(0, 1).float()


JAW = [list(range(17))]
UPPER = [
    list(range(17, 22)),
    list(range(22, 27)),
    list(range(27, 31)),
    list(range(31, 36)),
    [*range(36, 42), 36],
    [*range(42, 48), 42],
]
LIPS = [[*range(48, 60), 48], [*range(60, 68), 60]]


@pytest.mark.parametrize("mouth", [64, 256])
def test_landmark_map_is_the_distance_to_the_lines(mouth: int) -> None:
    height, width = crop_shape(mouth)
    # The second face lies half beyond the picture.
    points = torch.cat([face(mouth), face(mouth, 1.0) + torch.tensor([0.7, -0.3]) * mouth])
    drawn = landmark_map(points, height, width)
    for each, one in zip(drawn, points, strict=True):
        torch.testing.assert_close(each[0], slow_map(one, height, width, JAW + UPPER + LIPS), atol=1e-4, rtol=0)
    shown = landmark_map(points, height, width, UPPER_PARTS)
    torch.testing.assert_close(shown[0, 0], slow_map(points[0], height, width, UPPER), atol=1e-4, rtol=0)


def test_landmark_map_of_points_that_fall_together_is_a_dot() -> None:
    drawn = landmark_map(torch.full((1, 68, 2), 10.5), 26, 20)
    assert torch.nonzero(drawn[0, 0]).tolist() == [[10, 10]]
    assert landmark_map(torch.zeros(0, 68, 2), 26, 20).shape == (0, 1, 26, 20)


def test_what_the_source_shows_says_nothing_of_the_mouth() -> None:
    closed, opened = (landmark_map(face(opening=o), HEIGHT, WIDTH, UPPER_PARTS) for o in (0.0, 1.0))
    assert torch.equal(closed, opened)
    assert not torch.equal(*(landmark_map(face(opening=o), HEIGHT, WIDTH) for o in (0.0, 1.0)))


def test_face_mask_is_the_same_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        mask = face_mask(face(), MOUTH)
    assert torch.equal(mask, face_mask(face(), MOUTH))


def test_face_mask_is_full_at_the_lips_and_nothing_outside_the_mouth_region() -> None:
    mask = face_mask(face(opening=1.0), MOUTH)
    assert mask.shape == (1, 1, HEIGHT, WIDTH)
    outside = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    outside[mouth_region(MOUTH)] = False
    assert mask[0, 0][outside].max() == 0
    # Inner pixels of the lips' box.
    low, high = (f(1).values for f in (face(opening=1.0)[:, 48:68].min, face(opening=1.0)[:, 48:68].max))
    (left, top), (right, bottom) = low[0].int().tolist(), high[0].int().tolist()
    assert mask[0, 0, top:bottom, left:right].min() > 0.999
    assert mask.max() <= 1


def test_face_mask_does_not_tell_how_far_the_mouth_is_open() -> None:
    opened = face(opening=1.0)
    opened[:, 3:14, 0] += torch.linspace(5, -5, 11)
    assert torch.equal(face_mask(face(opening=0.0), MOUTH), face_mask(opened, MOUTH))


def test_face_mask_has_the_border_of_a_gaussian() -> None:
    """Across a straight border far from corners it is the normal distribution's integral."""
    mouth = 256
    points = face(mouth)
    # Cheeks at one place, so that the polygon's borders are columns, x = 100 and 25.6 to the right of it.
    points[:, [2, 14], 0] = 100 + 0.05 * mouth
    row = face_mask(points, mouth)[0, 0, 250]
    columns = torch.arange(80, 113) + 0.5
    expected = 0.5 * (1 + torch.erf((columns - 100) / (4 * 2**0.5)))
    torch.testing.assert_close(row[80:113], expected, atol=0.01, rtol=0)


def test_supervision_masks_are_boxes_about_the_mouth() -> None:
    points = face()
    points[:, 48:68] = torch.tensor([40.0, 57.0])
    points[:, 48, 0], points[:, 54, 0] = 35, 45  # ten wide, two high
    points[:, 51, 1], points[:, 57, 1] = 56, 58
    masks = supervision_masks(points, MOUTH)
    assert masks.shape == (1, 3, HEIGHT, WIDTH)
    expected = torch.zeros(3, HEIGHT, WIDTH)
    expected[0, 51:63, 30:50] = 1
    expected[1, 45:69, 20:60] = 1
    expected[2, 32:96, 8:72] = 1
    assert torch.equal(masks[0], expected)


def test_masks_of_lips_beyond_the_region_stay_within() -> None:
    points = face()
    points[:, 48:68, 1] += 30
    masks = supervision_masks(points, MOUTH)
    assert masks[:, 1, 96:].max() == 0
    assert masks[:, 1, 95].max() == 1


def test_crop_of_the_paper() -> None:
    assert crop_shape(256) == (416, 320)
    assert mouth_region(256) == (slice(128, 384), slice(32, 288))
    with pytest.raises(DubbenchError, match="multiple of 8"):
        crop_shape(44)


def test_real_lips_lie_under_the_face_mask(shared: Path) -> None:
    """In the crop of reference/metrics.md 1.3, made from a clip's own landmarks."""
    from dubbench.face.landmarks import FaceMesh, points_68
    from dubbench.media.video import read_frames

    video = sorted((shared / "data").rglob("*.mp[4g]"))[0]
    with FaceMesh() as detector:
        meshes = [detector.detect(np.ascontiguousarray(image)) for image in islice(read_frames(video), 40)]
    points = torch.tensor(np.stack([points_68(found[0].astype(np.float64)) for found in meshes]), dtype=torch.float32)
    height = (points[..., 1].amax(1) - points[:, 29, 1]).max()
    radius = 1.05 * torch.maximum(height, (points[:, 54, 0] - points[:, 48, 0]).max()) / 2
    corner = torch.stack([points[:, 33, 0] - 1.25 * radius, points[:, 29, 1] - radius], -1)
    points = (points - corner[:, None]) * MOUTH / 2 / radius
    mask = face_mask(points, MOUTH)[:, 0]
    assert len(points) > 20
    for each, one in zip(mask, points[:, 48:68].long(), strict=True):
        assert each[one[:, 1], one[:, 0]].min() > 0.99
    chin = points[:, 8].long()
    assert mask[torch.arange(len(mask)), chin[:, 1], chin[:, 0]].min() > 0.3
