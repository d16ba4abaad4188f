"""RealTalk's renderer in the last part of training: it draws from what stage 1 predicts, as it will when dubbing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from dubbench.datamodules.batch import Batch
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.windows import Place, read_windows
from dubbench.errors import DubbenchError
from dubbench.models.realtalk.mask import learnable_mask
from dubbench.models.realtalk.module import RealTalk
from dubbench.models.realtalk.networks import stages_of
from dubbench.models.two_stages import required
from tests.models.conftest import trainer
from tests.models.realtalk.small import CLIPS, small
from tests.models.talkers import FACE, assert_resumes, data, fitted, make, state


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("predicted"), CLIPS)


@pytest.fixture(scope="module")
def initial(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first stage of a few batches, which says more than these taught it and is wrong."""
    folder = tmp_path_factory.mktemp("initial")
    model = small(stages="expression", transformer={"dropout": 0.5})
    fitting = fitted(root, folder, model)
    nn.init.normal_(stages_of(model.ema.module).expression.head.weight, std=0.5)
    fitting.save_checkpoint(folder / "expression.ckpt")
    return folder / "expression.ckpt"


def rendering(initial: Path, **options: Any) -> RealTalk:  # noqa: ANN401
    """A renderer that learns beside that first stage."""
    return small(stages="rendering", initial=str(initial), transformer={"dropout": 0.5}, **options)


def window(model: RealTalk, root: Path) -> Batch:
    """One window of anna's clip."""
    return read_windows([Place(PreparedClip(root, "anna/one"), 8, np.array([0, 25, 2, 28, 20]))], model.window)


def overfitted(model: RealTalk, root: Path, folder: Path, batches: int = 40) -> RealTalk:
    """A model after as many batches of that one window."""
    model.held_face.adopt(FACE)
    again: DataLoader[Batch] = DataLoader([window(model, root)] * batches, batch_size=None)  # type: ignore[arg-type]
    trainer(folder, max_epochs=1).fit(model, again)
    return model


class Drawn(L.Callback):
    """Whether each batch was drawn from predictions: an expression that is not the batch's own."""

    def __init__(self, model: RealTalk) -> None:
        self.predicted: list[bool] = []
        self.own = torch.empty(0)
        generate = model.generate

        def spy(generator: nn.Module, batch: Batch) -> torch.Tensor:
            expression = required(batch.expression)
            self.predicted.append(expression.shape != self.own.shape or not torch.equal(expression, self.own))
            return generate(generator, batch)

        model.generate = spy  # type: ignore[method-assign]

    def on_train_batch_start(self, trainer: L.Trainer, model: L.LightningModule, batch: Batch, batch_idx: int) -> None:
        self.own = required(batch.expression)


@pytest.mark.parametrize(
    ("predicted", "length", "drawn"),
    [
        (0.25, {"max_epochs": 4}, [False] * 6 + [True] * 2),
        (0.7, {"max_epochs": 5}, [False] * 3 + [True] * 7),
        (0.0, {"max_epochs": 2}, [False] * 4),
        # Lightning counts a step of each of two optimisers.
        (0.5, {"max_epochs": -1, "max_steps": 16}, [False] * 4 + [True] * 4),
        # The nearer end counts.
        (0.5, {"max_epochs": 100, "max_steps": 8}, [False] * 2 + [True] * 2),
    ],
)
def test_the_last_share_of_a_training_is_drawn_from_predictions(
    root: Path, tmp_path: Path, predicted: float, length: dict[str, int], drawn: Sequence[bool]
) -> None:
    model = small(predicted=predicted)
    seen = Drawn(model)
    trainer(tmp_path, limit_val_batches=0, callbacks=[seen], **length).fit(model, datamodule=data(root))
    assert seen.predicted == list(drawn)


def test_predictions_are_those_of_dubbing(root: Path, initial: Path, tmp_path: Path) -> None:
    """By the whole history, without dropout and gradient; mask and picture both follow them."""
    model = rendering(initial, predicted=1.0)
    fitted(root, tmp_path, model)
    stages, batch = stages_of(model.generator), window(model, root)
    model.train()
    found = model.for_drawing(batch)
    assert stages.expression.training
    assert not required(found.expression).requires_grad
    stages.expression.eval()
    heard = stages.expression(
        batch.waveform, required(batch.reference_shape)[:, 0], required(batch.reference_expression)[:, 1:]
    )
    assert torch.equal(required(found.expression), heard)
    changed = {name for name, value in vars(found).items() if value is not getattr(batch, name)}
    assert changed == {"expression"}

    fake = model.generate(stages, found).flatten(0, 1)
    pictured = model.window.pictured
    pose = required(batch.pose)[:, pictured].flatten(0, 1)
    shape = required(batch.reference_shape)[:, 0].repeat_interleave(batch.frames.shape[1], 0)
    mask = learnable_mask(FACE, shape, heard[:, pictured, :2].flatten(0, 1), pose, size=32).expand(2, 3, 32, 32)
    own = learnable_mask(FACE, shape, required(batch.expression)[:, pictured].flatten(0, 1), pose, size=32)
    assert not torch.equal(mask[:, :1], own)
    source = batch.frames.flatten(0, 1)
    assert torch.equal(fake[mask == 1], source[mask == 1])
    assert not torch.isclose(fake[mask == 0], source[mask == 0]).any()


