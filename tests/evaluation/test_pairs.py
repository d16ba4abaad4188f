"""What ``dubbench score`` compares with what."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import ScoringJob
from dubbench.evaluation.footage import PreparedFootage, RawFootage, SourceFootage
from dubbench.evaluation.pairs import PairedSides, Prediction, match
from dubbench.media.container import Image
from dubbench.protocols.protocol import load
from tests import talking
from tests.data import videos
from tests.datamodules import miniature


class Nobody:
    """A detector that is never asked."""

    backend = "none"
    max_faces = 1

    def detect(self, rgb: Image) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        raise AssertionError

    def reset(self, place: object = None) -> None:
        raise AssertionError


def folder(root: Path, names: Iterable[str]) -> Path:
    """A folder of files that are videos by name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def named(pairing: PairedSides) -> list[tuple[str, str, str]]:
    return [(pair.name, pair.pred[1], pair.target[1]) for pair in pairing.pairs]


def test_two_files_are_a_pair_whatever_they_are_called(tmp_path: Path) -> None:
    folder(tmp_path, ["mine.mp4", "other.mp4", "truth/s1.mpg"])
    pairing = match(tmp_path / "mine.mp4", tmp_path / "truth/s1.mpg")
    assert named(pairing) == [("s1", "mine.mp4", "s1.mpg")]
    assert not pairing.pred_only
    assert not pairing.target_only


def test_folders_are_paired_by_path_without_suffix(tmp_path: Path) -> None:
    pred = folder(tmp_path / "pred", ["s1/a.mp4", "s2__a.mp4", "s3/extra.mp4", "notes.txt", ".hidden/b.mp4"])
    target = folder(tmp_path / "target", ["s2/a.mpg", "s1/a.mpg", "s4/lone.mpg", "b.mpg"])
    pairing = match(pred, target)
    assert named(pairing) == [("s1/a", "s1/a.mp4", "s1/a.mpg"), ("s2/a", "s2__a.mp4", "s2/a.mpg")]
    assert list(pairing.pred_only) == ["s3/extra.mp4"]
    assert list(pairing.target_only) == ["b.mpg", "s4/lone.mpg"]


def test_videos_that_differ_in_their_suffix_alone_keep_it(tmp_path: Path) -> None:
    pred = folder(tmp_path / "pred", ["a.mp4", "a.avi", "b.mp4", "b.avi", "c.mkv"])
    target = folder(tmp_path / "target", ["a.mp4", "a.avi", "b.mpg", "c.mp4"])
    pairing = match(pred, target)
    assert named(pairing) == [("a.avi", "a.avi", "a.avi"), ("a.mp4", "a.mp4", "a.mp4"), ("c", "c.mkv", "c.mp4")]
    assert pairing.refused == {"b": "several videos match this clip: b.avi and b.mp4; leave one"}
    assert not pairing.pred_only
    assert not pairing.target_only


def test_prepared_folders_are_paired_by_clip(tmp_path: Path) -> None:
    pred = miniature.make(tmp_path / "pred", [miniature.Clip("s1/a"), miniature.Clip("s1/b")])
    target = miniature.make(tmp_path / "target", [miniature.Clip("s1/b"), miniature.Clip("s2/c")])
    pairing = match(pred, target)
    assert named(pairing) == [("s1/b", "s1/b", "s1/b")]
    assert (list(pairing.pred_only), list(pairing.target_only)) == (["s1/a"], ["s2/c"])
    (pair,) = pairing.pairs
    footage = pair.footage(Nobody())
    assert isinstance(footage, PreparedFootage)
    job = ScoringJob(footage, None, load("first_frame"))
    prediction = Prediction(pair)
    take = prediction.start(job)
    truth = next(iter(footage.chunks(256)))[0][0]
    frame = take.frame(truth, np.eye(3)[:2])
    assert frame is not None
    np.testing.assert_array_equal(frame, truth)
    heard = prediction.sound(job)
    assert heard is not None
    np.testing.assert_array_equal(heard, miniature.speech(miniature.Clip("s1/b")))


def test_videos_against_a_prepared_folder_are_compared_in_source_frames(tmp_path: Path) -> None:
    pred = folder(tmp_path / "pred", ["s1__b.mp4"])
    target = miniature.make(tmp_path / "target", [miniature.Clip("s1/b")])
    (pair,) = match(pred, target).pairs
    source = folder(tmp_path / "corpus", ["s1/b.mp4"]) / "s1/b.mp4"
    with pytest.raises(DubbenchError, match="another sha256"):
        pair.footage(Nobody(), tmp_path / "corpus")
    info = target / "s1/b/clip.json"
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    info.write_text(info.read_text().replace("0" * 64, empty))
    footage = pair.footage(Nobody(), tmp_path / "corpus")
    assert isinstance(footage, SourceFootage)
    assert footage.source == source


def test_speech_is_the_given_the_own_or_the_ground_truths(tmp_path: Path) -> None:
    own, truth = talking.speech("ann/two"), talking.speech("ann/one")[: 10 * 640]
    images = list(talking.frames("ann/two"))
    talking.write(tmp_path / "pred.mkv", images, own)
    talking.write(tmp_path / "truth.mkv", images, truth)
    (pair,) = match(tmp_path / "pred.mkv", tmp_path / "truth.mkv").pairs
    footage = pair.footage(Nobody())
    assert isinstance(footage, RawFootage)
    job = ScoringJob(footage, None, load("first_frame"))
    heard = Prediction(pair).sound(job)
    assert heard is not None
    np.testing.assert_allclose(heard, own, atol=2 / 32768)
    assert footage.speech is not None
    np.testing.assert_allclose(footage.speech, truth, atol=2 / 32768)
    given = np.ones(5, np.float32)
    assert Prediction(pair, given).sound(job) is given


def test_a_silent_prediction_is_held_against_the_ground_truths_speech(tmp_path: Path) -> None:
    silent = videos.write(tmp_path / "silent.mp4", videos.portraits(10), rate=None)
    talking.write(tmp_path / "truth.mkv", videos.portraits(10), talking.speech("ann/two"))
    (pair,) = match(silent, tmp_path / "truth.mkv").pairs
    footage = pair.footage(Nobody())
    heard = Prediction(pair).sound(ScoringJob(footage, None, load("first_frame")))
    assert heard is not None
    assert footage.speech is not None
    np.testing.assert_array_equal(heard, footage.speech)


@pytest.mark.parametrize(
    ("pred", "target", "sentence"),
    [
        ("nowhere", "full", "nowhere is neither a video nor a folder"),
        ("full", "nowhere", "nowhere is neither a video nor a folder"),
        ("full/a.mp4", "full", "give two videos or two folders"),
        ("full", "full/a.mp4", "give two videos or two folders"),
        ("empty", "full", "empty holds no video"),
        ("other", "full", "names must agree but for the suffix"),
        ("prepared", "full", "give the prepared folder of"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(pred: str, target: str, sentence: str, tmp_path: Path) -> None:
    folder(tmp_path / "full", ["a.mp4"])
    folder(tmp_path / "other", ["b.mp4"])
    (tmp_path / "empty").mkdir()
    miniature.make(tmp_path / "prepared", [miniature.Clip("a", frames=1)])
    with pytest.raises(DubbenchError, match=sentence):
        match(tmp_path / pred, tmp_path / target)
