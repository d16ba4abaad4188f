"""How far a training is: which batch of how many, and the time left over all of it."""

import lightning as L
from lightning.pytorch.callbacks import ProgressBar

from dubbench.core.progress import Steps, counted


class TrainingProgress(ProgressBar):
    """One bar over the whole training where a terminal is, elsewhere a line now and then.

    Lightning's own bars are of an epoch each, which says little of methods whose epochs last seconds.

    Args:
        step: what is going on.
    """

    def __init__(self, step: str) -> None:
        super().__init__()
        self._step, self._enabled = step, True
        self._steps: Steps | None = None

    def disable(self) -> None:
        """Show nothing, as on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show progress."""
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin at what a resumed run has done."""
        if self._enabled:
            done, total, unit = extent(trainer)
            self._steps = counted(self._step, unit + "{task.fields[loss]}").__enter__()
            self._task = self._steps.add_task("", total=total, completed=done, before=done, loss="")

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Count; the loss is looked at only where it is shown, since looking waits for the device."""
        if self._steps is None:
            return
        self._steps.update(self._task, completed=extent(trainer)[0])
        if self._steps.due():
            loss = trainer.callback_metrics.get("train_loss")
            shown = "" if loss is None else f", loss {float(loss):.4g}"
            self._steps.update(self._task, loss=shown, refresh=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the last state on the screen."""
        self._close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Give the screen back."""
        self._close()

    def _close(self) -> None:
        if self._steps is not None:
            self._steps.__exit__(None, None, None)
            self._steps = None


class Beginning(L.Callback):
    """Remembers how many batches a run had seen when it began.

    Attributes:
        batches: None if no batch was left to train.
    """

    batches: int | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at what a resumed run has done."""
        self.batches = batches(trainer)


def batches(trainer: L.Trainer) -> int:
    """Training batches that a run has seen, before it was resumed, too."""
    return trainer.fit_loop.epoch_loop.total_batch_idx + 1


def extent(trainer: L.Trainer) -> tuple[int, int | None, str]:
    """How far a training is, of how much (None: until it is stopped), and what that counts."""
    if trainer.max_steps != -1:
        return trainer.global_step, trainer.max_steps, "optimiser steps"
    total = None if trainer.max_epochs in (None, -1) else round(trainer.max_epochs * trainer.num_training_batches)
    return batches(trainer), total, "batches"
