"""What a discriminator may look at, and what a generator learns from its features."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.cli import main
from dubbench.datamodules.batch import Batch
from dubbench.errors import DubbenchError
from dubbench.models.adversarial import AdversarialLoss
from dubbench.models.layers.discriminator import Discriminator, activate
from dubbench.models.layers.mouth import cut_mouth
from dubbench.models.options import Adversarial
from dubbench.models.radio.module import Radio
from tests.models import speaking_faces
from tests.models.conftest import loader, small_radio, trainer, windows
from tests.models.talkers import Steps, fitted

OPTIONS = Adversarial(widths=(4, 8, 8), feature_weight=1.0)


def mouths(window: Tensor, batch: int, time: int) -> Tensor:
    """Landmarks whose mouths are all at the point ``window``, but for a first frame that lies 2 to the left."""
    points = torch.full((batch, time, 68, 2), 3.0)
    points[:, :, 48:] = window
    points[:, 0, 48:, 0] -= 2
    return points


def test_equal_frames_have_equal_features() -> None:
    adversary = AdversarialLoss.of_frames(32, OPTIONS)
    frames = torch.rand(2, 3, 3, 32, 32) * 2 - 1
    terms = adversary.generator_terms(frames, frames.clone(), features=True)
    assert terms["features"].item() == 0
    assert set(adversary.generator_terms(frames, frames, features=False)) == {"adversarial"}


def test_features_are_the_blocks_and_their_distance_is_l1() -> None:
    adversary = AdversarialLoss.of_frames(32, OPTIONS)
    judge = adversary.discriminator
    assert isinstance(judge, Discriminator)
    real, fake = torch.rand(2, 2, 1, 3, 32, 32).unbind()
    sides, total = [activate(judge.from_rgb(images[:, 0])) for images in (real, fake)], 0.0
    for block in judge.blocks:
        sides = [block(x) for x in sides]
        total += (sides[0] - sides[1]).abs().mean().item() / 3
    terms = adversary.generator_terms(real, fake, features=True)
    assert terms["features"].item() == pytest.approx(total, rel=1e-4)
    torch.testing.assert_close(terms["adversarial"], F.softplus(-judge(fake[:, 0]).logits).mean())


def test_features_teach_what_is_drawn_and_nothing_else() -> None:
    adversary = AdversarialLoss.of_frames(32, OPTIONS)
    real, fake = (torch.rand(2, 1, 3, 32, 32).requires_grad_() for _ in range(2))
    terms = adversary.requires_grad_(False).generator_terms(real, fake, features=True)
    torch.autograd.backward(terms["features"])
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0
    assert real.grad is None
    assert all(parameter.grad is None for parameter in adversary.parameters())


@pytest.mark.parametrize(
    ("mouth", "corner"),
    [((20.0, 24.0), (11, 16)), ((5.0, 2.0), (0, 0)), ((31.0, 39.0), (16, 24)), ((-90.0, 900.0), (0, 24))],
)
def test_the_mouths_square_is_cut_from_all_frames_at_one_place(
    mouth: tuple[float, float], corner: tuple[int, int]
) -> None:
    frames = torch.rand(2, 3, 3, 40, 32, requires_grad=True)
    cut = cut_mouth(frames, mouths(torch.tensor(mouth), 2, 3))
    (x, y), side = corner, 16
    assert torch.equal(cut, frames[..., y : y + side, x : x + side])
    torch.autograd.backward(cut.sum())
    assert frames.grad is not None
    inside = torch.zeros(40, 32)
    inside[y : y + side, x : x + side] = 1
    assert torch.equal(frames.grad, inside.expand_as(frames))


class Faint(Radio):
    """Draws the frames that it is shown, half as strong."""

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        drawn: Tensor = generator(batch.frames, batch.references, batch.mel)
        return batch.frames / 2 + 0 * drawn


def test_real_and_drawn_frames_are_seen_in_the_same_square(tmp_path: Path) -> None:
    model = small_radio(Faint, adversarial={"weight": 0.1, "r1_gamma": 0.0, "region": "mouth", "feature_weight": 1.0})
    batch = windows(model.window, 1)
    batch.points = mouths(torch.tensor([20.0, 24.0]), 1, 5)
    assert model.adversary is not None
    seen: list[Tensor] = []
    model.adversary.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    trainer(tmp_path, max_epochs=1).fit(model, loader(batch, 1))
    wanted = batch.frames[0, :, :, 16:32, 11:27]
    real, fake, drawn, filmed = seen  # the discriminator's turn, then the generator's
    assert torch.equal(real, wanted)
    assert torch.equal(filmed, wanted)
    assert torch.equal(fake, wanted / 2)
    assert torch.equal(drawn, wanted / 2)


def test_g4gs_discriminators_look_at_the_mouth_and_give_features(tmp_path: Path) -> None:
    root, rows = speaking_faces.make(tmp_path), []
    for options in ({}, {"region": "mouth", "feature_weight": 2.0}):
        model = speaking_faces.small(adversarial={"weight": 3.0, **options})
        steps = Steps()
        fitted(root, tmp_path, model, callbacks=[steps])
        rows.append(steps.rows[0])
    plain, looking = rows
    assert "train_features" not in plain
    assert looking["train_features"] > 0
    weights = {name: weight for name, weight in model.weights.items() if f"train_{name}" in looking}
    terms = {name: looking[f"train_{name}"] * weight for name, weight in weights.items()}
    assert looking["train_loss"] == pytest.approx(sum(terms.values()), rel=1e-4)
    assert terms["features"] == 2 * looking["train_features"]


@pytest.mark.parametrize(
    ("adversarial", "sentence"),
    [
        ({"weight": 0.0, "feature_weight": 2.0}, "feature_weight is 2.0 and adversarial.weight 0, .* or 0 for both"),
        ({"weight": 0.1, "widths": [4] * 5, "region": "mouth"}, "of 16 pixels cannot be halved 5 times; give fewer"),
    ],
)
def test_what_does_not_go_together_is_told(adversarial: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DubbenchError, match=sentence):
        small_radio(adversarial=adversarial)


def test_the_command_line_has_both_options(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "--model", "personatalk_tiny", "--dataset", "grid", "--print_config", "--model.adversarial.region"]
    assert main([*words, "mouth", "--model.adversarial.feature_weight", "5"]) == 0
    told = capsys.readouterr().out
    assert "region: mouth" in told
    assert "feature_weight: 5.0" in told
    assert main([*words, "nose"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
