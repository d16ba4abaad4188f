"""A training step never asks the device for a number, which would let the host wait until all work is done."""

import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dubbench.training.finite import StaysFinite
from tests.models import every_method
from tests.models.conftest import trainer
from tests.models.every_method import METHODS
from tests.models.talkers import data

STEPS = 5
COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return every_method.make(tmp_path_factory.mktemp("prepared"))


class Anywhere(CPUAccelerator):
    """Takes any device for its own."""

    def setup_device(self, device: torch.device) -> None:
        pass


class Nowhere(SingleDeviceStrategy):
    """Trains on a device without memory, where whatever looks at a value raises."""

    def __init__(self) -> None:
        super().__init__(torch.device("meta"), accelerator=Anywhere())

    def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        """Before the first step Lightning counts batches on the device."""
        return torch.ones(())

    def teardown(self) -> None:
        """There is nothing to bring back."""


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch gives its modes no types
    """Remembers where a value of the device was read, or a tensor of the host copied to it and waited for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.found: list[str] = []
        self.watching = False

    def watch(self, on: bool) -> None:
        self.watching = on

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        devices = {leaf.device.type for leaf in tree_leaves(args) if isinstance(leaf, Tensor)}
        if func is torch.ops.aten._local_scalar_dense.default and "meta" in devices:
            if self.watching:
                self.found.append(f"read: {_where()}")
            return True
        result = func(*args, **(kwargs or {}))
        if (
            self.watching
            and func in COPIES
            and {*devices, result.device.type} == {"cpu", "meta"}
            and not (kwargs or {}).get("non_blocking")
        ):
            self.found.append(f"copied: {_where()}")
        return result


def _where() -> str:
    frames = [frame for frame in traceback.extract_stack() if "/torch/" not in frame.filename]
    return ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-5:-2])


class Each(L.Callback):
    """Calls something when a step begins and when it has ended, all other callbacks' part in it, too."""

    def __init__(self, switch: Callable[[bool], None]) -> None:
        self.switch, self.steps = switch, 0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # The model's own hook is the last of all.
        setattr(pl_module, "on_train_batch_end", self.ended)  # noqa: B010

    def on_train_batch_start(self, *args: object) -> None:
        self.switch(True)

    def ended(self, *args: object) -> None:
        self.switch(False)
        self.steps += 1


@pytest.mark.parametrize("method", METHODS)
def test_a_step_reads_nothing_from_the_device_and_waits_for_no_copy(
    root: Path, tmp_path: Path, expert_checkpoint: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There is none on this device, and in 32 bits nothing is cast.
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    model, waits = METHODS[method](expert_checkpoint, False), Waits()
    each = Each(waits.watch)
    fitting = trainer(
        tmp_path,
        accelerator="auto",
        devices="auto",
        strategy=Nowhere(),
        max_epochs=1,
        limit_val_batches=0,
        callbacks=[StaysFinite(tmp_path), each],
    )
    # At the end Lightning brings back what was logged.
    with waits, pytest.raises(NotImplementedError, match="no data"):
        fitting.fit(model, datamodule=data(root, windows_per_epoch=2 * STEPS, val_windows=0))
    assert waits.found == []
    assert each.steps == STEPS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, whose driver tells of what waits for it")
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_is_not_waited_for(root: Path, tmp_path: Path, expert_checkpoint: Path, method: str) -> None:
    model = METHODS[method](expert_checkpoint, False)
    each = Each(lambda on: torch.cuda.set_sync_debug_mode("error" if on else "default"))
    fitting = trainer(tmp_path, accelerator="gpu", max_epochs=1, limit_val_batches=0, callbacks=[each])
    fitting.fit(model, datamodule=data(root, windows_per_epoch=2 * STEPS, val_windows=0))
    assert each.steps == STEPS
