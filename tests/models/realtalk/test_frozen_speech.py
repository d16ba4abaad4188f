"""A HuBERT that nobody trains is in no checkpoint; its file is read instead."""

from pathlib import Path
from typing import Any

import pytest
import torch

from dubbench.assets import store
from dubbench.errors import DubbenchError
from dubbench.models.layers import hubert
from dubbench.models.load import load_model
from dubbench.models.realtalk.module import RealTalk
from dubbench.models.realtalk.networks import stages_of
from tests.models.layers.test_hubert import published, tiny
from tests.models.realtalk.small import CLIPS, small
from tests.models.talkers import dubbed, fitted, make


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published file of a small network, which ``base`` is in this test."""
    monkeypatch.setitem(hubert.SIZES, "base", hubert.TINY)
    path = tmp_path / "hubert.bin"
    torch.save(published(tiny(seed=5)), path)
    monkeypatch.setattr(store, "find", lambda name: path)
    return path


def test_checkpoints_go_without_it_and_need_its_file(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, path = make(tmp_path / "root", CLIPS), tmp_path / "last.ckpt"
    model = small(speech="base")
    assert model.needed_files() == [hubert.WEIGHTS]
    fitted(root, tmp_path, model).save_checkpoint(path)
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    assert not [name for name in checkpoint["state_dict"] if ".hubert." in name]
    assert [name for name in checkpoint["state_dict"] if ".speech.project." in name]
    again = load_model(path)
    assert isinstance(again, RealTalk)
    for network in (again.generator, again.ema.module):
        speech = stages_of(network).expression.speech
        for name, value in stages_of(model.generator).expression.speech.hubert.state_dict().items():
            assert torch.equal(speech.hubert.state_dict()[name], value), name
    assert (dubbed(again, root, "anna/val") == dubbed(model, root, "anna/val")).all()
    # A checkpoint of before has it, and needs no file.
    own = {
        f"{stages}.expression.speech.hubert.{name}": value + 1
        for name, value in stages_of(model.generator).expression.speech.hubert.state_dict().items()
        for stages in ("generator", "ema.module")
    }
    torch.save({**checkpoint, "state_dict": {**checkpoint["state_dict"], **own}}, path)
    monkeypatch.undo()
    monkeypatch.setitem(hubert.SIZES, "base", hubert.TINY)
    monkeypatch.setenv("DUBBENCH_ASSETS", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = load_model(path)
    assert isinstance(before, RealTalk)
    name, value = next(iter(own.items()))
    assert torch.equal(before.get_parameter(name), value)
    torch.save(checkpoint, path)
    with pytest.raises(DubbenchError, match=r"hubert-base-ls960\.bin .* is not here"):
        load_model(path)
