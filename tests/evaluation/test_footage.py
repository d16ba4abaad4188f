"""Ground truth from wherever it lies: its frames, their geometry and its speech."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.prepare.run import prepare
from dubbench.errors import DubbenchError
from dubbench.evaluation.crops import Geometry, mapped
from dubbench.evaluation.footage import CHUNK, Footage, PreparedFootage, RawFootage, SourceFootage
from dubbench.face import ffhq_transform, points_68
from dubbench.face.landmarks import FaceMesh
from dubbench.face.warp import warp
from dubbench.media.audio import aligned_speech, read_speech, write_speech
from dubbench.media.container import Image
from dubbench.media.video import read_frames
from tests import talking
from tests.data import videos
from tests.datamodules import miniature

SIZE = 128
Mesh = NDArray[np.float32]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    talking.write(root / "ann/one.mkv", talking.frames("ann/one"), talking.speech("ann/one"))
    return root


@pytest.fixture(scope="module")
def clip(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedClip:
    out = tmp_path_factory.mktemp("prepared")
    assert prepare("folder", corpus, out, size=SIZE, faces="largest", split="clip").done == 1
    return PreparedClip(out, "ann/one")


class Scripted:
    """Finds in the k-th frame what it is told to, of the face ``mesh`` moved right by k pixels."""

    backend = "scripted"
    max_faces = 2

    def __init__(self, mesh: Mesh, faces: Callable[[int], int]) -> None:
        self.mesh, self.faces, self.seen = mesh, faces, 0

    def detect(self, rgb: Image) -> list[Mesh]:
        k, self.seen = self.seen, self.seen + 1
        larger = self.mesh + np.array([k, 0, 0], np.float32)
        return [larger, larger / 2][: self.faces(k)]

    def reset(self, place: object = None) -> None:
        self.seen = 0


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """A real face in the frame's pixels."""
    with FaceMesh() as detector:
        return detector.detect(next(talking.frames("ann/one")))[0]


def taken(footage: Footage) -> Iterator[tuple[Image, Geometry, int]]:
    """Frames with their chunk's geometry and their place in it."""
    for images, geometry, faces in footage.chunks(256):
        assert 0 < len(images) <= CHUNK
        assert len(images) == len(faces) == len(geometry.detected) == len(geometry.crop) == len(geometry.points)
        for k, image in enumerate(images):
            assert image.shape == (footage.height, footage.width, 3)
            yield image, geometry, k


def test_a_raw_video_is_aligned_by_the_faces_in_it(corpus: Path) -> None:
    path = corpus / "ann/one.mkv"
    with FaceMesh() as detector:
        footage = RawFootage(path, "ann/one", detector)
        assert (footage.width, footage.height) == (talking.WIDTH, talking.HEIGHT)
        rows = list(taken(footage))
        assert footage.frames == len(rows) == 18
        detector.reset()
        for (image, geometry, k), expected in zip(rows, talking.frames("ann/one"), strict=True):
            np.testing.assert_array_equal(image, expected)
            points = points_68(detector.detect(expected)[0]).astype(np.float64)
            np.testing.assert_array_equal(geometry.source_points[k], points)
            np.testing.assert_allclose(geometry.aligned[k], ffhq_transform(points, 256), atol=1e-9)
            np.testing.assert_allclose(mapped(geometry.aligned[k][None], geometry.points[k][None])[0], points)
            assert geometry.detected[k]
    assert footage.speech is not None
    np.testing.assert_allclose(footage.speech, talking.speech("ann/one"), atol=2 / 32768)


def test_frames_without_a_face_borrow_the_nearest_one_before_or_the_first(corpus: Path, mesh: Mesh) -> None:
    counts = {0: 0, 1: 0, 2: 2, 3: 1, 4: 0, 5: 0, 6: 1}
    detector = Scripted(mesh, lambda k: counts.get(k, 1))
    for _ in range(2):  # detected, then out of the cache
        rows = list(taken(RawFootage(corpus / "ann/one.mkv", "x", detector)))
        for (image, _, _), expected in zip(rows, talking.frames("ann/one"), strict=True):
            np.testing.assert_array_equal(image, expected)
        shifts = [geometry.source_points[k, 0, 0] - points_68(mesh)[0, 0] for _, geometry, k in rows]
        np.testing.assert_allclose(shifts, [2, 2, 2, 3, 3, 3, *range(6, 18)], atol=1e-4)
        assert [k for k, row in enumerate(rows) if not row[1].detected[row[2]]] == [0, 1, 4, 5]


def test_a_video_of_nobody_is_refused(corpus: Path, mesh: Mesh) -> None:
    footage = RawFootage(corpus / "ann/one.mkv", "x", Scripted(mesh, lambda k: 0))
    with pytest.raises(DubbenchError, match="no face in any of its 18 frames"):
        list(footage.chunks(256))


def test_what_is_no_video_is_refused(tmp_path: Path, mesh: Mesh) -> None:
    (tmp_path / "words.mp4").write_text("not a video")
    with pytest.raises(DubbenchError, match=r"words\.mp4"):
        RawFootage(tmp_path / "words.mp4", "x", Scripted(mesh, lambda k: 1))


def test_a_silent_video_has_no_speech(tmp_path: Path, mesh: Mesh) -> None:
    path = videos.write(tmp_path / "silent.mp4", videos.portraits(3), rate=None)
    assert RawFootage(path, "silent", Scripted(mesh, lambda k: 1)).speech is None


