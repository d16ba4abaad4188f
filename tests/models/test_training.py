"""Adversarial training through Lightning's trainer."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dubbench.models.losses import PerceptualLoss
from dubbench.models.radio.module import Radio
from tests.models.conftest import PlainRadio, loader, small_radio, trainer, windows

ADVERSARIAL: dict[str, Any] = {"weight": 0.01, "r1_gamma": 0.1}
# A discriminator that sees the mouth alone, and whose features are matched.
LOOKING: dict[str, Any] = {"region": "mouth", "feature_weight": 2.0}


def full(expert: Path, **options: Any) -> Radio:  # noqa: ANN401
    """Radio with every term but the perceptual one."""
    terms = {"sync_expert": str(expert), "sync_weight": 0.05, "adversarial": ADVERSARIAL}
    return small_radio(**{**terms, "lip_weight": 4.0, **options})


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


class Recorder(L.Callback):
    """Values that training logged, a row a batch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, *args: object) -> None:
        self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class Watch(L.Callback):
    """Networks just before each optimiser's step."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, Tensor], dict[str, Tensor]]] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        assert isinstance(pl_module, Radio)
        assert pl_module.adversary is not None
        which = trainer.optimizers.index(optimizer)
        still = (pl_module.generator, pl_module.adversary)[1 - which]
        assert all(p.grad is None or not p.grad.any() for p in still.parameters())
        self.seen.append((which, state(pl_module.generator), state(pl_module.adversary)))


def test_one_clip_overfits(tmp_path: Path, expert_checkpoint: Path) -> None:
    model, recorder = full(expert_checkpoint), Recorder()
    batch = windows(model.window, 1)
    trainer(tmp_path, max_epochs=30, callbacks=[recorder]).fit(model, loader(batch, 1))
    assert recorder.rows[-1]["train_l1"] < 0.7 * recorder.rows[0]["train_l1"]
    assert all(row[f"train_{name}"] >= 0 for row in recorder.rows for name in ("adversarial", "discriminator", "sync"))
    assert [row["step"] for row in recorder.rows] == [float(i) for i in range(30)]
    assert recorder.rows[0]["train_loss"] == pytest.approx(
        sum(
            recorder.rows[0][f"train_{name}"] * weight
            for name, weight in model.weights.items()
            if weight and name != "perceptual"
        ),
        rel=1e-4,
    )


@pytest.mark.parametrize("adversarial", [{}, LOOKING], ids=["frame", "mouth, features"])
def test_each_step_moves_its_own_network_only(
    tmp_path: Path, expert_checkpoint: Path, adversarial: dict[str, Any]
) -> None:
    model, watch = full(expert_checkpoint, adversarial={**ADVERSARIAL, **adversarial}), Watch()
    start = state(model.generator)
    trainer(tmp_path, max_epochs=1, callbacks=[watch]).fit(model, loader(windows(model.window, 4), 2))
    assert [which for which, _, _ in watch.seen] == [1, 0, 1, 0]
    (_, g0, d0), (_, g1, d1), (_, g2, d2), (_, g3, _) = watch.seen
    assert same(g0, start)
    assert same(g0, g1)
    assert same(g2, g3)
    assert same(d1, d2)
    moved = [not torch.equal(d0[name], d1[name]) for name in d0]
    assert all(moved), "a discriminator parameter did not learn"
    still = [name for name in g1 if torch.equal(g1[name], g2[name])]
    assert still == [], f"generator parameters did not learn: {still}"


def test_frozen_helpers_stay_and_stay_out(
    tmp_path: Path, expert_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PerceptualLoss, "pretrained", classmethod(lambda cls: cls()))
    model = full(expert_checkpoint, perceptual="vgg19")
    model.setup("fit")
    before = {name: state(net) for name, net in model.frozen.items()}
    assert set(before) == {"sync", "perceptual"}
    keys = set(model.state_dict())
    recorder = Recorder()
    trainer(tmp_path, max_epochs=1, callbacks=[recorder]).fit(model, loader(windows(model.window, 2), 1))
    assert recorder.rows[-1]["train_perceptual"] > 0
    for name, net in model.frozen.items():
        assert same(before[name], state(net))
        assert not any(m.training for m in net.modules())
        assert all(p.grad is None and not p.requires_grad for p in net.parameters())
    assert set(model.state_dict()) == keys
    assert {key.split(".")[0] for key in keys} == {"generator", "adversary", "ema"}


def test_scoring_needs_no_helper_files(tmp_path: Path) -> None:
    model = small_radio(sync_expert=str(tmp_path / "gone.ckpt"), sync_weight=0.1)
    results = trainer(tmp_path).validate(model, loader(windows(model.window, 2), 2), verbose=False)
    assert set(results[0]) == {"val_l1", "val_psnr_lower"}


def test_average_lies_between_old_and_new(tmp_path: Path) -> None:
    model = small_radio()
    averages, weights = [state(model.ema.module)], [state(model.generator)]

    class Keep(L.Callback):
        def on_train_batch_end(self, *args: object) -> None:
            averages.append(state(model.ema.module))
            weights.append(state(model.generator))

    trainer(tmp_path, max_epochs=3, callbacks=[Keep()]).fit(model, loader(windows(model.window, 1), 1))
    assert same(averages[1], weights[1])
    for name in ("decoder.0.first.conv.weight", "content_encoder.first.weight"):
        low = torch.minimum(averages[1][name], weights[2][name]) - 1e-6
        high = torch.maximum(averages[1][name], weights[2][name]) + 1e-6
        assert ((averages[2][name] >= low) & (averages[2][name] <= high)).all()
        # One update so far: the decay has risen to 2 / 11 only.
        torch.testing.assert_close(averages[2][name], averages[1][name] * 2 / 11 + weights[2][name] * 9 / 11)
    assert not any(p.requires_grad for p in model.ema.parameters())


def test_validation_scores_the_average(tmp_path: Path) -> None:
    model = small_radio()
    batch = windows(model.window, 2)
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.zero_()
        fake = model.ema.module(batch.frames, batch.references, batch.mel)
    (scores,) = trainer(tmp_path).validate(model, loader(batch, 2), verbose=False)
    assert scores["val_l1"] == pytest.approx((fake - batch.frames).abs().mean().item(), rel=1e-5)
    error = ((fake.clamp(-1, 1) - batch.frames)[..., 16:, :] / 2).square().mean((2, 3, 4))
    assert scores["val_psnr_lower"] == pytest.approx((-10 * error.log10()).mean().item(), rel=1e-5)


@pytest.mark.parametrize("adversarial", [{}, LOOKING], ids=["frame", "mouth, features"])
def test_resume_is_bit_exact(tmp_path: Path, expert_checkpoint: Path, adversarial: dict[str, Any]) -> None:
    def run(epochs: int, start: Path | None = None) -> tuple[Radio, L.Trainer]:
        model = full(expert_checkpoint, adversarial={**ADVERSARIAL, **adversarial})
        fitting = trainer(tmp_path, max_epochs=epochs)
        fitting.fit(model, loader(windows(model.window, 4), 2), ckpt_path=start, weights_only=True)
        return model, fitting

    straight, _ = run(2)
    _, half = run(1)
    half.save_checkpoint(tmp_path / "half.ckpt")
    resumed, _ = run(2, tmp_path / "half.ckpt")
    assert same(state(straight), state(resumed))


def test_accumulated_batches_equal_one_large(tmp_path: Path) -> None:
    states = []
    for size, accumulate in ((4, 1), (2, 2)):
        model = small_radio(PlainRadio, optim={"accumulate": accumulate}, lip_weight=3.0)
        states.append(state(model.generator))
        trainer(tmp_path, max_epochs=3).fit(model, loader(windows(model.window, 4), size))
        states.append(state(model.generator))
        assert model.ema.n_averaged == 3
    start, large, _, small = states
    assert not same(start, large)
    for name in start:
        torch.testing.assert_close(large[name], small[name], rtol=1e-5, atol=1e-6)


def test_clipping_bounds_the_gradient(tmp_path: Path) -> None:
    model = small_radio(optim={"clip": 1e-3, "betas": [0.5, 0.9]})
    fitting = trainer(tmp_path, max_epochs=1)
    fitting.fit(model, loader(windows(model.window, 1), 1))
    moments = [values["exp_avg"].norm() for values in fitting.optimizers[0].state.values()]
    # After one step, Adam's first moment is (1 - 0.5) times the gradient.
    assert torch.stack(moments).norm().item() == pytest.approx(0.5e-3, rel=1e-2)


@pytest.mark.parametrize("change", [{"precision": "bf16-mixed"}, {"compile": "eager"}])
def test_other_ways_to_train(tmp_path: Path, expert_checkpoint: Path, change: dict[str, str]) -> None:
    recorder = Recorder()
    looking = {"adversarial": {**ADVERSARIAL, **LOOKING}}
    model = full(expert_checkpoint, **looking, **({"optim": change} if "compile" in change else {}))
    keys = set(model.state_dict())
    options: dict[str, Any] = {"precision": "bf16-mixed"} if "precision" in change else {}
    batch = windows(model.window, 2)
    trainer(tmp_path, max_epochs=1, callbacks=[recorder], **options).fit(model, loader(batch, 1), loader(batch, 1))
    plain = Recorder()
    trainer(tmp_path, max_epochs=1, callbacks=[plain]).fit(full(expert_checkpoint, **looking), loader(batch, 1))
    for name, value in plain.rows[0].items():
        # By the CPU: of some, bfloat16 kernels round more than of others.
        assert recorder.rows[0][name] == pytest.approx(value, rel=0.1, abs=0.01)
    assert set(model.state_dict()) == keys
    assert all(value.isfinite().all() and value.dtype != torch.bfloat16 for value in model.state_dict().values())


def test_pictures_go_to_a_logger_that_takes_them(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]  # no types
        EventAccumulator,
    )

    model = small_radio()
    batch = windows(model.window, 2)
    logger = TensorBoardLogger(tmp_path, name="", version="")
    trainer(tmp_path, max_epochs=1, logger=logger).fit(model, loader(batch, 2), loader(batch, 2))
    logger.experiment.flush()
    events = EventAccumulator(str(tmp_path)).Reload()
    (image,) = events.Images("validation")
    assert (image.width, image.height) == (3 * 32, 2 * 32)


def test_expert_of_another_kind_is_refused(tmp_path: Path, expert_checkpoint: Path) -> None:
    from dubbench.errors import DubbenchError

    model = small_radio()
    fitting = trainer(tmp_path, max_epochs=1)
    fitting.fit(model, loader(windows(model.window, 1), 1))
    fitting.save_checkpoint(tmp_path / "radio.ckpt")
    with pytest.raises(DubbenchError, match="no sync expert but a Radio"):
        small_radio(sync_expert=str(tmp_path / "radio.ckpt"), sync_weight=0.1).setup("fit")
    with pytest.raises(DubbenchError, match="frames of 32 pixels and this model draws frames of 64"):
        full(expert_checkpoint, size=64).setup("fit")
