"""Losses against cases computed by hand, and the contrastive one in two processes."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.errors import DubbenchError
from dubbench.models.g4g.losses import (
    Discriminators,
    Features,
    attribute,
    contrastive,
    discriminator_loss,
    found_in_clip,
    generator_loss,
    perception,
    reconstruction,
    told_apart,
)
from dubbench.models.losses import PerceptualLoss
from tests import ROOT
from tests.models.g4g.two_processes import WINDOWS, Drawn, Encoders, gradients


def features(visual: Tensor, speech: Tensor, others: Tensor | None = None, there: Tensor | None = None) -> Features:
    """Of windows whose clips have other moments, or none."""
    count, frames, dim = visual.shape
    others = torch.zeros(count, 0, frames, dim) if others is None else others
    return Features(visual, speech, others, torch.ones(others.shape[:2], dtype=torch.bool) if there is None else there)


def test_contrastive_by_hand() -> None:
    """Two windows of one frame: similarities 1, 0.6 and 0, 0.8 at a temperature of one half."""
    visual = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    speech = torch.tensor([[[1.0, 0.0]], [[0.6, 0.8]]])
    rows = -math.log(math.exp(2) / (math.exp(2) + math.exp(1.2))) - math.log(math.exp(1.6) / (1 + math.exp(1.6)))
    columns = -math.log(math.exp(2) / (math.exp(2) + 1)) - math.log(math.exp(1.6) / (math.exp(1.2) + math.exp(1.6)))
    # Eq. 10: over both directions and the N = 2 windows.
    loss = contrastive(features(visual, speech), torch.tensor(2.0))
    assert loss.item() == pytest.approx((rows + columns) / 4, abs=1e-6)


def test_other_moments_are_more_negatives_of_a_windows_frames() -> None:
    """The first window has two other moments, at similarities 0.8 and -1, the second one, at 0.6, and one it lacks."""
    visual = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    speech = torch.tensor([[[1.0, 0.0]], [[0.6, 0.8]]])
    others = torch.tensor([[[[0.8, 0.6]], [[-1.0, 0.0]]], [[[0.8, 0.6]], [[0.0, 1.0]]]])
    there = torch.tensor([[True, True], [True, False]])
    first = math.exp(2) / (math.exp(2) + math.exp(1.2) + math.exp(1.6) + math.exp(-2))
    second = math.exp(1.6) / (1 + math.exp(1.6) + math.exp(1.2))
    columns = -math.log(math.exp(2) / (math.exp(2) + 1)) - math.log(math.exp(1.6) / (math.exp(1.2) + math.exp(1.6)))
    loss = contrastive(features(visual, speech, others, there), torch.tensor(2.0))
    assert loss.item() == pytest.approx((-math.log(first) - math.log(second) + columns) / 4, abs=1e-6)


def test_windows_that_share_frames_are_no_negatives() -> None:
    clips, starts = ["a", "a", "a", "b"], torch.tensor([10, 13, 15, 10])
    apart = told_apart(clips, starts, 5)
    expected = [[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 0]]
    assert apart.int().tolist() == expected
    visual, speech = (F.normalize(torch.randn(4, 5, 8), dim=-1) for _ in range(2))
    similarity = torch.einsum("itd,jtd->ij", visual, speech) / 5 * 3
    kept = similarity.masked_fill(~(apart | torch.eye(4).bool()), float("-inf"))
    loss = -(kept.log_softmax(0).diagonal() + kept.log_softmax(1).diagonal()).mean() / 2
    torch.testing.assert_close(contrastive(features(visual, speech), torch.tensor(3.0), apart), loss)


def test_one_window_alone_is_refused_where_it_is_learnt_from() -> None:
    visual, speech = (F.normalize(torch.randn(1, 5, 8), dim=-1) for _ in range(2))
    others, scale = F.normalize(torch.randn(1, 2, 5, 8), dim=-1), torch.tensor(3.0)
    none = torch.zeros(1, 2, dtype=torch.bool)
    for alone in (features(visual, speech), features(visual, speech, others, none)):
        with pytest.raises(
            DubbenchError, match=r"a batch of one window has nothing to be told from.* --data\.batch_size 2"
        ):
            contrastive(alone, scale)
        with torch.no_grad():
            assert contrastive(alone, scale) == 0
    assert contrastive(features(visual, speech, others), scale) > 0


def test_contrastive_is_symmetric_and_means_over_frames() -> None:
    visual, speech = (F.normalize(torch.randn(5, 3, 8), dim=-1) for _ in range(2))
    scale = torch.tensor(7.0)
    loss = contrastive(features(visual, speech), scale)
    torch.testing.assert_close(loss, contrastive(features(speech, visual), scale))
    similarity = torch.stack([(visual[:, None] * speech[None]).sum(-1)[..., t] for t in range(3)]).mean(0) * scale
    rows = -similarity.log_softmax(1).diagonal().mean()
    columns = -similarity.log_softmax(0).diagonal().mean()
    torch.testing.assert_close(loss, (rows + columns) / 2)
    torch.testing.assert_close(loss, contrastive(features(visual.repeat(1, 2, 1), speech.repeat(1, 2, 1)), scale))


def test_found_in_clip_is_over_each_windows_own_chance() -> None:
    """Right among three, right of one, wrong among two, and alone."""
    visual = torch.tensor([1.0, 0.0]).expand(4, 1, 2)
    speech = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.6, 0.8], [1.0, 0.0]])[:, None]
    others = torch.tensor([[[0.6, 0.8], [0, 1]], [[0, 1], [1, 0]], [[0.8, 0.6], [1, 0]], [[1, 0], [1, 0]]])[:, :, None]
    there = torch.tensor([[1, 1], [1, 0], [1, 0], [0, 0]]).bool()
    assert found_in_clip(Features(visual, speech, others.float(), there)).item() == pytest.approx((3 + 2 + 0) / 3)


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes with half of the windows each find."""
    folder = tmp_path_factory.mktemp("halves")
    command = [sys.executable, "-m", "tests.models.g4g.two_processes", str(folder)]
    workers = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(2)]
    try:
        assert [worker.wait(300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    return folder


@pytest.mark.parametrize("kind", [Encoders, Drawn])
def test_two_processes_with_half_the_batch_have_the_same_gradient(halves: Path, kind: type[nn.Module]) -> None:
    """Eqs. 8 to 10 and 12, and eq. 16."""
    parts = [torch.load(halves / f"{kind.__name__}{rank}.pt", weights_only=True) for rank in range(2)]
    whole = gradients(kind(), slice(0, WINDOWS))
    assert set(whole) == set(parts[0])
    torch.testing.assert_close((parts[0].pop("loss") + parts[1].pop("loss")) / 2, whole.pop("loss"))
    for name, gradient in whole.items():
        assert gradient.abs().max() > 1e-6, name
        for part in parts:
            torch.testing.assert_close(part[name], gradient, atol=1e-6, rtol=1e-3)


def test_attribute_is_one_less_the_cosine() -> None:
    source, reference = torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]]), torch.tensor([[4.0, 3.0], [-2.0, 0.0]])
    assert attribute(source, reference, ["a", "a"]).item() == pytest.approx((1 - 24 / 25 + 2) / 2, abs=1e-6)


def test_attribute_keeps_speakers_apart() -> None:
    """Features that are one and the same for all are the worst, and not the best, where speakers differ."""
    same = torch.ones(3, 1, 2)
    assert attribute(same, same[:, 0], ["a", "b", "b"]).item() == pytest.approx(1 - 0.5, abs=1e-6)
    source = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[0.6, 0.8]]])
    # a's cosines with the others are 0 and 0.6, b's with a 0, c's 0.6 with a and 0.8 with b.
    far = (0.1 / 2 + 0.3 / 2 + (0.1 + 0.3) / 2) / 3
    assert attribute(source, source[:, 0], ["a", "b", "c"]).item() == pytest.approx(far, abs=1e-6)
    assert attribute(source, source[:, 0], ["a", "a", "a"]).item() == pytest.approx(0, abs=1e-6)


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