def test_the_renderer_learns_what_dubbing_gives_it_and_the_first_stage_stands_still(
    root: Path, initial: Path, tmp_path: Path
) -> None:
    errors = {}
    for predicted in (0.0, 1.0):
        model = overfitted(rendering(initial, predicted=predicted), root, tmp_path)
        batch = window(model, root)
        heard = model.with_predictions(stages_of(model.generator), batch)
        with torch.no_grad():
            errors[predicted] = float((model.generate(model.generator, heard) - batch.frames).abs().mean())
        stored = torch.load(initial, weights_only=True)["state_dict"]
        for name, value in state(stages_of(model.generator).expression).items():
            assert torch.equal(value, stored[f"ema.module.expression.{name}"]), name
    assert errors[1.0] < 0.9 * errors[0.0]


def test_what_is_drawn_last_teaches_the_first_stage_nothing(root: Path, tmp_path: Path) -> None:
    """Both train in one run, and no gradient of a picture reaches the expression."""
    networks = []
    for stages in ("both", "expression"):
        model = small(stages=stages, predicted=1.0)
        fitted(root, tmp_path, model, 2)
        networks.append(state(stages_of(model.generator).expression))
    assert all(torch.equal(value, networks[1][name]) for name, value in networks[0].items())


def test_resumed_training_with_predictions_equals_undisturbed(root: Path, initial: Path, tmp_path: Path) -> None:
    assert_resumes(root, tmp_path, lambda: small(predicted=1.0, transformer={"dropout": 0.3}))
    assert_resumes(root, tmp_path, lambda: rendering(initial, predicted=1.0))


def test_validation_scores_what_is_drawn_from_predictions(root: Path, initial: Path, tmp_path: Path) -> None:
    model = overfitted(rendering(initial, predicted=0.0), root, tmp_path)
    module = data(root, val_windows=2)
    found = trainer(tmp_path).validate(model, datamodule=module, verbose=False)[0]
    (batch,) = cast(list[Batch], list(module.val_dataloader()))
    heard = model.with_predictions(stages_of(model.ema.module), batch)
    with torch.no_grad():
        fake = model.generate(model.ema.module, heard)
    assert found["val_l1_predicted"] == pytest.approx(float((fake - batch.frames).abs().mean()), rel=1e-4)
    assert found["val_psnr_lower"] > found["val_psnr_lower_predicted"]


def test_a_training_that_cannot_draw_predictions_says_so(root: Path, initial: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"own expressions alone.*is untrained; give --model\.initial"):
        fitted(root, tmp_path, small(stages="rendering"))
    endless = {"max_epochs": -1, "max_time": {"hours": 1}, "limit_val_batches": 0, "callbacks": [Stop()]}
    with pytest.warns(UserWarning, match="the length of this training is not known in batches"):
        trainer(tmp_path, **endless).fit(rendering(initial), datamodule=data(root))
    with pytest.raises(DubbenchError, match=r"predicted is 1\.5; give the share of a training, from 0 to 1"):
        small(predicted=1.5)


def test_nothing_is_said_where_nothing_lacks(
    root: Path, initial: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    for model in (small(), small(stages="expression"), rendering(initial), small(stages="rendering", predicted=0.0)):
        fitted(root, tmp_path, model)
    assert not [str(each.message) for each in recwarn if "own expressions" in str(each.message)]


class Stop(L.Callback):
    def on_train_batch_end(self, trainer: L.Trainer, *args: object) -> None:
        trainer.should_stop = True


def test_without_a_trained_first_stage_the_frames_own_expressions_are_drawn(root: Path, tmp_path: Path) -> None:
    model = small(stages="rendering", predicted=1.0)
    seen = Drawn(model)
    fitted(root, tmp_path, model, callbacks=[seen])
    assert seen.predicted == [False, False]
