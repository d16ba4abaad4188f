"""Fingerprints of weights that are recorded in results must not change."""

import torch
from torch import nn

from dubbench.core.weights import weights_sha256


def test_digest_is_of_names_and_bytes() -> None:
    state = {"a": torch.arange(6, dtype=torch.float32).reshape(2, 3), "steps": torch.tensor(3)}
    assert weights_sha256(state) == "bebbc9c1af2338e10d71fd824bcd3b6c49e7f5370f4eb5f71591001ddea4cf56"
    assert weights_sha256({**state, "a": state["a"].T.contiguous().T}) == weights_sha256(state)
    assert weights_sha256({"b": state["a"], "steps": state["steps"]}) != weights_sha256(state)
    assert weights_sha256({**state, "a": state["a"] + 1}) != weights_sha256(state)
    assert weights_sha256({**state, "a": state["a"].bfloat16()}) != weights_sha256(state)
    layer = nn.Linear(2, 2)
    before = weights_sha256(layer.state_dict())
    with torch.no_grad():
        layer.bias.add_(1)
    assert weights_sha256(layer.state_dict()) != before
