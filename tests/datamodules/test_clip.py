import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from dubbench.datamodules.clip import PreparedClip, read_dataset, read_manifest
from dubbench.datamodules.track import Track, TrackWriter
from dubbench.errors import DubbenchError
from dubbench.face import ffhq_quad
from dubbench.media.video import VideoWriter, read_frames
from tests import talking
from tests.datamodules.conftest import FRAMES, SIZE


@pytest.fixture
def clip(prepared: Path) -> PreparedClip:
    return PreparedClip(prepared, "anna/two words")


def test_info_says_what_was_made_from_what(clip: PreparedClip, corpus: Path) -> None:
    info = clip.info
    assert (info.clip, info.speaker, info.dataset, info.source) == (
        "anna/two words",
        "anna",
        "folder",
        "anna/two words.mkv",
    )
    assert (info.frames, info.size, info.source_width, info.source_height) == (FRAMES, SIZE, 128, 128)
    assert (info.detected, info.faces, info.smooth) == (1.0, "one", 1.5)
    assert set(info.versions) == {"dubbench", "mesh", "av"}
    assert clip.source_path() == corpus / "anna/two words.mkv"


def test_frames_come_in_the_order_asked_for(clip: PreparedClip) -> None:
    whole = np.stack(list(clip.stream()))
    assert whole.shape == (FRAMES, SIZE, SIZE, 3)
    indices = [7, 0, 29, 7]
    np.testing.assert_array_equal(clip.frames(indices), whole[indices])
    assert clip.frames([]).shape == (0, SIZE, SIZE, 3)
    assert clip.frames([], 20).shape == (0, 20, 20, 3)


