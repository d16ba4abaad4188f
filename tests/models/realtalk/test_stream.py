"""RealTalk's stream: fed in any pieces, with bounded delay and memory, it gives the frames of `dub`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dubbench.datamodules.batch import SAMPLES_PER_FRAME
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.geometry import read_geometry
from dubbench.errors import DubbenchError
from dubbench.models.realtalk.module import RealTalk
from dubbench.models.realtalk.networks import stages_of
from dubbench.models.realtalk.streaming import Speaker, Target
from tests.datamodules.miniature import SIZE
from tests.models.realtalk.small import CLIPS, loaded, small
from tests.models.talkers import FACE, dubbed, fitted, make


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("realtalk"), CLIPS)


@pytest.fixture(scope="module")
def checkpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model after a few batches of both stages."""
    folder = tmp_path_factory.mktemp("trained")
    fitted(root, folder, small(), 4).save_checkpoint(folder / "both.ckpt")
    return folder / "both.ckpt"


def pieces(rng: np.random.Generator, total: int) -> list[int]:
    """Random lengths, some of them 0, that sum to ``total``."""
    cuts = np.sort(rng.integers(0, total + 1, 12))
    return [int(length) for length in np.diff([0, *cuts, total])]


def parts(root: Path, model: RealTalk, clip: str) -> tuple[Speaker, list[Target], NDArray[np.float32]]:
    prepared = PreparedClip(root, clip)
    rows = read_geometry(prepared, FACE.hash())
    shape, expression, pose = (torch.from_numpy(rows.rows(name)) for name in ("shape", "expression", "pose"))
    frames = list(prepared.stream(32))
    speaker = Speaker(frames[0], shape[0], expression[[0] * 4])
    return speaker, [Target(*row) for row in zip(frames, pose, strict=True)], prepared.speech()


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_gives_the_offline_frames_however_it_is_fed(root: Path, checkpoint: Path, seed: int) -> None:
    model, random = loaded(checkpoint), np.random.default_rng(seed)
    speaker, targets, speech = parts(root, model, "anna/one")
    offline = dubbed(model, root, references=[0])
    stream, made = model.stream(speaker), []
    shown, heard = pieces(random, len(targets)), pieces(random, len(speech))
    frame = sample = 0
    for count, samples in zip(shown, heard, strict=True):
        made += stream.push(speech[sample : sample + samples], targets[frame : frame + count])
        frame, sample = frame + count, sample + samples
    made += stream.finish()
    assert np.array_equal(np.stack(made), offline)


@pytest.mark.parametrize("frames", [1, 3, 7, 8, 9, 11, 12, 13, 16, 17, 30])
def test_offline_frames_are_those_of_the_windows(root: Path, checkpoint: Path, frames: int) -> None:
    """Expressions against windows of the whole speech, each drawn by itself."""
    model = loaded(checkpoint)
    speaker, targets, speech = parts(root, model, "anna/one")
    stages, window, spoken = stages_of(model.ema.module).eval(), 8, []
    stages.expression.head.register_forward_hook(lambda module, given, out: spoken.append(out[0]))
    stream = model.stream(speaker)
    made = stream.push(speech[: frames * SAMPLES_PER_FRAME], targets[:frames]) + stream.finish()
    assert len(made) == frames
    last = max(frames - window, 0)
    starts = [*range(0, last, 4), last]
    assert len(spoken) == len(starts)
    heard = np.pad(speech[: frames * SAMPLES_PER_FRAME], (0, max(window - frames, 0) * SAMPLES_PER_FRAME))
    for start, found in zip(starts, list(spoken), strict=True):
        wave = torch.from_numpy(heard[start * SAMPLES_PER_FRAME : (start + window) * SAMPLES_PER_FRAME])
        with torch.inference_mode():
            expected = stages.expression(wave[None], speaker.shape[None], speaker.history[None])[0]
        torch.testing.assert_close(found, expected)


def test_frames_leave_with_bounded_delay_and_little_is_held(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    speaker, targets, speech = parts(root, model, "anna/one")
    stream, out, held = model.stream(speaker), 0, 0
    for number in range(300):
        target = targets[number % 30]
        heard = speech[: 30 * SAMPLES_PER_FRAME].reshape(30, -1)[number % 30]
        out += len(stream.push(heard, [target]))
        assert number + 1 - out <= 8 + 4
        held = max(held, len(stream._speech), len(stream._targets) * SAMPLES_PER_FRAME)
    assert held <= 16 * SAMPLES_PER_FRAME
    assert out + len(stream.finish()) == 300


def test_short_long_and_silent_speech(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    speech = PreparedClip(root, "anna/one").speech()
    longer = np.concatenate([speech, np.ones(50 * SAMPLES_PER_FRAME, np.float32)])
    assert np.array_equal(dubbed(model, root, speech=longer), dubbed(model, root, speech=speech))
    half = speech[: 12 * SAMPLES_PER_FRAME]
    padded = np.concatenate([half, np.zeros(len(speech) - len(half), np.float32)])
    assert np.array_equal(dubbed(model, root, speech=half), dubbed(model, root, speech=padded))
    assert np.isfinite(dubbed(model, root, speech=np.zeros_like(speech))).all()
    assert dubbed(model, root, speech=speech[:100]).shape == (30, 32, 32, 3)


class Counting(PreparedClip):
    """A clip that counts the frames that were streamed."""

    streamed = 0

    def stream(self, size: int | None = None) -> Iterator[NDArray[np.uint8]]:
        for frame in super().stream(size):
            self.streamed += 1
            yield frame


@pytest.mark.parametrize("samples", [0, 100, 9 * SAMPLES_PER_FRAME + 1])
def test_frames_do_not_wait_for_speech_that_never_comes(root: Path, checkpoint: Path, samples: int) -> None:
    model, clip = loaded(checkpoint), Counting(root, "anna/one")
    for out, _ in enumerate(model.dub(clip, clip.speech()[:samples], [0])):
        assert clip.streamed - out <= 8 + 4


@pytest.mark.parametrize("frames", [8, 10])
def test_the_renderers_batches_do_not_tell_how_the_stream_was_fed(root: Path, frames: int) -> None:
    model = small(frames=frames)
    model.held_face.adopt(FACE)
    stages_of(model.ema.module).trained_stages.fill_(True)
    speaker, targets, speech = parts(root, model, "anna/one")
    drawn = []
    for step in (30, 7, 1):
        stream, batches = model.stream(speaker), list[int]()
        draw = stream._draw_frames
        stream._draw_frames = lambda *given, draw=draw, batches=batches: batches.append(len(given[0])) or draw(*given)
        for first in range(0, 30, step):
            heard = speech[first * SAMPLES_PER_FRAME : (first + step) * SAMPLES_PER_FRAME]
            stream.push(heard, targets[first : first + step])
        stream.finish()
        drawn.append(batches)
    assert drawn[0] == drawn[1] == drawn[2]
    assert sum(drawn[0]) == 30


def test_frames_of_another_size_are_told(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    speaker, targets, speech = parts(root, model, "bert/two")
    wrong = targets[0]._replace(picture=np.zeros((SIZE, SIZE, 3), np.uint8))
    stream = model.stream(speaker)
    with pytest.raises(DubbenchError, match=r"a frame of shape \[64, 64, 3\] came; give \[32, 32, 3\]"):
        stream.push(speech, [wrong] * 20)
