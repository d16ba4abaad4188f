import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from dubbench.datamodules.batch import Batch, Mel
from dubbench.models.sync_expert.losses import sync_loss, sync_probability
from dubbench.models.sync_expert.module import SyncExpert, off_sync, pair_accuracy
from dubbench.models.sync_expert.networks import CROP, FACE_CROP, crop_mouth
from dubbench.models.sync_expert.watch import SyncLossStuck
from tests.models.conftest import loader, small_expert, trainer, windows


def test_crops_are_cut_as_finely_under_autocast() -> None:
    frames = torch.rand(2, 3, 416, 320, generator=torch.Generator().manual_seed(0)) * 2 - 1
    turned = torch.tensor([[[-1.0, 0, 0.03], [0, 1, 0.01]]]).expand(2, 2, 3)
    plain = crop_mouth(frames, 96, turned, FACE_CROP)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crop_mouth(frames, 96, turned, FACE_CROP), plain)


def test_crop_is_the_box_in_grey() -> None:
    rows, columns = torch.meshgrid((torch.arange(40.0) + 0.5) / 40, (torch.arange(40.0) + 0.5) / 40, indexing="ij")
    frames = torch.stack([columns, rows, rows])[None]
    crop = crop_mouth(frames, 24)[0, 0]
    left, top, right, bottom = CROP
    centre = (torch.arange(24.0) + 0.5) / 24
    across, down = left + (right - left) * centre, top + (bottom - top) * centre
    torch.testing.assert_close(crop, 0.299 * across[None] + 0.701 * down[:, None], rtol=1e-4, atol=1e-5)


def test_crop_of_a_face_is_its_mouth_region_in_grey() -> None:
    frames = torch.rand(2, 3, 52, 40)
    red, green, blue = frames[:, :, 16:48, 4:36].unbind(1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    torch.testing.assert_close(crop_mouth(frames, 32, part=FACE_CROP)[:, 0], grey, rtol=1e-4, atol=1e-5)


def test_crop_can_be_mirrored_and_shifted() -> None:
    frames = torch.rand(1, 3, 40, 40)
    crop = crop_mouth(frames, 24)
    mirror = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]])
    torch.testing.assert_close(crop_mouth(frames, 24, mirror), crop.flip(3), rtol=1e-4, atol=1e-4)
    # A shift of 2 / 24 in [-1, 1] coordinates is one pixel of the crop.
    shift = torch.tensor([[[1.0, 0, 2 / 24], [0, 1, 0]]])
    torch.testing.assert_close(crop_mouth(frames, 24, shift)[..., :-1], crop[..., 1:], rtol=1e-4, atol=1e-4)


