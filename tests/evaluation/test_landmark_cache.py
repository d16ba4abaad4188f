"""The landmark cache: detection once a content, whatever happens to its files."""

import multiprocessing
import os
from itertools import islice
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from dubbench.evaluation import landmark_cache
from dubbench.evaluation.landmark_cache import followed
from dubbench.face.landmarks import points_68
from dubbench.media.container import Image
from dubbench.media.video import read_frames
from tests import talking

FACES = (0, 1, 2, 1, 0, 2)


class Scripted:
    """Finds as many faces as `FACES` says, at places that name the frame."""

    backend = "scripted-1"
    max_faces = 2

    def __init__(self) -> None:
        self.seen = 0
        self.fresh = False

    def detect(self, rgb: Image) -> list[landmark_cache.Points]:
        assert self.fresh
        count = FACES[self.seen % len(FACES)]
        self.seen += 1
        return [np.full((478, 3), 10 * self.seen + face, np.float32) + np.arange(478)[:, None] for face in range(count)]

    def reset(self, place: object = None) -> None:
        self.fresh = True


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUBBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "landmarks"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "six.mkv"
    talking.write(path, islice(talking.frames("ann/one"), len(FACES)))
    return path


def found(video: Path, detector: Scripted) -> list[list[list[list[float]]]]:
    """Landmarks of all frames, and on the way that each comes with its own frame."""
    faces = []
    for (image, points), expected in zip(followed(video, detector), read_frames(video), strict=True):
        np.testing.assert_array_equal(image, expected)
        faces.append([face.points.tolist() for face in points])
    return faces


def test_faces_are_detected_once_a_content(video: Path, tmp_path: Path) -> None:
    first, again = Scripted(), Scripted()
    faces = found(video, first)
    assert [len(each) for each in faces] == list(FACES)
    third = np.full((478, 3), 31.0) + np.arange(478)[:, None]
    assert faces[2][1] == points_68(third).tolist()
    copy = tmp_path / "elsewhere" / "other name.mkv"
    copy.parent.mkdir()
    copy.write_bytes(video.read_bytes())
    assert found(copy, again) == faces
    assert (first.seen, again.seen) == (6, 0)


def test_the_box_goes_around_the_whole_mesh(video: Path) -> None:
    """Detected, then out of the cache."""
    for _ in range(2):
        boxes = [[face.box.tolist() for face in faces] for _, faces in followed(video, Scripted())]
        assert boxes[2] == [[30, 30, 507, 507], [31, 31, 508, 508]]


def test_another_file_or_detector_is_detected_anew(video: Path, tmp_path: Path) -> None:
    found(video, Scripted())
    other = Scripted()
    other.backend = "scripted-2"
    found(video, other)
    more = Scripted()
    more.max_faces = 3
    found(video, more)
    longer = Scripted()
    talking.write(tmp_path / "seven.mkv", islice(talking.frames("ann/one"), 7))
    found(tmp_path / "seven.mkv", longer)
    assert [detector.seen for detector in (other, more, longer)] == [6, 6, 7]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_made_anew(damage: str, video: Path, cache: Path) -> None:
    faces = found(video, Scripted())
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    kept.write_bytes({"cut": whole[:-40], "flipped": flipped, "empty": b"", "foreign": b"no landmarks"}[damage])
    detector = Scripted()
    assert found(video, detector) == faces
    assert detector.seen == 6
    assert kept.read_bytes() == whole


def test_an_unfinished_pass_leaves_nothing(video: Path, cache: Path) -> None:
    passing = followed(video, Scripted())
    next(passing)
    passing.close()
    assert not list(cache.iterdir())


def test_a_place_that_cannot_be_written_to_stops_nothing(video: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    faces = found(video, Scripted())
    assert [len(each) for each in faces] == list(FACES)


def _follow(video: Path, together: Barrier) -> None:
    """One of several processes that are in the middle of the same video at the same time."""
    for k, _ in enumerate(followed(video, Scripted())):
        if k == 2:
            together.wait(60)


def test_processes_do_each_other_no_harm(video: Path, cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    processes = [context.Process(target=_follow, args=(video, together)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(os.listdir(cache)) == 1  # noqa: PTH208
    detector = Scripted()
    assert [len(each) for each in found(video, detector)] == list(FACES)
    assert detector.seen == 0
