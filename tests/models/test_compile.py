"""What `compile` speeds up is one graph a network, and stays so."""

from pathlib import Path

import lightning as L
import pytest
import torch
from torch._dynamo.utils import counters

from tests.models import every_method
from tests.models.conftest import trainer
from tests.models.every_method import METHODS
from tests.models.talkers import data, state

STEPS, SETTLED = 6, 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return every_method.make(tmp_path_factory.mktemp("prepared"))


class Graphs(L.Callback):
    """How many graphs there are after each batch."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_train_batch_end(self, *args: object) -> None:
        self.counts.append(counters["stats"]["unique_graphs"])


@pytest.mark.parametrize("method", METHODS)
def test_networks_are_whole_graphs_that_are_made_once(
    root: Path, tmp_path: Path, expert_checkpoint: Path, method: str
) -> None:
    torch._dynamo.reset()
    counters.clear()
    states = []
    for backend in ("eager", False):
        model, graphs = METHODS[method](expert_checkpoint, backend), Graphs()
        start = state(model)
        fitting = trainer(tmp_path, max_epochs=1, limit_val_batches=0, callbacks=[graphs])
        L.seed_everything(0, verbose=False)
        fitting.fit(model, datamodule=data(root, windows_per_epoch=2 * STEPS, val_windows=0))
        states.append(state(model))
        if backend:
            assert dict(counters["graph_break"]) == {}
            assert len(graphs.counts) == STEPS
            assert graphs.counts[SETTLED - 1] >= len(model.compiled())
            assert graphs.counts[SETTLED:] == [graphs.counts[SETTLED - 1]] * (STEPS - SETTLED), "compiled again"
    compiled, plain = states
    assert any(not torch.equal(compiled[name], start[name]) for name in start)
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-4, msg=name)
