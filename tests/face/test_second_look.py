"""Faces from 60 px to those that fill the frame; frames with a face found at first are as they were."""

from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.datamodules.demo.portraits import ASTRONAUT
from dubbench.face.landmarks import Face, FaceMesh
from dubbench.face.second_look import SecondLook
from dubbench.media.video import read_frames
from tests.data.people import Person, film, picture
from tests.data.speakers import BROAD, MIRRORED


def lies_at(mesh: NDArray[np.float32], person: Person) -> bool:
    """Whether a mesh is as wide as a face and lies around its middle."""
    box = Face.of(mesh).corners
    off = np.hypot(*(box.mean(0) - (person.x, person.y)))
    return bool(off < 0.35 * person.width and abs(np.ptp(box[:, 0]) / person.width - 1) < 0.25)


@pytest.mark.parametrize(
    ("height", "width", "person"),
    [
        (1080, 1920, Person(ASTRONAUT, 1810, 90, 62)),
        (1080, 1920, Person(MIRRORED, 733, 611, 84)),
        (1920, 1080, Person(BROAD, 120, 1700, 66)),
        (2160, 3840, Person(ASTRONAUT, 1501, 977, 68)),
        (720, 720, Person(MIRRORED, 360, 360, 900)),
    ],
)
def test_a_face_of_any_size_is_found_in_one_place(height: int, width: int, person: Person) -> None:
    image = picture(height, width, person)
    with FaceMesh() as mesh:
        found = mesh.detect(image)
    assert len(found) == 1
    assert lies_at(found[0], person)


@pytest.mark.parametrize("api", ["solutions", "tasks"])
def test_a_small_face_in_a_real_picture(
    api: Literal["solutions", "tasks"], shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head of 110 px in 1920 x 1080, which neither of mediapipe's APIs finds in the whole frame."""
    monkeypatch.setenv("DUBBENCH_ASSETS", str(shared / "assets"))
    with FaceMesh(api=api) as mesh:
        for image in islice(read_frames(shared / "field" / "small_240.mp4"), 3):
            (face,) = mesh.detect(image)
            assert lies_at(face, Person(MIRRORED, 673, 546, 85))


def test_small_faces_are_followed_and_both_are_seen() -> None:
    people = Person(ASTRONAUT, 400, 500, 80), Person(MIRRORED, 1500, 620, 96)
    with FaceMesh() as mesh:
        for image in film(6, 1080, 1920, *people):
            right, left = mesh.detect(image)
            assert lies_at(left, people[0])
            assert lies_at(right, people[1])
        assert mesh.detect(picture(1080, 1920)) == []


def test_where_the_first_look_finds_a_face_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits as without a second look, which is not even begun, whatever lies in the background."""
    frames = film(5, 360, 640, Person(ASTRONAUT, 200, 180, 150), Person(MIRRORED, 560, 80, 24))
    with monkeypatch.context() as patch:
        patch.setattr(SecondLook, "faces", lambda *_: pytest.fail("a second look"))
        with FaceMesh() as mesh:
            alone = [mesh.detect(image) for image in frames]
    with FaceMesh() as mesh:
        mesh.detect(picture(1080, 1920, Person(BROAD, 500, 500, 80)))
        mesh.reset()
        after = [mesh.detect(image) for image in frames]
    for before, now in zip(alone, after, strict=True):
        assert len(before) == len(now) == 1
        np.testing.assert_array_equal(before[0], now[0])


def test_an_empty_frame_is_searched_now_and_then() -> None:
    """A search in every thirteenth frame without a face; near the last place alone where there was one just now."""
    looks: list[tuple[int, ...]] = []

    def find(part: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        looks.append(part.shape)
        return []

    second, empty = SecondLook(find, most=2), np.zeros((1080, 1920, 3), np.uint8)
    second.faces(empty)
    once = len(looks)
    assert looks[0] == (3840, 3840, 3)
    assert (440, 440, 3) in looks
    for _ in range(129):
        second.faces(empty)
    assert len(looks) == 10 * once
    looks.clear()
    second.follow([np.random.default_rng(0).uniform(100, 200, (478, 3)).astype(np.float32)])
    second.faces(empty)
    assert len(looks) == 1


def box_of_white(part: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """A detector of what is white: a mesh whose box is that of the white pixels."""
    rows, columns = (np.flatnonzero(part[..., 0].max(axis) > 127) for axis in (1, 0))
    if not len(rows):
        return []
    corners = np.array([[columns[0], rows[0], 0], [columns[-1] + 1, rows[-1] + 1, 0]], np.float32)
    return [np.resize(corners, (478, 3))]


def test_a_vast_frame_is_looked_at_in_pictures_of_bounded_size() -> None:
    shapes: list[tuple[int, ...]] = []

    def find(part: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        shapes.append(part.shape)
        return box_of_white(part)

    frame = np.zeros((4320, 8190, 3), np.uint8)
    frame[1000:4000, 2000:5500] = 255
    (face,) = SecondLook(find, most=2).faces(frame)
    np.testing.assert_allclose(Face.of(face).box, [2000, 1000, 5500, 4000], atol=4)
    assert max(max(shape) for shape in shapes) <= 8192


def test_frames_beyond_4k_are_looked_at_in_4k() -> None:
    """As the same frame of half the size, at twice the places."""
    person = Person(ASTRONAUT, 4000, 2200, 1800)
    with FaceMesh() as mesh:
        (large,) = mesh.detect(film(1, 4400, 8000, person)[0])
        mesh.reset()
        (small,) = mesh.detect(film(1, 2200, 4000, person._replace(x=2000, y=1100, width=900))[0])
    assert np.abs(large[:, :2] - 2 * small[:, :2]).mean() < 0.01 * np.ptp(large[:, 0])


def test_a_frame_too_narrow_for_a_face_is_not_cut_into_thousands_of_parts() -> None:
    shapes: list[tuple[int, ...]] = []

    def find(part: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        shapes.append(part.shape)
        return []

    assert SecondLook(find, most=2).faces(np.zeros((16_000, 16, 3), np.uint8)) == []
    assert shapes == [(8192, 8192, 3)]
