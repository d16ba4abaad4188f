"""A training whose numbers are no numbers any more ends, with the last good weights kept."""

from pathlib import Path

import lightning as L
import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.models.finite import not_finite
from dubbench.training.progress_bar import batches

# Batches between two looks at losses on a device that one has to wait for.
EVERY = 50


class StaysFinite(L.Callback):
    """Ends a training when a logged loss or, at the end of an epoch, a weight is not finite.

    Lightning saves checkpoints after all other callbacks, so that the one of that epoch is never written.

    Args:
        checkpoint: what the training writes, for what is said.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        self._good: Tensor | None = None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Look at the losses: at once on a CPU, elsewhere now and then, since looking waits for the device."""
        losses = self._losses(trainer)
        if not losses:
            return
        good = torch.isfinite(torch.stack([value.detach().float().mean() for value in losses.values()])).all()
        self._good = good if self._good is None else self._good & good
        if pl_module.device.type == "cpu" or (batch_idx + 1) % EVERY == 0:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the losses and at all weights."""
        self._look(trainer)
        if name := not_finite(pl_module.state_dict()):
            self._stop(trainer, f"the weights {name}")

    def _look(self, trainer: L.Trainer) -> None:
        if self._good is not None and not self._good:
            wrong = [name for name, value in self._losses(trainer).items() if not torch.isfinite(value).all()]
            self._stop(trainer, f"the loss {wrong[0].removeprefix('train_')}" if wrong else "a loss")
        self._good = None

    @staticmethod
    def _losses(trainer: L.Trainer) -> dict[str, Tensor]:
        return {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train_")}

    def _stop(self, trainer: L.Trainer, what: str) -> None:
        kept = f"{self._checkpoint} keeps the last good weights" if self._checkpoint.is_file() else "nothing was kept"
        raise DubbenchError(
            f"{what} of this training is not finite any more at batch {batches(trainer)}, so it was ended; {kept}; "
            "train anew with a lower --model.optim.lr"
        )
