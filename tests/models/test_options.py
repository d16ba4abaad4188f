"""Groups of options: what differs from a method's own, plain in checkpoints, and a model's own copy."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dubbench.errors import DubbenchError
from dubbench.models.load import load_model
from dubbench.models.options import Adversarial, Optim
from dubbench.models.radio.module import OPTIM, Radio
from tests.models.conftest import loader, small_radio, trainer, windows
from tests.models.speaking_faces import small as small_g4g


def plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def test_what_a_group_leaves_out_is_the_methods_own() -> None:
    with torch.device("meta"):
        model = Radio(optim={"lr": 2e-4})  # type: ignore[arg-type]  # plain values, as a checkpoint has them
    assert model.optim == replace(OPTIM, lr=2e-4)
    assert model.optim.betas == (0.5, 0.99)
    (generator, _) = model.configure_optimizers()
    assert (generator.defaults["lr"], generator.defaults["betas"]) == (2e-4, (0.5, 0.99))


def test_each_model_has_its_own_options() -> None:
    given = Optim(lr=1.0)
    one, other = small_radio(), Radio(size=96, optim=given, perceptual="none")
    one.optim.lr = other.optim.lr = 5.0
    assert small_radio().optim.lr == 2e-3
    assert given.lr == 1.0
    assert OPTIM.lr == 1e-4


def test_a_checkpoint_holds_plain_values_and_brings_them_back(tmp_path: Path) -> None:
    model = small_radio(adversarial={"weight": 0.1}, optim={"clip": 0.5})
    fitting = trainer(tmp_path, max_epochs=1)
    fitting.fit(model, loader(windows(model.window, 1), 1))
    fitting.save_checkpoint(tmp_path / "radio.ckpt")
    stored = torch.load(tmp_path / "radio.ckpt", weights_only=True)["hyper_parameters"]
    assert plain(dict(stored))
    again = load_model(tmp_path / "radio.ckpt")
    assert isinstance(again, Radio)
    assert again.optim == model.optim == Optim(lr=2e-3, betas=(0.5, 0.99), ema_decay=0.9, clip=0.5)
    assert again.adversarial == model.adversarial == Adversarial(weight=0.1, widths=[4, 8, 8])


def test_options_of_an_earlier_version_are_told(tmp_path: Path) -> None:
    model = small_radio()
    fitting = trainer(tmp_path, max_epochs=1)
    fitting.fit(model, loader(windows(model.window, 1), 1))
    fitting.save_checkpoint(tmp_path / "radio.ckpt")
    checkpoint: dict[str, Any] = torch.load(tmp_path / "radio.ckpt", weights_only=True)
    for group in ("optim", "adversarial"):
        del checkpoint["hyper_parameters"][group]
    checkpoint["hyper_parameters"] |= {"lr": 1e-4, "adversarial_weight": 0.0}
    torch.save(checkpoint, tmp_path / "old.ckpt")
    with pytest.raises(DubbenchError, match=r"does not have any more \(lr, adversarial_weight\); train again"):
        load_model(tmp_path / "old.ckpt")


def test_g4g_has_no_penalty_to_give() -> None:
    with pytest.raises(DubbenchError, match=r"no R1 penalty .*leave --model\.adversarial\.r1_gamma 0"):
        small_g4g(adversarial={"r1_gamma": 0.1})
