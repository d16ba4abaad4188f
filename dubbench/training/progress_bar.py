"""How far a training is: which step of how many, how fast, what it waits for, and the time left over all of it."""

import time

import lightning as L
from lightning.pytorch.callbacks import ProgressBar

from dubbench.core.console import note
from dubbench.core.progress import Steps, clock, counted

# Steps after which a training says how long it will take: the first ones are slower than the rest.
TOLD_AFTER = 50


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
        self._rate = Rate()

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
            self._rate = Rate()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """The batch is here."""
        self._rate.begins()

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
        data = getattr(trainer, "datamodule", None)
        self._rate.ends(0 if data is None else int(data.batch_size_for(pl_module)))
        self._steps.update(self._task, completed=extent(trainer)[0])
        if self._steps.due():
            # A bar has no room for every term; a log has.
            told = losses(trainer, all_terms=not self._steps.console.is_terminal)
            self._steps.update(self._task, loss=told + self._rate.told(), refresh=True)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What passes until the next batch is no waiting for data."""
        self._rate.pauses()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Nor is the writing of a checkpoint."""
        self._rate.pauses()

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


class Rate:
    """How many windows a second a training goes through, and what share of the time it waits for them."""

    def __init__(self) -> None:
        self._ended: float | None = None
        self._begun = time.monotonic()
        self._waited = self._worked = 0.0
        self._windows = 0

    def begins(self) -> None:
        """A batch was handed over."""
        self._begun = time.monotonic()
        if self._ended is not None:
            self._waited += self._begun - self._ended

    def ends(self, windows: int) -> None:
        """A batch of so many windows was trained on."""
        self._ended = time.monotonic()
        self._worked += self._ended - self._begun
        self._windows += windows

    def pauses(self) -> None:
        """Something else than training comes now."""
        self._ended = None

    def told(self) -> str:
        """What the time since it was last asked gave, which is forgotten."""
        seconds = self._waited + self._worked
        if not (seconds and self._windows):
            return ""
        said = f", {self._windows / seconds:.3g} windows/s, {self._waited / seconds:.0%} of it waiting for data"
        self._waited = self._worked = 0.0
        self._windows = 0
        return said


class Foretelling(L.Callback):
    """Says after some steps how long the whole training will take, and how far apart its checkpoints lie.

    Args:
        epoch: steps of one.
    """

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._begun: tuple[float, int] | None = None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Count from the end of the first step on, which has to get everything going."""
        if not trainer.is_global_zero:
            return
        done, total, unit = extent(trainer)
        if self._begun is None:
            self._begun = time.monotonic(), done
        elif done == self._begun[1] + TOLD_AFTER:
            each = (time.monotonic() - self._begun[0]) / TOLD_AFTER
            left = f"about {clock(each * (total - done))} for the {total - done:,} {unit} left, " if total else ""
            note(f"{each:.3g} s a step: {left}a checkpoint every {clock(each * self._epoch)}")


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
    model = trainer.lightning_module
    if trainer.max_steps != -1:
        # Lightning counts every optimiser's.
        optimizers = int(getattr(model, "optimizers_a_step", lambda: 1)())
        return trainer.global_step // optimizers, -(-trainer.max_steps // optimizers), "steps"
    each = int(getattr(model, "batches_a_step", 1))
    total = None if trainer.max_epochs in (None, -1) else round(trainer.max_epochs * trainer.num_training_batches)
    return batches(trainer) // each, total and total // each, "steps"


def losses(trainer: L.Trainer, *, all_terms: bool) -> str:
    """The loss of the batch that was just trained on, and its terms; looking at them waits for the device."""
    found = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("train_")}
    order = [name for name in sorted(found, key=lambda name: name != "train_loss") if all_terms or name == "train_loss"]
    return "".join(f", {name.removeprefix('train_')} {float(found[name]):.4g}" for name in order)
