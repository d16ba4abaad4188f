"""The face in a box stays that person's: across gaps, and not across a cut to somebody else."""

import pytest

from dubbench.datamodules.demo.portraits import ASTRONAUT
from dubbench.errors import DubbenchError
from dubbench.face.choice import BoxedFace, FaceChoice
from dubbench.face.landmarks import FaceMesh
from tests.data.people import Image, Person, film, picture
from tests.data.speakers import BROAD, MIRRORED

HERS, OTHERS = Person(ASTRONAUT, 150, 130, 110), Person(MIRRORED, 150, 130, 110)
BOX = (110.0, 80.0, 80.0, 100.0)


def followed(choice: FaceChoice, images: list[Image]) -> str:
    with FaceMesh() as mesh:
        mesh.reset(choice.place)
        return "".join("-x"[choice.choose(mesh.detect(image), image) is not None] for image in images)


def test_a_cut_to_another_person_at_the_same_place_ends_it_and_a_cut_back_goes_on() -> None:
    shots = [film(6, 260, 300, HERS), film(5, 260, 300, OTHERS), film(4, 260, 300, HERS)]
    choice = BoxedFace(BOX)
    assert followed(choice, shots[0] + shots[1]) == "xxxxxx-----"
    assert choice.lost == 6
    choice = BoxedFace(BOX)
    assert followed(choice, [image for shot in shots for image in shot]) == "xxxxxx-----xxxx"
    assert choice.lost is None
    assert followed(FaceChoice("largest"), shots[0] + shots[1]) == "x" * 11


def test_another_face_in_the_same_place_is_noticed_though_the_picture_stays() -> None:
    """A small part of a large picture changes, which no cut's score tells."""
    wide = [Person(who, 300, 250, 90) for who in (ASTRONAUT, MIRRORED)]
    images = film(4, 900, 1200, wide[0]) + film(4, 900, 1200, wide[1])
    assert followed(BoxedFace((260, 200, 80, 90)), images) == "xxxx----"


def test_a_face_that_was_hidden_is_the_same_afterwards() -> None:
    images = [*film(4, 260, 300, HERS), *[picture(260, 300)] * 5, *film(4, 260, 300, HERS)]
    choice = BoxedFace(BOX)
    assert followed(choice, images) == "xxxx-----xxxx"
    assert (choice.frames, choice.detected, choice.lost) == (13, 8, None)
    assert 100 < choice.size < 160


def test_a_small_face_in_the_box_is_looked_for_beside_one_that_the_first_look_finds() -> None:
    near, far = Person(BROAD, 1300, 500, 400), Person(ASTRONAUT, 300, 300, 70)
    images = [*film(3, 1080, 1920, near, far), *film(2, 1080, 1920, near), *film(3, 1080, 1920, near, far)]
    with FaceMesh(max_faces=8) as mesh:
        assert all(face[:, 0].mean() > 900 for face in mesh.detect(images[0])), "the first look finds it: no test"
    choice = BoxedFace((250, 240, 100, 120))
    with FaceMesh(max_faces=8) as mesh:
        mesh.reset(choice.place)
        chosen = [choice.choose(mesh.detect(image), image) for image in images]
    assert ["-x"[face is not None] for face in chosen] == list("xxx--xxx")
    assert all(abs(face[:, 0].mean() - 300) < 20 for face in chosen if face is not None)


def test_of_two_people_the_one_in_the_box_and_more_are_counted() -> None:
    people = HERS, Person(BROAD, 420, 140, 120)
    images = film(4, 280, 560, *people)
    for box, x in ((BOX, 150), ((380.0, 80.0, 90.0, 110.0), 420)):
        choice = BoxedFace(box)
        with FaceMesh(max_faces=8) as mesh:
            for image in images:
                chosen = choice.choose(mesh.detect(image), image)
                assert chosen is not None
                assert abs(chosen[:, 0].mean() - x) < 25
        assert choice.several == 4
    with FaceMesh() as mesh, pytest.raises(DubbenchError, match=r"no face lies in the box 1,1,9,9 of frame 0"):
        BoxedFace((1, 1, 9, 9)).choose(mesh.detect(images[0]), images[0])