def test_smaller_frames_average_the_stored_ones(clip: PreparedClip) -> None:
    stored = clip.frames([3, 20]).astype(float)
    halved = stored.reshape(2, SIZE // 2, 2, SIZE // 2, 2, 3).mean((2, 4))
    got = clip.frames([3, 20], SIZE // 2)
    assert np.abs(got - halved).mean() < 0.6
    np.testing.assert_array_equal(np.stack(list(clip.stream(SIZE // 2)))[[3, 20]], got)


def test_frames_are_the_source_under_their_transforms(clip: PreparedClip) -> None:
    for k, rgb in enumerate(read_frames(clip.source_path())):
        transform = clip.transforms([k])[0]
        u, v = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5)
        x, y = np.einsum("ij,jhw->ihw", transform, np.stack([u, v, np.ones_like(u)])).astype(np.float32)
        expected = cv2.remap(rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        assert np.abs(clip.frames([k])[0].astype(float) - expected).mean() < 6


def test_aligned_points_invert_the_transform(clip: PreparedClip) -> None:
    aligned = clip.aligned_points([0, 9, 4], size=256).astype(np.float64)
    transforms = clip.transforms([0, 9, 4])
    back = aligned * (SIZE / 256) @ transforms[:, :, :2].swapaxes(1, 2) + transforms[:, None, :, 2]
    np.testing.assert_allclose(back, clip.points([0, 9, 4]), atol=1e-3)


def test_aligned_faces_stand_where_ffhq_puts_them(clip: PreparedClip) -> None:
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]]) * 1.0
    for points in clip.aligned_points(size=1):
        assert np.abs(ffhq_quad(points) - corners).max() < 0.03  # the rest is the smoothing


def test_rows_equal_the_stored_arrays(clip: PreparedClip) -> None:
    with np.load(clip.folder / "track.npz") as stored:
        assert set(stored) == {"mesh", "points", "transform", "detected"}
        for name, read in (("mesh", clip.mesh), ("points", clip.points), ("transform", clip.transforms)):
            np.testing.assert_array_equal(read(), stored[name])
            np.testing.assert_array_equal(read([5, 1, 5]), stored[name][[5, 1, 5]])
            assert read().dtype == stored[name].dtype
        assert stored["mesh"].shape == (FRAMES, 478, 3)
        assert stored["transform"].dtype == np.float64
        assert clip.detected([0, 29]).tolist() == [True, True]
    with pytest.raises(IndexError, match="30 frames"):
        clip.points([30])
    with pytest.raises(IndexError):
        clip.points([-1])


def test_speech_is_cut_by_frames(clip: PreparedClip) -> None:
    whole, rate = soundfile.read(clip.folder / "audio.wav", dtype="float32")
    assert (rate, len(whole)) == (16_000, FRAMES * 640)
    np.testing.assert_array_equal(clip.speech(), whole)
    np.testing.assert_array_equal(clip.speech(4, 3), whole[4 * 640 : 7 * 640])
    assert np.abs(np.fft.rfft(whole)).argmax() * rate / len(whole) == pytest.approx(200, abs=2)


def test_odd_sizes_are_given_without_the_encoders_padding(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "dora", tmp_path / "dora")
    talking.unrecorded(tmp_path / "dora")
    text = (tmp_path / "dora" / "clip.json").read_text()
    (tmp_path / "dora" / "clip.json").write_text(text.replace(f'"size": {SIZE}', '"size": 63'))
    frame = np.full((63, 63, 3), 90, np.uint8)
    frame[:, 31:] = 200
    with VideoWriter(tmp_path / "dora" / "video.mp4", 63, 63, intra=True) as video:
        for _ in range(FRAMES):
            video.write(frame)
    odd = PreparedClip(tmp_path, "dora")
    for got in (odd.frames([0])[0], next(odd.stream())):
        assert got.shape == (63, 63, 3)
        assert np.abs(got.astype(int) - frame).mean() < 3
    assert odd.frames([], 21).shape == (0, 21, 21, 3)
    small = odd.frames([0], 21)[0].astype(int)
    assert np.abs(small - cv2.resize(frame, (21, 21), interpolation=cv2.INTER_AREA)).mean() < 3


def test_absent_things_are_told_with_their_remedy(tmp_path: Path, prepared: Path, clip: PreparedClip) -> None:
    with pytest.raises(DubbenchError, match="not a prepared folder: run dubbench prepare"):
        read_manifest(tmp_path)
    with pytest.raises(DubbenchError, match="not a prepared folder: run dubbench prepare"):
        read_dataset(tmp_path)
    with pytest.raises(DubbenchError, match="run dubbench prepare"):
        PreparedClip(prepared, "anna/three")
    with pytest.raises(DubbenchError, match="outside"):
        PreparedClip(prepared, "../elsewhere")
    with pytest.raises(DubbenchError, match="--source_root"):
        clip.source_path(tmp_path)


def test_a_moved_corpus_is_found_by_its_new_root(tmp_path: Path, clip: PreparedClip) -> None:
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "two words.mkv").touch()
    assert clip.source_path(tmp_path) == tmp_path / "anna/two words.mkv"


def test_track_writer_leaves_the_same_bytes_and_no_raw_files(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {
            "mesh": random.normal(size=(478, 3)),
            "points": random.normal(size=(68, 2)),
            "transform": random.normal(size=(2, 3)),
            "detected": k % 2 == 0,
        }
        for k in range(5)
    ]
    for name in ("a.npz", "b.npz"):
        with TrackWriter(tmp_path / name) as track:
            for row in rows:
                track.append(**row)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]
    track_read = Track(tmp_path / "a.npz")
    assert len(track_read) == 5
    np.testing.assert_array_equal(track_read.rows("transform"), np.stack([row["transform"] for row in rows]))
    np.testing.assert_array_equal(track_read.rows("detected"), [True, False, True, False, True])


def test_a_damaged_track_says_so(tmp_path: Path) -> None:
    (tmp_path / "track.npz").write_bytes(b"PK no zip")
    with pytest.raises(DubbenchError, match="not a track"):
        Track(tmp_path / "track.npz")
