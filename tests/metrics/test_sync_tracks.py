"""Sync scores of face tracks: each track's crops against its own sound."""

import gc

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.face.tracks import LANDMARK, TrackRules
from dubbench.metrics import SyncNet, SyncStream, SyncTracks, sync_scores
from tests.metrics.recipe import fill_syncnet

Image = NDArray[np.uint8]
Box = NDArray[np.float64]
SHORT = TrackRules(min_track=10)
LEFT, RIGHT = np.array([90.0, 70, 200, 180]), np.array([500.0, 70, 610, 180])


class Loudness:
    """Embeds a window by how bright its five frames are and how loud their sound is, both in 0..1."""

    def __init__(self) -> None:
        self.most = 0

    def visual(self, frames: Tensor) -> Tensor:
        self.most = max(self.most, len(frames))
        return (frames[:, :, 40:150, 80:140].float().mean((1, 2, 3)) / 255).unfold(0, 5, 1)

    def audio(self, windows: Tensor) -> Tensor:
        return windows[:, 0, 0].unfold(1, 4, 4).mean(2) / 25


def loudness(frames: int) -> NDArray[np.float64]:
    return np.random.default_rng(5).uniform(0, 1, frames)


def sound(levels: NDArray[np.float64]) -> NDArray[np.int16]:
    """Noise whose logarithmic energy, which the embedding reads, follows the levels frame by frame."""
    noise = np.random.default_rng(6).normal(0, 1, (len(levels), 640))
    return np.asarray((noise * np.exp(levels * 25 / 2)[:, None] * 0.1).clip(-32768, 32767), np.int16).ravel()


def halves(left: float, right: float) -> Image:
    image = np.zeros((250, 700, 3), np.uint8)
    image[:, :350], image[:, 350:] = round(255 * left), round(255 * right)
    return image


def test_scores_are_those_of_crops_made_by_hand() -> None:
    network = SyncNet()
    fill_syncnet(network, "w1")
    random = np.random.default_rng(0)
    images = []
    for _ in range(21):
        noise = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        images.append(np.asarray(cv2.resize(noise, (320, 240), interpolation=cv2.INTER_LINEAR), np.uint8))
    audio = sound(loudness(24))
    box = np.array([20.0, 30, 130, 140])  # half side 55: the crop begins 2 px left of the picture
    crops = []
    for image in images[5:19]:
        padded = np.pad(image, ((99, 99), (99, 99), (0, 0)), constant_values=110)
        crops.append(cv2.resize(padded[99 + 30 : 99 + 184, 99 - 2 : 99 + 152, ::-1], (224, 224)))

    tracks = SyncTracks(network, audio, SHORT)
    for t, image in enumerate(images):
        tracks.add(image, [box] if 5 <= t < 19 else [])
    (found,) = tracks.finish()

    wanted = sync_scores(network, np.stack(crops), audio[5 * 640 : 19 * 640])
    assert (found.start, found.frames, found.scores.n_windows) == (5, 14, 9)
    np.testing.assert_allclose(found.scores.distances, wanted.distances, rtol=1e-6)
    assert found.scores.av_offset == wanted.av_offset
    # Sound of one frame later would show.
    late = sync_scores(network, np.stack(crops), audio[6 * 640 : 20 * 640])
    assert np.abs(late.distances - wanted.distances).max() > 1e-4 * wanted.lse_d


def test_two_faces_have_their_own_offsets() -> None:
    levels, network = loudness(110), Loudness()
    tracks = SyncTracks(network, sound(levels), LANDMARK)
    for t in range(110):
        image = halves(levels[t], levels[max(t - 3, 0)])  # the right face shows a thing three frames after its sound
        tracks.add(image, [*([LEFT] if 17 <= t < 90 else []), *([RIGHT] if t < 100 else [])])
    found = tracks.finish()
    assert [(score.start, score.frames, score.scores.n_windows) for score in found] == [(0, 100, 95), (17, 73, 68)]
    assert [score.scores.av_offset for score in found] == [3, 0]
    assert all(score.scores.lse_c > 0.5 * score.scores.lse_d for score in found)
    assert network.most <= 30


def test_a_clip_without_a_usable_track_has_no_score() -> None:
    levels = loudness(60)
    tracks = SyncTracks(Loudness(), sound(levels), LANDMARK)
    small = np.array([500.0, 70, 580, 150])
    for t in range(60):
        tracks.add(halves(levels[t], levels[t]), [LEFT, small] if t < 50 else [small])
    assert tracks.finish() == []
    assert [(track.kept, track.length) for track in tracks.tracks] == [(False, 50), (False, 60)]
    assert "50 detections" in tracks.tracks[0].reason
    assert "80 px" in tracks.tracks[1].reason


def test_an_ended_track_leaves_nothing_open() -> None:
    levels = loudness(100)
    tracks = SyncTracks(Loudness(), sound(levels), SHORT)
    for t in range(100):
        tracks.add(halves(levels[t], 0), [LEFT], cut=t in (20, 40, 60, 80))
        if t % 20 == 19:
            assert sum(type(thing) is SyncStream for thing in gc.get_objects()) == 1
    found = tracks.finish()
    assert [score.start for score in found] == [0, 20, 40, 60, 80]
    assert [score.frames for score in found] == [20] * 5
    assert [score.scores.av_offset for score in found] == [0] * 5


def test_tracks_beyond_the_sound_are_left_out_unless_there_is_no_other() -> None:
    levels = loudness(60)

    def play(audio: NDArray[np.int16], start: int) -> SyncTracks:
        tracks = SyncTracks(Loudness(), audio, SHORT)
        for t in range(60):
            tracks.add(halves(levels[t], 0), [LEFT] if t >= start else [], cut=t == 30)
        return tracks

    whole = sound(levels)
    assert [score.scores.n_windows for score in play(whole, 0).finish()] == [25, 25]
    assert [score.scores.n_windows for score in play(whole[: 40 * 640], 0).finish()] == [25, 5]
    for frames in (35, 30, 29):
        assert [score.start for score in play(whole[: frames * 640], 0).finish()] == [0]
    with pytest.raises(DubbenchError, match=r"ends after 1\.00 s"):
        play(whole[: 25 * 640], 30).finish()


def test_refuses_sound_that_is_not_int16() -> None:
    with pytest.raises(DubbenchError, match="int16"):
        SyncTracks(Loudness(), sound(loudness(20)).astype(np.float32), LANDMARK)
