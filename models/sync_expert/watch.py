"""What is told of a sync expert while it trains: that it learns nothing, or only its training clips."""

from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from dubbench.datamodules.batch import Batch

CHANCE = 0.6931  # log 2: the binary cross-entropy of one who guesses
RESTING = 1e-3  # a loss no further from chance than this has learnt nothing
ACCURACY = "val_pair_accuracy"


class SyncLossStuck(L.Callback):
    """Warn once when the loss rests on that of guessing, as Wav2Lip's users saw for days.

    Args:
        patience: batches in a row.
    """

    def __init__(self, patience: int = 1000) -> None:
        self.patience = patience
        self.stuck: Tensor | int = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Count on the device; look only now and then, since looking waits for the device."""
        near = (trainer.callback_metrics["train_loss"] - CHANCE).abs() < RESTING
        self.stuck = (self.stuck + 1) * near
        if (batch_idx + 1) % min(self.patience, 100) == 0 and int(self.stuck) >= self.patience:
            rank_zero_warn(
                f"the sync loss has rested at {CHANCE:.3f}, that of guessing, for {int(self.stuck)} batches: check "
                "that speech and frames belong together, lower lr, or take objective: contrastive"
            )
            self.stuck = 0


class Overfitting(L.Callback):
    """Warn once when the loss on training clips goes on falling while fewer pairs of unseen clips are ordered rightly.

    What it has seen travels in checkpoints, so that a resumed training is told the same.

    Args:
        patience: validations since the best one.
        margin: how much lower than the best one's the pair accuracy must be, as validation windows are few.
    """

    def __init__(self, patience: int = 3, margin: float = 0.02) -> None:
        self.patience, self.margin = patience, margin
        self.best: dict[str, float] = {}
        self.since, self.told = 0, False
        self._loss: Tensor | float = 0.0
        self._validated = False

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin a mean of the loss."""
        self._loss, self._validated = 0.0, False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Follow the epoch's mean on the device."""
        self._loss = self._loss + (trainer.callback_metrics["train_loss"] - self._loss) / (batch_idx + 1)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that the accuracy is this epoch's."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare the epoch with the best one."""
        if not self._validated or self.told:
            return
        loss, accuracy = float(self._loss), float(trainer.callback_metrics[ACCURACY])
        if not self.best or accuracy > self.best["accuracy"]:
            batches = trainer.fit_loop.epoch_loop.total_batch_idx + 1
            self.best = {"accuracy": accuracy, "loss": loss, "epoch": trainer.current_epoch, "batches": batches}
            self.since = 0
            return
        self.since += 1
        if self.since < self.patience or accuracy > self.best["accuracy"] - self.margin or loss >= self.best["loss"]:
            return
        self.told = True
        rank_zero_warn(
            f"the sync expert has overfitted since epoch {self.best['epoch']:.0f}: its loss on training clips fell "
            f"from {self.best['loss']:.3f} to {loss:.3f}, and the pairs of unseen clips that it orders rightly from "
            f"{self.best['accuracy']:.3f} to {accuracy:.3f}; take checkpoints/best.ckpt, which is of that epoch, or "
            f"train anew with --model.iterations {self.best['batches']:.0f}, more clips, dropout or weight_decay"
        )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training must know."""
        return {"best": self.best, "since": self.since, "told": self.told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a training was."""
        self.best, self.since, self.told = state_dict["best"], state_dict["since"], state_dict["told"]
