import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dubbench.datamodules import splits
from dubbench.datamodules.demo.face import Pose
from dubbench.datamodules.demo.portraits import PORTRAITS, SIZE
from dubbench.datamodules.sources import RawClip, demo, find
from dubbench.errors import DubbenchError
from dubbench.face.landmarks import FaceMesh, points_68
from dubbench.media.audio import read_speech
from dubbench.media.video import probe, read_frames
from tests.datamodules.conftest import tree

SENTENCE = "en-2"
ALL_SENTENCES = tuple(demo.SENTENCES)
STILL = Pose((0, 0), 0, 1)


@pytest.fixture(scope="module")
def one_sentence() -> Iterator[None]:
    """The corpus with one sentence for each speaker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "SENTENCES", {SENTENCE: demo.SENTENCES[SENTENCE]})
        yield


@pytest.fixture(scope="module")
def clips(one_sentence: None, tmp_path_factory: pytest.TempPathFactory) -> list[RawClip]:
    return find("demo", tmp_path_factory.mktemp("demo") / "new")


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


def test_clips_carry_speech_as_long_as_their_pictures(clips: list[RawClip]) -> None:
    assert [c.clip for c in clips] == sorted(f"{p.speaker}/{SENTENCE}" for p in PORTRAITS)
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
    clips: list[RawClip], one_sentence: None
) -> None:
    root = clips[0].path.parents[1]
    before = tree(root)
    times = {c.clip: c.path.stat().st_mtime_ns for c in clips}
    clips[1].path.unlink()
    assert find("demo", root) == clips
    assert tree(root) == before
    same = {c.clip for c in clips if c.path.stat().st_mtime_ns == times[c.clip]}
    assert same == {c.clip for c in clips} - {clips[1].clip}


def test_another_seed_moves_the_head_otherwise_and_is_not_mixed_in(
    clips: list[RawClip], one_sentence: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DubbenchError, match="another version or seed"):
        demo.make(clips[0].path.parents[1], seed=1)
    monkeypatch.setattr(demo, "PORTRAITS", PORTRAITS[:1])
    demo.make(tmp_path / "one", seed=1)
    (other,) = find("demo", tmp_path / "one")
    assert np.array_equal(openings(other), openings(clips[0]))
    assert other.path.read_bytes() != clips[0].path.read_bytes()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DubbenchError, match="not empty"):
        find("demo", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_missing_photographs_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DubbenchError, match=r"scikit-image.*pip install dubbench\[demo\]"):
        PORTRAITS[0].photo()


def test_a_closed_mouth_at_rest_leaves_the_photograph_above_it_as_it_is() -> None:
    portrait = PORTRAITS[1]
    face = demo.talking_face(portrait)
    photo = portrait.photo()
    nose = int(face.centre[1] - 1.5 * face.unit)
    assert np.array_equal(face.render(0, 0, STILL)[:nose], photo[:nose])
    moved = face.render(1, 0, STILL)
    assert np.array_equal(moved[:nose], photo[:nose])
    assert np.abs(moved[nose:].astype(int) - photo[nose:]).max() > 50


def test_the_mouth_widens_and_rounds(mesh: FaceMesh) -> None:
    for portrait in PORTRAITS:
        face = demo.talking_face(portrait)
        widths = []
        for width in (-1.0, 0.0, 1.0):
            mesh.reset()
            corners = mesh.detect(face.render(0.3, width, STILL))[0][[61, 291], :2]
            widths.append(float(np.linalg.norm(corners[0] - corners[1])))
        assert widths[0] < widths[1] - 3, portrait.speaker
        assert widths[1] < widths[2] - 1, portrait.speaker


def test_the_published_split_lists_every_clip_and_keeps_sentences_and_a_speaker_apart() -> None:
    table = pd.read_csv(splits.PUBLISHED / "demo.csv")
    expected = [(f"{p.speaker}/{s}", p.speaker) for p in PORTRAITS for s in ALL_SENTENCES]
    assert list(zip(table["clip"], table["speaker"], strict=True)) == sorted(expected)
    of_speaker = table.groupby("speaker")["split"].agg(set)
    assert sum(found == {"test"} for found in of_speaker) == 1
    assert sum(found == {"train", "val", "test"} for found in of_speaker) == len(PORTRAITS) - 1
    seen = table[table["speaker"].map(of_speaker) != {"test"}]
    sentences = seen.assign(sentence=seen["clip"].str.split("/").str[1]).groupby("sentence")["split"].nunique()
    assert (sentences == 1).all()
