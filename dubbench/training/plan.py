"""What a training will do, computed from its config before it does: steps, batches, checkpoints and their bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.models.adversarial import AdversarialModel
from dubbench.models.base import DubbingModel

# Adam keeps two numbers a parameter.
MOMENTS = 2


@dataclass(frozen=True)
class TrainingPlan:
    """How long a training is, and what it writes.

    Attributes:
        processes: that train together.
        batch: windows a batch of all of them.
        accumulated: batches a step.
        steps: optimiser steps in all; None where the trainer's own options end it.
        epoch: steps from one validation and checkpoint to the next.
        validated: whether there is validation.
        best: value by which the best checkpoint is kept; empty for none.
        checkpoint: bytes of one checkpoint, about; 0 if none is kept.
        networks: what is trained or frozen, and its parameters.
        corpora: what it learns from.
        folder: the run's.
        precision: of the trainer.
        workers: loader processes of each training process.
    """

    processes: int
    batch: int
    accumulated: int
    steps: int | None
    epoch: int
    validated: bool
    best: str
    checkpoint: int
    networks: Sequence[str]
    corpora: Sequence[str]
    folder: Path
    precision: str
    workers: int

    @property
    def epochs(self) -> int | None:
        """Validations, and checkpoints of the kind `last`."""
        return None if self.steps is None else -(-self.steps // self.epoch)

    @property
    def bytes_written(self) -> int | None:
        """Bytes of all checkpoints together; the best is one of them under a second name."""
        return None if self.epochs is None else self.epochs * self.checkpoint

    def lines(self) -> list[str]:
        """The plan for people."""
        each = f"{self.batch // self.processes} each, " if self.processes > 1 else ""
        gathered = f", {self.accumulated} batches a step" if self.accumulated > 1 else ""
        length = "as the trainer's options say" if self.steps is None else f"{self.steps:,} steps"
        epochs = "" if self.epochs is None else f", {_counted(self.epochs, 'epoch')} of {self.epoch:,}"
        times = "validation after each epoch" if self.epochs is None else _counted(self.epochs, "validation")
        validations = f", {times}" if self.validated else ", no validation"
        kinds = f"last.ckpt, previous.ckpt{f' and best.ckpt (by {self.best})' if self.best else ''}"
        total = self.bytes_written
        written = "" if total is None else f", {_size(total)} in all"
        keeps = (
            f"keeps {self.folder / 'checkpoints'}: {kinds} after each epoch, {_size(self.checkpoint)} each{written}"
            if self.checkpoint
            else "keeps no checkpoint"
        )
        return [
            f"trains {', '.join(self.networks)}",
            f"on {', '.join(self.corpora)}",
            f"by {_counted(self.processes, 'process', 'es')}, batches of {self.batch} windows ({each}"
            f"{self.workers} loader workers){gathered}, precision {self.precision}",
            f"for {length}{epochs}{validations}",
            keeps,
        ]


def plan(
    model: DubbingModel,
    data: DubbingDataModule,
    *,
    processes: int,
    steps: int | None,
    folder: Path,
    precision: str,
    keeps: bool,
) -> TrainingPlan:
    """Work out what a training will do, as `TrainingPlan` has it; ``keeps`` says whether checkpoints are written."""
    return TrainingPlan(
        processes=processes,
        batch=data.batch_size_for(model),
        accumulated=model.batches_a_step,
        steps=steps,
        epoch=data.batches_per_epoch(model) // model.batches_a_step,
        validated=bool(data.val_windows),
        best=model.best_by if data.val_windows and keeps else "",
        checkpoint=checkpoint_bytes(model) if keeps else 0,
        networks=networks(model),
        corpora=[f"{part['dataset']} ({part['clips']:,} clips, {part['share']:.0%})" for part in data.corpora()]
        or data.datasets,
        folder=folder,
        precision=precision,
        workers=data.workers,
    )


def checkpoint_bytes(model: DubbingModel) -> int:
    """About how large a checkpoint is: weights, averages and what Adam keeps of what learns."""
    state = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    learning = sum(value.numel() * value.element_size() for value in model.parameters() if value.requires_grad)
    face = model.face_model
    stored = sum(value.numel() * value.element_size() for value in face.arrays().values()) if face is not None else 0
    return int(state + MOMENTS * learning + stored)


def networks(model: DubbingModel) -> list[str]:
    """What is trained, each with its parameters, and what is frozen beside it."""
    if isinstance(model, AdversarialModel):
        parts: dict[str, nn.Module] = {"generator": model.generator}
        if model.adversary is not None:
            parts["discriminator"] = model.adversary
    else:
        parts = {"network": model}
    told = []
    for name, part in parts.items():
        trained = [value.numel() for value in part.parameters() if value.requires_grad]
        frozen = sum(value.numel() for value in part.parameters()) - sum(trained)
        beside = f" and {_count(frozen)} frozen" if frozen else ""
        told.append(f"{name} ({_count(sum(trained))} parameters{beside})")
    for name, net in model.frozen.items():
        told.append(f"{name} ({_count(sum(value.numel() for value in net.parameters()))}, frozen)")
    return told


def _counted(number: int, what: str, plural: str = "s") -> str:
    return f"{number:,} {what}{plural if number != 1 else ''}"


def _count(number: int) -> str:
    return f"{number / 1e6:,.2f} M"


def _size(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"
