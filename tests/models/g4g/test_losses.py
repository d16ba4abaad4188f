"""Losses against cases computed by hand, and the contrastive one in two processes."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.models.g4g.losses import (
    Discriminators,
    attribute,
    contrastive,
    discriminator_loss,
    generator_loss,
    perception,
    reconstruction,
)
from dubbench.models.losses import PerceptualLoss
from tests import ROOT
from tests.models.g4g.two_processes import Encoders, gradients, windows


def test_contrastive_by_hand() -> None:
    """Two windows of one frame: similarities 1, 0.6 and 0, 0.8 at a temperature of one half."""
    visual = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    speech = torch.tensor([[[1.0, 0.0]], [[0.6, 0.8]]])
    rows = -math.log(math.exp(2) / (math.exp(2) + math.exp(1.2))) - math.log(math.exp(1.6) / (1 + math.exp(1.6)))
    columns = -math.log(math.exp(2) / (math.exp(2) + 1)) - math.log(math.exp(1.6) / (math.exp(1.2) + math.exp(1.6)))
    # Eq. 10: over both directions and the N = 2 windows.
    assert contrastive(visual, speech, torch.tensor(2.0)).item() == pytest.approx((rows + columns) / 4, abs=1e-6)


def test_contrastive_is_symmetric_and_means_over_frames() -> None:
    visual, speech = (F.normalize(torch.randn(5, 3, 8), dim=-1) for _ in range(2))
    scale = torch.tensor(7.0)
    loss = contrastive(visual, speech, scale)
    torch.testing.assert_close(loss, contrastive(speech, visual, scale))
    similarity = torch.stack([(visual[:, None] * speech[None]).sum(-1)[..., t] for t in range(3)]).mean(0) * scale
    rows = -similarity.log_softmax(1).diagonal().mean()
    columns = -similarity.log_softmax(0).diagonal().mean()
    torch.testing.assert_close(loss, (rows + columns) / 2)
    torch.testing.assert_close(loss, contrastive(visual.repeat(1, 2, 1), speech.repeat(1, 2, 1), scale))


def test_two_processes_with_half_the_batch_have_the_same_gradient(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.models.g4g.two_processes", str(tmp_path)]
    workers = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(2)]
    assert [worker.wait(100) for worker in workers] == [0, 0]
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    whole = gradients(Encoders(), *windows())
    assert set(whole) == set(halves[0])
    torch.testing.assert_close((halves[0].pop("loss") + halves[1].pop("loss")) / 2, whole.pop("loss"))
    for name, gradient in whole.items():
        assert gradient.abs().max() > 1e-3
        for half in halves:
            torch.testing.assert_close(half[name], gradient, atol=1e-6, rtol=1e-4)


def test_attribute_is_one_less_the_cosine() -> None:
    source, reference = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, 3.0], [-2.0, 0.0]])
    assert attribute(source, reference).item() == pytest.approx((1 - 24 / 25 + 2) / 2, abs=1e-6)


class Recorder(PerceptualLoss):
    """Remembers the sizes that it is asked for."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        self.sizes.append(tuple(fake.shape[2:]))
        return (fake - real).abs().mean()


def test_perception_looks_at_two_scales() -> None:
    """A chequerboard of +-1 is gone at half the resolution, a constant is not."""
    vgg = Recorder()
    rows, columns = torch.arange(8)[:, None], torch.arange(6)
    board = (1 - 2 * ((rows + columns) % 2)).float().expand(1, 3, 8, 6)
    zero = torch.zeros_like(board)
    assert perception(vgg, board, zero).item() == pytest.approx(0.5)
    assert perception(vgg, zero + 0.25, zero).item() == pytest.approx(0.25)
    assert vgg.sizes == [(8, 6), (4, 3)] * 2


def test_reconstruction_within_each_mask() -> None:
    target = torch.zeros(2, 3, 8, 8)
    masks = torch.zeros(2, 2, 8, 8)
    masks[:, 0, 2:4, 2:4] = 1
    masks[:, 1, :, 4:] = 1
    full, half = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 4, 4)
    full[:, :, 2:4, 2:4] = 0.5  # all of the first mask, nothing of the second
    half[0, :, 1, 1] = 1.0  # all of the first mask of one picture
    half[:, :, :2, 3] = 0.8  # a quarter of the second mask
    image = torch.full((2, 3, 8, 8), 0.1)
    expected = 0.1 + ((0.5 + 0) / 2 + (0.5 + 0.2) / 2) / 2
    assert reconstruction(image, target, (full, half), masks).item() == pytest.approx(expected, abs=1e-6)
    assert reconstruction(image, target, (), masks).item() == pytest.approx(0.1, abs=1e-6)


def test_least_squares_terms() -> None:
    real, fake = (torch.tensor([0.0, 1.0]), torch.tensor([3.0])), (torch.tensor([1.0, 0.0]), torch.tensor([0.5]))
    # Frames: (0.5 + 0.5) / 2; clips: (4 + 0.25) / 2.
    assert discriminator_loss(real, fake).item() == pytest.approx((0.5 + 2.125) / 2)
    assert generator_loss(fake).item() == pytest.approx((0.5 + 0.25) / 2)


def test_discriminators_see_frames_alone_and_clips_in_order() -> None:
    judges = Discriminators((4, 8), frames=5).eval()
    frames = torch.rand(2, 5, 3, 26, 20)
    with torch.no_grad():
        (frame, clip), _ = judges(frames)
        (other, swapped), _ = judges(frames.flip(1))
    assert frame.shape[:2] == (10, 1)
    assert clip.shape[:2] == (2, 1)
    torch.testing.assert_close(frame.unflatten(0, (2, 5)), other.unflatten(0, (2, 5)).flip(1))
    assert (clip - swapped).abs().max() > 1e-4
