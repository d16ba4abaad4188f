import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dubbench.datamodules import splits
from dubbench.datamodules.demo.face import Pose
from dubbench.datamodules.demo.portraits import ASTRONAUT, SIZE, Portrait
from dubbench.datamodules.sources import RawClip, demo, find
from dubbench.errors import DubbenchError
from dubbench.face.landmarks import FaceMesh, points_68
from dubbench.media.audio import read_speech
from dubbench.media.video import probe, read_frames
from tests.data import speakers
from tests.datamodules.conftest import tree

SENTENCES = ("en-2", "es-3")
ALL_SENTENCES = dict(demo.SENTENCES)
STILL = Pose((0, 0), 0, 1)


@pytest.fixture(scope="module")
def two_sentences() -> Iterator[None]:
    """The corpus with two of its sentences."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "SENTENCES", {sentence: ALL_SENTENCES[sentence] for sentence in SENTENCES})
        yield


@pytest.fixture(scope="module")
def corpus(two_sentences: None, tmp_path_factory: pytest.TempPathFactory) -> list[RawClip]:
    return find("demo", tmp_path_factory.mktemp("demo") / "new")


@pytest.fixture(scope="module")
def clips(corpus: list[RawClip], tmp_path_factory: pytest.TempPathFactory) -> list[RawClip]:
    """The corpus, and a clip of every permuted face."""
    return corpus + speakers.make(tmp_path_factory.mktemp("permuted"), SENTENCES[:1], speakers.SPEAKERS[1:])


@pytest.fixture(scope="module")
def mesh() -> Iterator[FaceMesh]:
    with FaceMesh() as faces:
        yield faces


@pytest.fixture(scope="module")
def detected(clips: list[RawClip], mesh: FaceMesh) -> list[list[list[NDArray[Any]]]]:
    """Faces in each frame of each clip."""
    found = []
    for clip in clips:
        mesh.reset()
        found.append([mesh.detect(frame) for frame in read_frames(clip.path)])
    return found


def lip_gap(face: NDArray[Any]) -> float:
    """Distance of the inner lips over that of the eyes' centres."""
    points = points_68(face).astype(np.float64)
    eyes = points[36:42].mean(axis=0) - points[42:48].mean(axis=0)
    return float(np.linalg.norm(points[62] - points[66]) / np.linalg.norm(eyes))


def openings(clip: RawClip) -> NDArray[Any]:
    table = pd.read_csv(clip.path.with_suffix(".viseme.csv"))
    assert list(table) == ["frame", "opening"]
    assert list(table["frame"]) == list(range(len(table)))
    return table["opening"].to_numpy()


def test_one_face_in_every_frame_and_its_lips_follow_the_visemes(
    clips: list[RawClip], detected: list[list[list[NDArray[Any]]]]
) -> None:
    for clip, found in zip(clips, detected, strict=True):
        track = openings(clip)
        assert len(found) == len(track)
        assert np.mean([len(faces) == 1 for faces in found]) >= 0.99
        assert max(len(faces) for faces in found) == 1
        seen = np.array([len(faces) == 1 for faces in found])
        gaps = [lip_gap(faces[0]) for faces in found if faces]
        assert np.corrcoef(gaps, track[seen])[0, 1] > 0.9, clip.clip


def test_the_corpus_is_every_sentence_by_one_speaker(corpus: list[RawClip]) -> None:
    assert [(c.clip, c.speaker) for c in corpus] == [(f"astronaut/{sentence}", "astronaut") for sentence in SENTENCES]


def test_clips_carry_speech_as_long_as_their_pictures(clips: list[RawClip]) -> None:
    for clip in clips:
        info, frames = probe(clip.path), len(openings(clip))
        assert (info.width, info.height, info.has_audio) == (SIZE, SIZE, True)
        assert info.duration == pytest.approx(frames / 25)
        speech = read_speech(clip.path)
        assert len(speech) >= 640 * frames - 1024
        assert np.abs(speech).max() > 0.3


