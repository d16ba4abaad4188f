"""Algorithm 1's choices for inference."""

import numpy as np
import pytest
import torch

from dubbench.models.personatalk.references import Frames, at_random, by_opening, mouth_opening, nearest
from tests.datamodules.miniature import face_model

EVERY = np.arange(20)


@pytest.mark.parametrize(
    ("frame", "allowed", "count", "expected"),
    [
        (10, EVERY, 5, [8, 9, 10, 11, 12]),
        (10, EVERY, 4, [8, 9, 10, 11]),
        (0, EVERY, 5, [0, 1, 2, 3, 4]),
        (19, EVERY, 5, [15, 16, 17, 18, 19]),
        (18, EVERY, 5, [15, 16, 17, 18, 19]),
        (1, np.arange(3), 5, [0, 1, 2]),
        (7, np.array([0]), 5, [0]),
        (6, np.array([0, 5, 9, 30]), 2, [5, 9]),
    ],
)
def test_face_references_are_centred_on_the_frame(frame: int, allowed: Frames, count: int, expected: list[int]) -> None:
    assert nearest(frame, allowed, count).tolist() == expected


@pytest.mark.parametrize(("total", "count"), [(100, 25), (26, 25), (25, 25), (75, 2), (7, 3)])
def test_lip_references_go_uniformly_from_shut_to_open(total: int, count: int) -> None:
    random = np.random.default_rng(0)
    allowed = np.sort(random.choice(1000, total, replace=False))
    openings = random.permutation(total).astype(np.float32)
    places = openings[np.searchsorted(allowed, by_opening(openings, allowed, count))]
    assert len(set(places.tolist())) == len(places) == count
    assert (places[0], places[-1]) == (0, total - 1)
    steps = np.diff(places)
    assert steps.min() >= np.floor((total - 1) / (count - 1)) > 0
    assert steps.max() <= np.ceil((total - 1) / (count - 1))


def test_lip_references_of_a_short_clip_are_all_its_frames() -> None:
    openings = np.array([0.3, 0.1, 0.2], np.float32)
    assert by_opening(openings, np.array([4, 5, 9]), 25).tolist() == [5, 9, 4]
    assert by_opening(openings, np.array([4, 5, 9]), 1).tolist() == [9]
    assert by_opening(openings[:1], np.array([0]), 25).tolist() == [0]


def test_equal_openings_keep_the_clips_order() -> None:
    assert by_opening(np.zeros(50, np.float32), np.arange(50), 50).tolist() == list(range(50))


def test_random_references_repeat_for_a_seed_and_for_nothing_else() -> None:
    drawn = [tuple(at_random(seed, np.arange(40), 5).tolist()) for seed in range(30)]
    assert drawn[3] == tuple(at_random(3, np.arange(40), 5).tolist())
    assert len(set(drawn)) == 30
    assert all(len(set(row)) == 5 and list(row) == sorted(row) for row in drawn)
    assert len({number for row in drawn for number in row}) > 35
    assert at_random(0, np.array([2, 8]), 5).tolist() == [2, 8]


def test_the_mouth_opens_by_the_distance_of_the_inner_lips_without_pose() -> None:
    face = face_model()
    draw = torch.Generator().manual_seed(1)
    shape, expression = torch.randn(6, 3, generator=draw), torch.randn(6, 2, generator=draw)
    landmarks = face.vertices(shape, expression)[:, face.landmarks].double()
    expected = sum((landmarks[:, a] - landmarks[:, b]).norm(dim=1) for a, b in ((61, 67), (62, 66), (63, 65))) / 3
    torch.testing.assert_close(mouth_opening(face, shape, expression).double(), expected, rtol=1e-5, atol=1e-6)
