"""Checkpoints that say what they are, and dubbing."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dubbench import __version__
from dubbench.datamodules.mel import clip_windows
from dubbench.errors import DubbenchError
from dubbench.models.load import load_model
from dubbench.models.radio.module import Radio
from dubbench.models.sync_expert.module import SyncExpert
from tests.models.conftest import loader, small_expert, small_radio, trainer, windows


@pytest.fixture(scope="module")
def radio_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("radio")
    model = small_radio()
    fitting = trainer(folder, max_epochs=2)
    fitting.fit(model, loader(windows(model.window, 2), 1))
    fitting.save_checkpoint(folder / "radio.ckpt")
    return folder / "radio.ckpt"


def test_checkpoint_says_what_it_is_and_rebuilds(radio_checkpoint: Path) -> None:
    stamp = torch.load(radio_checkpoint, weights_only=True)["dubbench"]
    assert stamp["class_path"] == "dubbench.models.radio.module.Radio"
    assert stamp["window"]["mel"] == {"fft": 1280, "hop": 160, "bands": 80, "columns": 20}
    assert stamp["version"] == __version__
    model = load_model(radio_checkpoint)
    assert isinstance(model, Radio)
    assert not model.training
    assert model.window == small_radio().window
    saved = torch.load(radio_checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_checkpoint_of_another_model_is_refused(radio_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(radio_checkpoint, weights_only=True)
    with pytest.raises(DubbenchError, match=r"holds a dubbench.models.radio.module.Radio, but .*SyncExpert"):
        small_expert().load_checkpoint(checkpoint, radio_checkpoint)
    with pytest.raises(DubbenchError, match="trained on other windows"):
        small_radio(size=64).load_checkpoint(checkpoint, radio_checkpoint)
    with pytest.raises(DubbenchError, match=r"does not fit this Radio \(.*config.yaml"):
        small_radio(style_dim=8).load_checkpoint(checkpoint, radio_checkpoint)
    expert = small_expert()
    data = loader(windows(expert.window, 1), 1)
    with pytest.raises(DubbenchError, match="holds a"):
        trainer(tmp_path, max_epochs=1).fit(expert, data, ckpt_path=radio_checkpoint, weights_only=True)


def test_files_that_are_no_checkpoints_are_told(tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match="there is no checkpoint"):
        load_model(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(DubbenchError, match="is not a checkpoint"):
        load_model(tmp_path / "text.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(DubbenchError, match="is not a checkpoint"):
        load_model(tmp_path / "other.ckpt")
    stamp = {"class_path": "os.path.join", "window": {}}
    torch.save({"dubbench": stamp, "hyper_parameters": {}, "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(DubbenchError, match="no model of this version"):
        load_model(tmp_path / "evil.ckpt")


def test_an_expert_does_not_dub(expert_checkpoint: Path) -> None:
    expert = load_model(expert_checkpoint)
    assert isinstance(expert, SyncExpert)
    with pytest.raises(DubbenchError, match="SyncExpert generates no frames"):
        expert.dub(cast(Any, None), np.zeros(0, np.float32), [0])


class Clip:
    """The methods of a prepared clip that dubbing calls."""

    def __init__(self, count: int, size: int) -> None:
        self.images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)

    def frames(self, indices: Sequence[int], size: int) -> NDArray[np.uint8]:
        return self.images[list(indices)]

    def stream(self, size: int) -> Iterator[NDArray[np.uint8]]:
        yield from self.images

    def detected(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        return np.ones(len(indices), bool)


def test_dub_is_the_average_on_every_frame(radio_checkpoint: Path) -> None:
    model = load_model(radio_checkpoint)
    assert isinstance(model, Radio)
    clip = Clip(37, 32)
    speech = np.random.default_rng(1).uniform(-0.5, 0.5, 30 * 640).astype(np.float32)
    frames = list(model.dub(cast(Any, clip), speech, [5, 6]))
    assert len(frames) == 37
    assert all(frame.shape == (32, 32, 3) and frame.dtype == np.uint8 for frame in frames)
    assert model.window.mel is not None
    images = torch.from_numpy(clip.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    mel = clip_windows(speech, model.window.mel, 0, 37)
    references = images[5].expand(1, 37, -1, -1, -1)
    with torch.no_grad():
        expected = model.ema.module(images[None], references, mel[None])[0].permute(0, 2, 3, 1)
    got = torch.from_numpy(np.stack(frames)).float() / 127.5 - 1
    torch.testing.assert_close(got, expected.clamp(-1, 1), atol=0.6 / 127.5, rtol=0)
    half = np.stack(list(model.dub(cast(Any, clip), speech, [5], torch.bfloat16))).astype(float)
    assert np.abs(half - np.stack(frames)).mean() < 2


def test_paste_mask_is_the_generated_half() -> None:
    mask = small_radio().paste_mask()
    assert mask.shape == (32, 32)
    assert mask.dtype == np.float32
    assert not mask[:16].any()
    assert mask[20:28, 4:28].min() == 1
    assert (np.diff(mask[:, 16])[:20] >= 0).all()
    assert 0 < mask[16, 16] < mask[17, 16]
    assert mask[-1].max() < 1
    np.testing.assert_array_equal(mask, mask[:, ::-1])


def test_parameter_count_is_the_generators() -> None:
    model = small_radio(adversarial={"weight": 0.1})
    assert model.parameter_count() == sum(p.numel() for p in model.ema.module.parameters())
