"""Face tracks and their crops, against the official steps over whole lists and on cases that can be said."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import interp1d
from scipy.signal import medfilt

from dubbench.errors import DubbenchError
from dubbench.face.tracks import LANDMARK, PIPELINE, FaceTrack, FaceTracks, TrackCrops, TrackRules, track_crop

Image = NDArray[np.uint8]
Box = NDArray[np.float64]
Crops = dict[int, tuple[int, Image]]

HEIGHT, WIDTH = 240, 320
SMALL = TrackRules(min_track=20, min_face=60.0)


def picture(t: int, height: int = HEIGHT, width: int = WIDTH) -> Image:
    noise = np.random.default_rng(t).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def box(x: float, y: float, side: float = 110.0) -> Box:
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


def run(
    rules: TrackRules, boxes: Sequence[Sequence[Box]], cuts: Sequence[int] = (), images: Sequence[Image] | None = None
) -> tuple[list[FaceTrack], Crops]:
    """All tracks, and of each the first frame and all crops."""
    tracks, parts = FaceTracks(rules), list[TrackCrops]()
    for t, faces in enumerate(boxes):
        parts += tracks.add(picture(0) if images is None else images[t], faces, t in cuts)
    rest, found = tracks.finish()
    pieces: dict[int, list[TrackCrops]] = {}
    for part in [*parts, *rest]:
        before = pieces.setdefault(part.track, [])
        assert not before or part.first == before[-1].first + len(before[-1].crops), "crops come without a hole"
        before.append(part)
    crops = {track: (own[0].first, np.concatenate([part.crops for part in own])) for track, own in pieces.items()}
    return found, crops


def drifting(frames: int, seed: int, cuts: Sequence[int]) -> list[list[Box]]:
    """Up to three faces that wander over the edge of the picture, are missed at times and listed in any order."""
    random = np.random.default_rng(seed)
    found = []
    centres = random.uniform([20, 20], [WIDTH - 20, HEIGHT - 20], (3, 2))
    sides, missing = random.uniform(45, 130, 3), np.zeros(3)
    for t in range(frames):
        if t in cuts:
            centres = random.uniform([20, 20], [WIDTH - 20, HEIGHT - 20], (3, 2))
        centres = np.clip(centres + random.normal(0, 2, (3, 2)), 5, [WIDTH - 5, HEIGHT - 5])
        sides = np.clip(sides + random.normal(0, 1, 3), 30, 140)
        missing = np.where(missing > 0, missing - 1, (random.random(3) < 0.03) * random.integers(1, 32, 3))
        seen = [box(x, y, side) + random.normal(0, 1, 4) for (x, y), side in zip(centres, sides, strict=True)]
        order = [i for i in random.permutation(3) if not missing[i]]
        faces: list[Box] = []
        for i in order:  # as a detector's suppression leaves them
            if all(share(seen[i], other) <= 0.45 for other in faces):
                faces.append(seen[i])
        found.append(faces)
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_is_the_official_pipeline_over_whole_lists(seed: int) -> None:
    cuts = (90, 200)
    boxes, images = drifting(260, seed, cuts), [picture(t) for t in range(260)]
    wanted = official(images, boxes, cuts, SMALL)

    found, crops = run(SMALL, boxes, cuts, images)

    kept = [track for track in found if track.kept]
    assert len(kept) >= 3
    assert [(track.start, track.length) for track in kept] == [(start, len(part)) for start, part in wanted]
    for track, (start, part) in zip(kept, wanted, strict=True):
        assert crops[track.id][0] == start
        np.testing.assert_array_equal(crops[track.id][1], part)


def test_one_face_that_moves_is_one_track() -> None:
    boxes = [[box(60 + t, 120)] for t in range(120)]
    found, crops = run(PIPELINE, boxes)
    assert found == [FaceTrack(0, 0, 120, 120, True, "")]
    assert crops[0][0] == 0
    assert crops[0][1].shape == (120, 224, 224, 3)


def test_two_faces_are_two_tracks_whatever_their_order() -> None:
    left, right = box(80, 120), box(240, 120)
    boxes = [[left, right] if t % 2 else [right, left] for t in range(60)]
    images = [np.zeros((HEIGHT, WIDTH, 3), np.uint8) for _ in boxes]
    for image in images:
        image[:, 160:] = 200
    found, crops = run(LANDMARK, boxes, images=images)
    assert [track.length for track in found if track.kept] == [60, 60]
    assert {int(crops[i][1][:, 60:160, 90:130].mean()) for i in (0, 1)} == {0, 200}


@pytest.mark.parametrize(("missed", "lengths"), [(10, [140]), (24, [154]), (25, [70, 60]), (30, [70, 60])])
def test_a_gap_is_filled_up_to_25_frames(missed: int, lengths: list[int]) -> None:
    frames = 70 + missed + 60
    boxes = [[box(60 + t, 120)] if t < 70 or t >= 70 + missed else [] for t in range(frames)]
    boxes[70 + missed :] = [[box(130, 120)]] * 60  # where an overlap remains
    found, _ = run(LANDMARK, boxes)
    assert [track.length for track in found] == lengths
    assert all(track.kept for track in found)
    assert sum(track.detections for track in found) == 130


def test_boxes_in_a_gap_lie_between_its_ends() -> None:
    boxes = [[box(100, 120)] if t < 60 else [box(120, 120)] if t >= 80 else [] for t in range(140)]
    still = [[box(100 + 20 * np.clip((t - 59) / 21, 0, 1), 120)] for t in range(140)]
    images = [picture(t) for t in range(140)]
    np.testing.assert_array_equal(
        run(LANDMARK, boxes, images=images)[1][0][1], run(LANDMARK, still, (), images)[1][0][1]
    )


def test_filled_frames_do_not_make_a_track_long() -> None:
    boxes = [[box(100, 120)] if t % 2 == 0 else [] for t in range(101)]
    (track,), crops = run(LANDMARK, boxes)
    assert (track.length, track.detections, track.kept, crops != {}) == (101, 51, True, True)
    (track,), crops = run(LANDMARK, boxes[:99])
    assert (track.length, track.detections, track.kept, crops) == (99, 50, False, {})
    assert "50 detections" in track.reason


def test_a_cut_ends_a_track() -> None:
    boxes = [[box(100, 120)]] * 130
    found, crops = run(LANDMARK, boxes, cuts=[60])
    assert [(track.start, track.length, track.kept) for track in found] == [(0, 60, True), (60, 70, True)]
    # Before the cut nothing of the second shot may enter the smoothing, after it nothing of the first.
    alone = run(LANDMARK, boxes[:60])[1][0][1]
    np.testing.assert_array_equal(crops[0][1], alone)
    assert crops[1][0] == 60


def test_a_small_face_is_not_kept() -> None:
    for side, kept in ((100.0, False), (101.0, True)):
        (track,), _ = run(LANDMARK, [[box(100, 120, side)]] * 60)
        assert track.kept is kept
        assert track.reason == ("" if kept else "face of 100 px on average, and more than 100 px are asked for")
    wide = np.array([40.0, 100, 160, 140])
    assert run(LANDMARK, [[wide]] * 60)[0][0].kept


def test_a_face_that_jumps_starts_another_track() -> None:
    # Shifted by a third of its width a box overlaps the old one by exactly a half, which is not more than a half.
    found, _ = run(LANDMARK, [[box(100, 120, 120)]] * 60 + [[box(140, 120, 120)]] * 60)
    assert [track.length for track in found] == [60, 60]
    found, _ = run(LANDMARK, [[box(100, 120, 120)]] * 60 + [[box(139, 120, 120)]] * 60)
    assert [track.length for track in found] == [120]


def test_the_last_crops_of_a_track_say_whether_it_is_kept() -> None:
    tracks = FaceTracks(LANDMARK)
    parts = [part for t in range(90) for part in tracks.add(picture(0), [box(100, 120)] if t < 60 else [])]
    (ended,) = (part.ended for part in parts if part.ended)
    assert ended == FaceTrack(0, 0, 60, 60, True, "")
    assert tracks.finish() == ([], [ended])
    with_small = run(LANDMARK, [[box(100, 120, 80)]] * 60)
    assert not with_small[0][0].kept
    assert len(with_small[1][0][1]) == 60


def test_holds_few_frames_however_long_the_video() -> None:
    tracks = FaceTracks(LANDMARK)
    most = 0
    for t in range(400):
        seen = t % 40 < 16  # gaps of 24 frames, the longest that are filled
        for part in tracks.add(picture(0, 120, 160), [box(80, 60)] if seen else []):
            assert part.track == 0
        most = max(most, tracks.held)
    assert most == LANDMARK.gap + LANDMARK.median // 2 - 1
    for _ in range(30):
        tracks.add(picture(0, 120, 160), [])
    assert tracks.held == 0


def test_crop_shows_the_face_in_the_upper_middle() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[150:250, 150:250] = (250, 100, 50)
    crop = track_crop(image, 200, 200, 50, LANDMARK)
    inside = crop[..., 2] > 125
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    # 140 px of the picture to 224: the face is 160 px large, at the top edge and with 32 px at either side.
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (0, 159, 32, 191)
    assert crop[80, 112].tolist() == [50, 100, 250]


@pytest.mark.parametrize(("x", "y"), [(-500.0, 50.0), (50.0, -500.0), (5000.0, 50.0), (50.0, 5000.0)])
def test_crop_beyond_the_picture_is_grey(x: float, y: float) -> None:
    assert (track_crop(picture(0), x, y, 60, LANDMARK) == 110).all()
    assert track_crop(picture(0), x, y, 0.1, LANDMARK).shape == (224, 224, 3)


@pytest.mark.parametrize(
    "wrong", [[1.0, 1.0, 1.0, 5.0], [5.0, 1.0, 2.0, 9.0], [0.0, 0.0, np.nan, 4.0], [0.0, 0.0, 4.0]]
)
def test_refuses_what_is_no_box(wrong: list[float]) -> None:
    tracks = FaceTracks(LANDMARK)
    tracks.add(picture(0), [])
    with pytest.raises(DubbenchError, match="frame 1 has the box"):
        tracks.add(picture(0), [np.array(wrong)])


def test_refuses_images_and_rules_that_cannot_be() -> None:
    with pytest.raises(DubbenchError, match="float64"):
        FaceTracks(LANDMARK).add(np.zeros((4, 4, 3)), [])  # type: ignore[arg-type]
    with pytest.raises(DubbenchError, match="odd"):
        replace(LANDMARK, median=12)
    with pytest.raises(DubbenchError, match="min_track"):
        replace(LANDMARK, min_track=5)


def share(left: Box, right: Box) -> float:
    width = max(0, min(left[2], right[2]) - max(left[0], right[0]))
    height = max(0, min(left[3], right[3]) - max(left[1], right[1]))
    areas = (left[2] - left[0]) * (left[3] - left[1]) + (right[2] - right[0]) * (right[3] - right[1])
    return float(width * height / (areas - width * height))


def official(
    images: Sequence[Image], boxes: Sequence[Sequence[Box]], cuts: Sequence[int], rules: TrackRules
) -> list[tuple[int, Image]]:
    """Start and crops of the kept tracks: shot by shot, and in a shot one track after the other."""
    bounds = [0, *cuts, len(images)]
    kept = []
    for begin, end in pairwise(bounds):
        left = [(t, face) for t in range(begin, end) for face in boxes[t]]
        while left:
            track, later = [left[0]], list[tuple[int, Box]]()
            for t, face in left[1:]:
                last, known = track[-1]
                if 0 < t - last <= rules.gap and share(face, known) > rules.iou:
                    track.append((t, face))
                else:
                    later.append((t, face))
            left = later
            if len(track) > rules.min_track:
                times, faces = np.array([t for t, _ in track]), np.stack([face for _, face in track])
                every = np.arange(times[0], times[-1] + 1)
                filled = np.stack([interp1d(times, faces[:, i])(every) for i in range(4)], 1)
                if max((filled[:, 2] - filled[:, 0]).mean(), (filled[:, 3] - filled[:, 1]).mean()) > rules.min_face:
                    kept.append((int(every[0]), official_crops(images, every, filled)))
    return kept


def official_crops(images: Sequence[Image], every: NDArray[np.int64], filled: Box) -> Image:
    half = medfilt(np.maximum(filled[:, 2] - filled[:, 0], filled[:, 3] - filled[:, 1]) / 2, 13)
    x, y = (medfilt((filled[:, i] + filled[:, i + 2]) / 2, 13) for i in (0, 1))
    crops = []
    for i, t in enumerate(every):
        border = int(half[i] * 1.8)
        padded = np.pad(images[t][..., ::-1], ((border, border), (border, border), (0, 0)), constant_values=110)
        rows = slice(int(y[i] + border - half[i]), int(y[i] + border + half[i] * 1.8))
        columns = slice(int(x[i] + border - half[i] * 1.4), int(x[i] + border + half[i] * 1.4))
        crops.append(cv2.resize(padded[rows, columns], (224, 224)))
    return np.stack(crops)