def test_lips_are_closed_on_silence_and_open_in_loud_vowels(clips: list[RawClip]) -> None:
    """The track belongs to the sound: shifted by 0.2 s either way it explains the loudness less well."""
    scores: list[list[float]] = []
    for clip in clips:
        track = openings(clip)
        speech = read_speech(clip.path)[: 640 * len(track)]
        speech = np.pad(speech, (0, 640 * len(track) - len(speech))).reshape(-1, 640)
        loud = np.log(np.sqrt((speech**2).mean(axis=1)) + 1e-3)
        scores.append([float(np.corrcoef(np.roll(loud, shift), track)[0, 1]) for shift in (-5, 0, 5)])
    early, right, late = np.mean(scores, axis=0)
    assert right > 0.5
    assert right > max(early, late) + 0.2


def test_the_head_moves_a_little(detected: list[list[list[NDArray[Any]]]]) -> None:
    for found in detected:
        noses = np.array([faces[0][4, :2] for faces in found])
        assert 1.5 < np.ptp(noses, axis=0).max() < 15
        assert np.abs(np.diff(noses, axis=0)).max() < 3


def test_what_is_there_stays_and_what_is_missing_comes_back_with_the_same_bytes(
    corpus: list[RawClip], two_sentences: None
) -> None:
    root = corpus[0].path.parents[1]
    before = tree(root)
    times = {c.clip: c.path.stat().st_mtime_ns for c in corpus}
    corpus[1].path.unlink()
    assert find("demo", root) == corpus
    assert tree(root) == before
    same = {c.clip for c in corpus if c.path.stat().st_mtime_ns == times[c.clip]}
    assert same == {c.clip for c in corpus} - {corpus[1].clip}


def test_another_seed_moves_the_head_otherwise_and_is_not_mixed_in(
    corpus: list[RawClip], two_sentences: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DubbenchError, match="another version or seed"):
        demo.make(corpus[0].path.parents[1], seed=1)
    monkeypatch.setattr(demo, "SENTENCES", {SENTENCES[0]: ALL_SENTENCES[SENTENCES[0]]})
    demo.make(tmp_path / "one", seed=1)
    (other,) = find("demo", tmp_path / "one")
    assert np.array_equal(openings(other), openings(corpus[0]))
    assert other.path.read_bytes() != corpus[0].path.read_bytes()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DubbenchError, match="not empty"):
        find("demo", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_missing_photograph_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DubbenchError, match=r"scikit-image.*pip install dubbench\[demo\]"):
        ASTRONAUT.photo()


@pytest.mark.parametrize("portrait", speakers.SPEAKERS, ids=attrgetter("speaker"))
def test_a_closed_mouth_at_rest_leaves_the_photograph_above_it_as_it_is(portrait: Portrait) -> None:
    face = demo.talking_face(portrait)
    photo = portrait.photo()
    nose = int(face.centre[1] - 1.5 * face.unit)
    assert np.array_equal(face.render(0, 0, STILL)[:nose], photo[:nose])
    moved = face.render(1, 0, STILL)
    assert np.array_equal(moved[:nose], photo[:nose])
    assert np.abs(moved[nose:].astype(int) - photo[nose:]).max() > 50


@pytest.mark.parametrize("portrait", speakers.SPEAKERS, ids=attrgetter("speaker"))
def test_the_mouth_widens_and_rounds(portrait: Portrait, mesh: FaceMesh) -> None:
    face = demo.talking_face(portrait)
    widths = []
    for width in (-1.0, 0.0, 1.0):
        mesh.reset()
        corners = mesh.detect(face.render(0.3, width, STILL))[0][[61, 291], :2]
        widths.append(float(np.linalg.norm(corners[0] - corners[1])))
    assert widths[0] < widths[1] - 3
    assert widths[1] < widths[2] - 1


def test_the_published_split_lists_every_clip_once_and_keeps_sentences_apart() -> None:
    table = pd.read_csv(splits.PUBLISHED / "demo.csv")
    expected = [(f"{ASTRONAUT.speaker}/{sentence}", ASTRONAUT.speaker) for sentence in ALL_SENTENCES]
    assert sorted(zip(table["clip"], table["speaker"], strict=True)) == sorted(expected)
    spoken = [ALL_SENTENCES[clip.split("/")[1]] for clip in table["clip"]]
    table["language"], table["text"] = zip(*spoken, strict=True)
    assert (table.groupby("text")["split"].nunique() == 1).all()
    languages = table.groupby("split")["language"].agg(set)
    assert languages["train"] == languages["test"] == set(table["language"])
    assert set(languages.index) == {"train", "val", "test"}
