import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dubbench.errors import DubbenchError
from dubbench.metrics import StyleSim, style_similarity


class Ordered(nn.Module):
    """A style encoder of DiffPoseTalk's shape, small and random: positions enter, then attention, then the mean."""

    def __init__(self, width: int = 6, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter = nn.Linear(width, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout, nn.functional.gelu, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, sequence: Tensor) -> Tensor:
        time = torch.arange(sequence.shape[1])[:, None] / 10 ** torch.linspace(0, 2, 8)
        hidden = self.enter(sequence.float()) * torch.cat([time.sin(), time.cos()], dim=1)
        styles: Tensor = self.layers(hidden).mean(dim=1)
        return styles


def mean_only(sequence: Tensor) -> Tensor:
    """An encoder that ignores order."""
    return sequence.mean(dim=1)


def speaking(clips: int, frames: int, width: int = 6, seed: int = 0) -> Tensor:
    """Smooth sequences with a drift, so that a reversed one is another."""
    random = torch.Generator().manual_seed(seed)
    steps = torch.randn(clips, frames, width, generator=random, dtype=torch.float64) + 0.05
    return steps.cumsum(dim=1) / math.sqrt(frames)


def cosine(left: Tensor, right: Tensor) -> Any:  # noqa: ANN401
    a, b = left.double().detach().numpy(), right.double().detach().numpy()
    return np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))


def test_equal_sequences_are_one_and_a_reversed_one_is_less() -> None:
    sequence, encoder = speaking(3, 90), Ordered()
    assert style_similarity(encoder, sequence, sequence).tolist() == pytest.approx([1.0] * 3, abs=1e-6)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    for other in (sequence.flip(1), sequence[:, order]):
        assert float(style_similarity(encoder, other, sequence).max()) < 0.99
        assert style_similarity(mean_only, other, sequence).tolist() == pytest.approx([1.0] * 3, abs=1e-12)


def test_a_style_and_its_opposite() -> None:
    sequence = speaking(2, 120)
    assert style_similarity(mean_only, -sequence, sequence).tolist() == pytest.approx([-1.0] * 2, abs=1e-12)
    assert style_similarity(mean_only, 3 * sequence, sequence).tolist() == pytest.approx([1.0] * 2, abs=1e-12)


@pytest.mark.parametrize(
    ("frames", "starts"), [(1, [0]), (60, [0]), (100, [0]), (101, [0, 1]), (200, [0, 100]), (250, [0, 100, 150])]
)
def test_windows_follow_on_each_other_and_the_last_ends_with_the_clip(frames: int, starts: list[int]) -> None:
    pred, target, encoder = speaking(2, frames), speaking(2, frames, seed=1), Ordered()
    values = style_similarity(encoder, pred, target)
    assert values.dtype == torch.float64
    for k in range(2):
        cuts = [slice(start, min(start + 100, frames)) for start in starts]
        wanted = [cosine(encoder(pred[k : k + 1, cut]), encoder(target[k : k + 1, cut])) for cut in cuts]
        assert float(values[k]) == pytest.approx(np.mean(wanted), abs=1e-5)


def test_the_window_can_be_chosen() -> None:
    pred, target = speaking(1, 30), speaking(1, 30, seed=1)
    wanted = [
        cosine(pred[0, cut].mean(0), target[0, cut].mean(0)) for cut in (slice(0, 10), slice(10, 20), slice(20, 30))
    ]
    assert float(style_similarity(mean_only, pred, target, window=10)) == pytest.approx(np.mean(wanted), abs=1e-12)


def test_vertices_are_flattened() -> None:
    pred, target = (speaking(2, 40, 30, seed) for seed in (0, 1))
    shaped = style_similarity(mean_only, pred.view(2, 40, 10, 3), target.view(2, 40, 10, 3))
    torch.testing.assert_close(shaped, style_similarity(mean_only, pred, target), rtol=0, atol=0)


def test_refusals() -> None:
    pred = speaking(2, 40)
    with pytest.raises(DubbenchError, match="equal lengths"):
        style_similarity(mean_only, pred[:, 1:], pred)
    for wrong in (pred[0], pred[:, :0], pred.int()):
        with pytest.raises(DubbenchError, match=r"\[N, T, V\]"):
            style_similarity(mean_only, wrong, wrong)
    with pytest.raises(DubbenchError, match="not finite"):
        style_similarity(mean_only, pred, pred / 0)
    with pytest.raises(DubbenchError, match="one vector a clip"):
        style_similarity(lambda sequence: sequence, pred, pred)
    with pytest.raises(DubbenchError, match="window of 0"):
        style_similarity(mean_only, pred, pred, window=0)


def test_class_means_over_clips_and_runs_the_encoder_as_at_inference() -> None:
    pred, target, encoder = speaking(5, 130), speaking(5, 130, seed=1), Ordered(dropout=0.5)
    metric = StyleSim(encoder, window=50).train()
    metric.update(pred[:2], target[:2])
    metric.update(pred[2:], target[2:])
    assert encoder.training
    wanted = style_similarity(encoder.eval(), pred, target, window=50).mean()
    torch.testing.assert_close(metric.compute(), wanted, rtol=1e-6, atol=0)
    assert metric.higher_is_better
