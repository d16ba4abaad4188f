import math

import pytest
import torch

from dubbench.models.sync_expert.losses import contrastive_loss, sync_loss, sync_probability


def test_sync_probability_and_loss_by_hand() -> None:
    lips = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    speech = torch.tensor([[4.0, 3.0], [0.0, 2.0]])
    probability = sync_probability(lips, speech)
    torch.testing.assert_close(probability, torch.tensor([0.96, 0.0]))
    assert sync_loss(probability[:1], in_sync=True).item() == pytest.approx(-math.log(0.96))
    assert sync_loss(probability[:1], in_sync=False).item() == pytest.approx(-math.log(0.04), rel=1e-4)
    assert sync_loss(torch.tensor([0.0, 1.0, 1.0 + 1e-6]), in_sync=False).isfinite()
    assert sync_loss(torch.tensor([0.0, 1.0, 1.0 + 1e-6]), in_sync=True).isfinite()


def test_contrastive_loss_by_hand() -> None:
    logits = torch.tensor([[[2.0, 0.0, 9.0], [1.0, 3.0, 0.0], [9.0, 0.0, 1.0]]])
    keep = torch.ones(3, 3, dtype=torch.bool)
    keep[0, 2] = keep[2, 0] = False
    rows = [math.log(1 + math.exp(-2)), math.log(math.exp(1) + math.exp(3) + 1) - 3, math.log(1 + math.exp(1)) - 1]
    columns = [math.log(math.exp(2) + math.exp(1)) - 2, math.log(2 + math.exp(3)) - 3, math.log(1 + math.exp(1)) - 1]
    assert contrastive_loss(logits, keep).item() == pytest.approx((sum(rows) + sum(columns)) / 6)