def test_windows_are_five_frames_and_their_middle_mel() -> None:
    expert = small_expert().eval()
    batch = windows(expert.window, 2)
    assert batch.mel is not None
    lips, speech = expert.network(batch.frames, batch.mel)
    assert lips.shape == speech.shape == (2, 16, 16)
    assert lips.min() >= 0
    assert speech.min() >= 0
    part = expert.network(batch.frames[:, 3:8], batch.mel[:, 3:8])
    torch.testing.assert_close(part[0][:, 0], lips[:, 3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(part[1][:, 0], expert.network.embed_speech(batch.mel[:, 5]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(part[1][:, 0], speech[:, 3], rtol=1e-4, atol=1e-5)


def test_off_sync_pairs_are_5_to_15_frames_apart() -> None:
    pairs = off_sync(20)
    for i in range(20):
        for j in range(20):
            assert pairs[i, j] == (5 <= abs(i - j) <= 15)


def test_pair_accuracy_by_hand() -> None:
    similarities = torch.zeros(1, 6, 6)
    assert pair_accuracy(similarities) == 0
    similarities[0].fill_diagonal_(0.5)
    assert pair_accuracy(similarities) == 1
    similarities[0, 0, 5] = 0.9
    similarities[0, 0, 1] = 0.9  # one frame away: neither in sync nor off
    assert pair_accuracy(similarities) == 0.5


@pytest.mark.parametrize("objective", ["bce", "contrastive"])
def test_objective_over_pairs(objective: str) -> None:
    expert = small_expert(objective=objective, temperature=0.5)
    similarities = torch.rand(2, 16, 16)
    off, total = off_sync(16), 0.0
    for clip in similarities:
        if objective == "bce":
            total += -clip.diagonal().log().mean().item() / 2 - (1 - clip[off]).log().mean().item() / 2
            continue
        for matrix in (clip, clip.T):
            for i in range(16):
                others = sum(math.exp(2 * matrix[i, j]) for j in range(16) if off[i, j] or i == j)
                total += (math.log(others) - 2 * matrix[i, i].item()) / 32
    assert expert.loss(similarities).item() == pytest.approx(total / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("crop", "box"), [("square", tuple(round(32 * edge) for edge in CROP)), ("face", (4, 16, 36, 48))]
)
def test_agreement_loss_is_eq_5_on_five_frames(crop: str, box: tuple[int, int, int, int]) -> None:
    expert = small_expert(crop=crop).eval()
    batch = windows(expert.window, 3)
    assert batch.mel is not None
    frames, mel = batch.frames[:, :5].clone().requires_grad_(), batch.mel[:, :5]
    lips, speech = expert.network(frames, mel)
    loss = expert.network.agreement_loss(frames, mel, "bce")
    torch.testing.assert_close(loss, sync_loss(sync_probability(lips[:, 0], speech[:, 0]), in_sync=True))
    (gradient,) = torch.autograd.grad(loss, frames)
    left, top, right, bottom = box
    assert (gradient[..., top + 1 : bottom - 1, left + 1 : right - 1] != 0).any()
    gradient[..., top - 1 : bottom + 1, left - 1 : right + 1] = 0
    assert not gradient.any()


def test_an_expert_for_faces_hears_as_g4g_does() -> None:
    assert small_expert(crop="face").window.mel == Mel(fft=800, hop=200, bands=80, columns=16)
    assert small_expert(crop="face").window.picture_shape == (52, 40)


@pytest.mark.parametrize(("objective", "crop"), [("bce", "square"), ("contrastive", "square"), ("contrastive", "face")])
def test_learns_one_clip(tmp_path: Path, objective: str, crop: str) -> None:
    expert = small_expert(objective=objective, crop=crop)
    data = loader(windows(expert.window, 1), 1)
    fitting = trainer(tmp_path, max_epochs=40)
    (before,) = fitting.validate(expert, data, verbose=False)
    fitting.fit(expert, data)
    (after,) = fitting.validate(expert, data, verbose=False)
    assert after["val_pair_accuracy"] > max(0.85, before["val_pair_accuracy"] + 0.1)
    assert after["val_loss"] < before["val_loss"]


def test_augmentation_is_for_training_only_and_resumes(tmp_path: Path) -> None:
    options: dict[str, Any] = {"shift": 0.1, "brightness": 0.2, "flip": True, "dropout": 0.3, "weight_decay": 0.01}

    def run(epochs: int, start: Path | None = None) -> SyncExpert:
        expert = small_expert(**options)
        fitting = trainer(tmp_path, max_epochs=epochs)
        fitting.fit(expert, loader(windows(expert.window, 2), 1), ckpt_path=start, weights_only=True)
        fitting.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return expert

    straight = run(2)
    run(1)
    resumed = run(2, tmp_path / "1.ckpt")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    data = loader(windows(straight.window, 2), 2)
    scores = [trainer(tmp_path).validate(straight, data, verbose=False) for _ in range(2)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(("loss", "warned"), [(0.6935, True), (0.65, False)])
def test_a_stuck_loss_is_told(tmp_path: Path, loss: float, warned: bool) -> None:
    class Still(SyncExpert):
        def loss(self, similarities: Tensor) -> Tensor:
            return similarities.sum() * 0 + loss

        def configure_callbacks(self) -> list[L.Callback]:
            return [SyncLossStuck(patience=4)]

    expert = Still(**{**small_expert().hparams})
    data = loader(windows(expert.window, 4), 1)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        trainer(tmp_path, max_epochs=2).fit(expert, data)
    assert any("that of guessing" in str(warning.message) for warning in seen) == warned


class Scripted(SyncExpert):
    """Logs losses and pair accuracies that are given, an epoch each."""

    def script(self, losses: Sequence[float], accuracies: Sequence[float]) -> "Scripted":
        self.losses, self.accuracies = losses, accuracies
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss: Tensor = 0 * self.similarities(batch).sum() + self.losses[self.current_epoch] + 0.5 * (-1) ** batch_idx
        self.log("train_loss", loss.detach(), batch_size=1)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_pair_accuracy", torch.tensor(self.accuracies[self.current_epoch]), batch_size=1)


FALLING = (0.8, 0.6, 0.5, 0.4, 0.3, 0.2)


def overfitted(
    folder: Path, losses: Sequence[float], accuracies: Sequence[float], stop: int | None = None
) -> list[str]:
    """What is told in a training of scripted epochs, which is stopped and resumed after ``stop`` of them."""
    told: list[str] = []
    start = None
    for epochs in ([stop] if stop else []) + [len(losses)]:
        expert = Scripted(**{**small_expert().hparams}).script(losses, accuracies)
        data = loader(windows(expert.window, 2), 1)
        fitting = trainer(folder, max_epochs=epochs, num_sanity_val_steps=1)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            fitting.fit(expert, data, data, ckpt_path=start, weights_only=True)
        fitting.save_checkpoint(start := folder / f"{epochs}.ckpt")
        told += [str(each.message) for each in seen if "overfitted" in str(each.message)]
    return told


@pytest.mark.parametrize("stop", [None, 3])
def test_overfitting_is_told_once_with_its_epoch(tmp_path: Path, stop: int | None) -> None:
    (told,) = overfitted(tmp_path, FALLING, (0.7, 0.9, 0.85, 0.85, 0.84, 0.8), stop)
    assert "overfitted since epoch 1: its loss on training clips fell from 0.600 to 0.300" in told
    assert "from 0.900 to 0.840; take checkpoints/best.ckpt" in told
    assert "--model.iterations 4" in told


@pytest.mark.parametrize(
    ("losses", "accuracies"),
    [
        (FALLING, (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)),
        (FALLING, (0.7, 0.9, 0.89, 0.89, 0.89, 0.89)),  # as it wavers from one validation to the next
        (FALLING, (0.7, 0.9, 0.5, 0.5, 0.91, 0.5)),
        ((0.6,) * 6, (0.7, 0.9, 0.8, 0.8, 0.8, 0.8)),  # it forgets its training clips as well
    ],
)
def test_other_trainings_are_not_told_of(tmp_path: Path, losses: Sequence[float], accuracies: Sequence[float]) -> None:
    assert overfitted(tmp_path, losses, accuracies) == []