def test_prepared_squares_are_their_own_aligned_frames(clip: PreparedClip) -> None:
    footage = PreparedFootage(clip)
    rows = list(taken(footage))
    assert footage.frames == len(rows) == 18
    for number, (image, geometry, k) in enumerate(rows):
        np.testing.assert_array_equal(image, clip.frames([number])[0])
        np.testing.assert_array_equal(warp(image, geometry.aligned[k], SIZE), image)
        np.testing.assert_allclose(geometry.points[k], clip.aligned_points([number], 256)[0], atol=1e-4)
        here = mapped(geometry.aligned[k][None], clip.aligned_points([number])[:1].astype(np.float64))[0]
        np.testing.assert_allclose(geometry.source_points[k], here, atol=1e-4)
    np.testing.assert_array_equal(footage.speech, clip.speech())


def test_prepared_squares_keep_what_was_detected(tmp_path: Path) -> None:
    root = miniature.make(tmp_path, [miniature.Clip("a", frames=20, missed=(3, 17))])
    rows = list(taken(PreparedFootage(PreparedClip(root, "a"))))
    assert [k for k, row in enumerate(rows) if not row[1].detected[row[2]]] == [3, 17]
    assert [round(float(row[0].mean())) for row in rows] == pytest.approx([miniature.grey(k) for k in range(20)], abs=1)


def test_source_frames_come_with_the_track(clip: PreparedClip) -> None:
    footage = SourceFootage.find(clip)
    rows = list(taken(footage))
    for number, ((image, geometry, k), expected) in enumerate(zip(rows, talking.frames("ann/one"), strict=True)):
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(geometry.source_points[k], clip.points([number])[0])
        np.testing.assert_array_equal(geometry.aligned[k], clip.transforms([number])[0])


@pytest.mark.parametrize("kind", ["source", "squares", "raw"])
def test_faces_in_the_frames_are_found_once(kind: str, clip: PreparedClip, corpus: Path, mesh: Mesh) -> None:
    """One of two faces in the third frame, none in the fourth; known when the clip is taken again."""
    detector = Scripted(mesh, lambda k: {2: 2, 3: 0}.get(k, 1))
    raw = RawFootage(corpus / "ann/one.mkv", "x", detector)
    kinds: dict[str, Footage] = {"source": SourceFootage.find(clip), "squares": PreparedFootage(clip), "raw": raw}
    footage = kinds[kind]
    for seen in (18, 0):
        detector.seen = 0
        chunks = [(images, faces) for images, _, faces in footage.chunks(256, detector)]
        assert detector.seen == seen
        for (image, _, _), found in zip(
            taken(footage), (image for images, _ in chunks for image in images), strict=True
        ):
            np.testing.assert_array_equal(found, image)
        rows = [face for _, faces in chunks for face in faces]
        assert [len(row or []) for row in rows] == [1, 1, 2, 0, *[1] * 14]
        shifted = mesh + np.array([4, 0, 0], np.float32)
        assert rows[4] is not None
        np.testing.assert_array_equal(rows[4][0].points, points_68(shifted))
        np.testing.assert_array_equal(rows[4][0].box, [*shifted[:, :2].min(0), *shifted[:, :2].max(0)])


def test_nobody_looks_for_faces_that_nobody_asks_for(clip: PreparedClip) -> None:
    for footage in (SourceFootage.find(clip), PreparedFootage(clip)):
        assert [face for _, _, faces in footage.chunks(256) for face in faces] == [None] * 18


def test_another_source_is_refused(clip: PreparedClip, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "moved")
    assert SourceFootage.find(clip, tmp_path / "moved").source.is_relative_to(tmp_path)
    moved = tmp_path / "moved" / "ann/one.mkv"
    for count in (17, 19):
        images = list(talking.frames("ann/one"))
        talking.write(moved, [*images, images[-1]][:count])
        with pytest.raises(DubbenchError, match="another sha256"):
            SourceFootage.find(clip, tmp_path / "moved")
        with pytest.raises(DubbenchError, match="does not have the 18 frames"):
            list(SourceFootage(clip, moved).chunks(256))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_speech_lies_where_preparation_puts_it(suffix: str, tmp_path: Path) -> None:
    """The first picture comes at 0.32 s, so as much sound is left out in front."""
    images = videos.portraits(10)
    times = [0.32 + k / 25 for k in range(10)]
    path = videos.write(tmp_path / f"late.{suffix}", images, times=times)
    frames = sum(1 for _ in read_frames(path))
    write_speech(path, tmp_path / "out.wav", frames)
    expected, speech = read_speech(tmp_path / "out.wav"), aligned_speech(path)
    assert np.abs(expected).max() > 0.05
    count = min(len(expected), len(speech))
    assert count > 9 * 640
    np.testing.assert_array_equal(speech[:count], expected[:count])


def test_vast_frames_come_a_few_at_a_time(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit into the bytes of a chunk, one at least, and the same ones."""
    path, image = corpus / "ann/one.mkv", 3 * talking.HEIGHT * talking.WIDTH

    def chunked(most: float) -> tuple[list[int], list[Image]]:
        monkeypatch.setattr("dubbench.evaluation.footage.CHUNK_BYTES", int(most * image))
        with FaceMesh() as mesh:
            chunks = [images for images, _, _ in RawFootage(path, "one", mesh).chunks(SIZE)]
        return [len(images) for images in chunks], [image for images in chunks for image in images]

    lengths, frames = chunked(5)
    assert lengths == [5, 5, 5, 3]
    lengths, same = chunked(0.5)
    assert lengths == [1] * 18
    np.testing.assert_array_equal(frames, same)
