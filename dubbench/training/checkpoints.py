"""When checkpoints are written and how: whole ones, the last two of them, beside the training and not in its way."""

import os
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import AsyncCheckpointIO

from dubbench.core.files import atomic

CHECKPOINT = Path("checkpoints") / "last.ckpt"
BEST, PREVIOUS = CHECKPOINT.with_name("best.ckpt"), CHECKPOINT.with_name("previous.ckpt")
# Marks a checkpoint whose validation was the best so far.
IS_BEST = "dubbench_best"


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it; the one that was ``last.ckpt`` stays as ``previous.ckpt``.

    One that `KeepsBest` marked is ``best.ckpt``, too: a second name, and no second writing.

    Lightning's own writes it into the folder for temporary files and moves it. From one file system to another, as on
    most clusters, that is a copy over the old checkpoint, and a kill leaves neither; what it wrote stays behind, too.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ANN401
        """Write a checkpoint; addresses of other file systems are Lightning's."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        buffer = BytesIO()  # in which torch writes what a full disk would make an error of no kind
        torch.save(checkpoint, buffer)
        path = Path(path)
        with atomic(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
            if path.name == CHECKPOINT.name and path.is_file():
                _keep(path, path.with_name(PREVIOUS.name))
        if path.name == CHECKPOINT.name and checkpoint.get(IS_BEST):
            _keep(path, path.with_name(BEST.name))


def _keep(path: Path, kept: Path) -> None:
    """Give a file a second name, in place of whatever had it; no byte is copied where the file system can do so."""
    with atomic(kept) as temporary:
        temporary.unlink()
        try:
            os.link(path, temporary)
        except OSError:
            temporary.write_bytes(path.read_bytes())


def in_background() -> AsyncCheckpointIO:
    """`WholeCheckpoints` that are written while the training goes on; it waits for the last ones at its end."""
    return AsyncCheckpointIO(WholeCheckpoints())


def last_checkpoint(out: Path) -> ModelCheckpoint:
    """What writes every epoch under one name."""
    return ModelCheckpoint(
        dirpath=out / CHECKPOINT.parent,
        filename=CHECKPOINT.stem,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


class KeepsBest(L.Callback):
    """Marks the checkpoints of those epochs whose validation had the highest value so far.

    Args:
        monitor: name of the value.

    Attributes:
        score: the highest value so far; None before the first.
    """

    def __init__(self, monitor: str) -> None:
        self._monitor = monitor
        self.score: float | None = None
        self._step: int | None = None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the value; not at that of the few batches that are gone through before the training."""
        value = trainer.callback_metrics.get(self._monitor)
        if trainer.sanity_checking or value is None:
            return
        if self.score is None or float(value) > self.score:
            self.score, self._step = float(value), trainer.global_step

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Mark what is written at the step of that validation, whoever writes it."""
        checkpoint[IS_BEST] = self._step == trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        """The highest value so far, for a training that goes on."""
        return {"score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `state_dict`."""
        self.score = state_dict["score"]


class EveryMinutes(L.Callback):
    """Writes ``last.ckpt`` within epochs, too, when it has grown old. Lightning's own does so for one optimiser only.

    Args:
        out: the run's folder.
        minutes: from one checkpoint to the next.
    """

    def __init__(self, out: Path, minutes: float) -> None:
        self._path, self._seconds = out / CHECKPOINT, 60 * minutes
        self._written = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Write where the first process' clock says so: clocks differ, and all must write together."""
        due = time.monotonic() - self._written >= self._seconds
        complete = (batch_idx + 1) % int(getattr(pl_module, "batches_a_step", 1)) == 0
        # The epoch's last batch is followed by a checkpoint anyway.
        if trainer.is_last_batch or not complete or not trainer.strategy.broadcast(due):
            return
        trainer.save_checkpoint(self._path)
        self._written = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A checkpoint is written now."""
        self._written = time.monotonic()


class ValidatesAtTheEnd(L.Callback):
    """Lets a training whose last epoch is cut short be validated there, as every other epoch's end is."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Lightning validates where it is asked to stop, but not where it runs out of steps."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True
