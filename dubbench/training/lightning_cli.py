"""``dubbench fit`` and ``validate``: LightningCLI with short names, one folder a run, and what is trained first."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng

from dubbench.core.config_names import class_of_model, expand, label, names
from dubbench.core.console import note, quiet, show
from dubbench.core.files import output_folder, write_text
from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.errors import DubbenchError, UsageError
from dubbench.models.base import DubbingModel, class_path
from dubbench.models.checkpoint import read_checkpoint
from dubbench.training.build import build_model
from dubbench.training.checkpoints import (
    BEST,
    CHECKPOINT,
    PREVIOUS,
    EveryMinutes,
    KeepsBest,
    ValidatesAtTheEnd,
    in_background,
    last_checkpoint,
)
from dubbench.training.finite import StaysFinite
from dubbench.training.first_expert import run_words, words_of_expert
from dubbench.training.lost_process import told_of_lost_process
from dubbench.training.plan import TrainingPlan, plan
from dubbench.training.preflight import check_ready
from dubbench.training.progress_bar import Beginning, Foretelling, TrainingProgress, batches
from dubbench.training.wrong_words import told, told_of_trainer, told_of_values

# What Lightning asks of a checkpoint before it looks at the weights.
OF_A_TRAINING = ("pytorch-lightning_version", "epoch", "global_step", "loops", "optimizer_states", "lr_schedulers")
Verb = Literal["fit", "validate"]

# Lightning's advertisement, and its own use of a name that torch 2.14 deprecates: neither is the user's concern.
logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda record: "litlogger" not in record.msg)
warnings.filterwarnings("ignore", message=".*LeafSpec", module=r"lightning\.pytorch\.utilities\._pytree")


class Trainer(L.Trainer):
    """Lightning's trainer with the arguments of ``fit`` that the command line offers.

    Attributes:
        planned_only: whether ``fit`` leaves it at the plan.
        resumed_from: the checkpoint that ``fit`` goes on from, or None.
    """

    planned_only: bool = False
    resumed_from: str | None = None

    def fit(  # type: ignore[override]  # the command line offers no loaders, and loads only tensors
        self, model: DubbingModel, datamodule: DubbingDataModule, ckpt_path: str | None = None
    ) -> None:
        """Train a method on prepared clips.

        Args:
            model: what to train.
            datamodule: what to train on.
            ckpt_path: a checkpoint to go on from, or `last` for the run's own.
        """
        if self.planned_only:
            return
        self.resumed_from = ckpt_path
        try:
            with told_of_trainer(), told_of_lost_process():
                super().fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
        except SystemExit as stop:
            # Lightning makes plain exits of Ctrl-C and SIGTERM, one of them with status 0.
            raise KeyboardInterrupt(
                "training was interrupted; with --ckpt_path last it goes on from its last checkpoint"
            ) from stop

    def validate(  # type: ignore[override]  # as for fit
        self, model: DubbingModel, datamodule: DubbingDataModule, ckpt_path: str
    ) -> None:
        """Measure a checkpoint's losses on held-out windows (`--data.val_split`).

        Args:
            model: what was trained.
            datamodule: what to measure on.
            ckpt_path: the checkpoint.
        """
        with told_of_trainer():
            super().validate(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)


def check_kept(checkpoint: Mapping[str, Any], name: str, keys: Sequence[str] = OF_A_TRAINING) -> None:
    """See that a checkpoint has what Lightning keeps of a training beside its weights.

    Raises:
        DubbenchError: if not.
    """
    if lacking := [key for key in keys if key not in checkpoint]:
        raise DubbenchError(f"{name} holds weights, but no training to go on with ({lacking[0]} is missing)")


@dataclass(frozen=True)
class FinishedRun:
    """What a training left.

    Attributes:
        out: the run's folder.
        checkpoint: its weights; None if none were kept.
        best: name of the value by which it kept its best weights, too; empty if it did not.
        before: batches that it had seen when it began.
        batches: those that it has seen now.
        logs: whether it wrote logs for TensorBoard.
        dubs: whether what was trained dubs videos.
    """

    out: Path
    checkpoint: Path | None
    best: str
    before: int
    batches: int
    logs: bool
    dubs: bool


class SaveConfig(SaveConfigCallback):
    """Keep everything that decided a run as ``config.yaml`` in its folder."""

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Write the parsed configuration; only rank zero gets here."""
        text = self.parser.dump(self.config, skip_none=False, skip_validation=True)
        write_text(Path(trainer.default_root_dir) / "config.yaml", text)


class Telling(L.Callback):
    """Says what a training will do before it begins."""

    def __init__(self, cli: "CLI") -> None:
        self._cli = cli

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Frozen helpers are there by now."""
        if trainer.is_global_zero:
            for line in self._cli.plan().lines():
                note(f"  {line}")


class CLI(LightningCLI):
    """One folder a run: ``config.yaml``, ``checkpoints/last.ckpt`` and the logs."""

    def __init__(self, verb: Verb, args: list[str]) -> None:
        self.verb = verb
        self.beginning = Beginning()
        self.steps: int | None = None
        super().__init__(
            DubbingModel,
            DubbingDataModule,
            trainer_class=Trainer,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            parser_kwargs={"prog": "dubbench", "exit_on_error": False},
            args=args,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Only these: scoring has a command of its own that needs no trainer."""
        return {"fit": {"model", "datamodule"}, "validate": {"model", "datamodule"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--out``, the run's folder, and the length of what is trained first."""
        if self.verb != "fit":
            return
        parser.add_argument("--out", type=str | None, default=None, help="the run's folder (default: runs/MODEL)")
        parser.add_argument(
            "--first_iterations", type=int | None, default=None, help="steps of the sync expert that is trained first"
        )
        parser.add_argument(
            "--save_minutes", type=float | None, default=None, help="minutes between checkpoints within an epoch"
        )
        parser.add_argument("--dry_run", action="store_true", help="say what would be done, and do none of it")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Resolve short names before anything is parsed, and remember what the user called the model."""
        words = [str(word) for word in args] if isinstance(args, list) else []
        self.run_name = label(words, "--model")
        with told(self.verb):
            self.config = parser.parse_args([self.verb, *expand(words)])
        config = self.config[self.verb]
        if config.model.class_path == class_path(DubbingModel):
            raise DubbenchError("--model names what all methods share and no method; name one of them")
        if config.seed_everything not in range(2**32):
            raise UsageError(f"--seed_everything {config.seed_everything} is no seed; give 0 to {2**32 - 1}")

    def instantiate_classes(self) -> None:
        """Build trainer, model and data; what their constructors cannot be built with is told."""
        with told_of_values():
            super().instantiate_classes()

    def _parse_ckpt_path(self) -> None:
        """Do not let a checkpoint replace the model and arguments that the command line gives."""

    def before_instantiate_classes(self) -> None:
        """Settle the run's folder and its checkpoint."""
        if self.verb == "validate":
            self._prepare_validation()
        else:
            self._prepare_run()

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:  # noqa: ANN401
        """Build the trainer with the run's logger and checkpoint, and the method's own length of training."""
        with told_of_trainer(ValueError, TypeError, RuntimeError, ImportError):
            return self._trainer(kwargs)

    def _trainer(self, kwargs: dict[str, Any]) -> L.Trainer:
        config = self.config_init[self.verb].trainer
        if quiet():
            kwargs |= {"enable_progress_bar": False, "enable_model_summary": False}
        if self.verb == "validate" or self.dry:
            return super().instantiate_trainer(**kwargs)
        if config.logger in (None, True):
            kwargs["logger"] = TensorBoardLogger(save_dir=str(self.out), name="logs", version="")
        if config.max_epochs is None and config.max_steps == -1 and config.max_time is None:
            self.datamodule.divide(self.model, self.model.iterations)
            self.steps = self.model.iterations
            # Steps and not epochs: a resumed training may have epochs of another length. Lightning counts every
            # optimiser's.
            kwargs["max_steps"] = self.steps * self.model.optimizers_a_step()
        callbacks = [*(config.callbacks or []), self.beginning, StaysFinite(self.out / CHECKPOINT)]
        callbacks += [ValidatesAtTheEnd(), Telling(self)]
        if config.enable_checkpointing is not False:
            minutes = self.config_init.fit.save_minutes
            callbacks += [EveryMinutes(self.out, minutes)] if minutes else []
            best = self.model.best_by if self.datamodule.val_windows else ""
            callbacks += [*([KeepsBest(best)] if best else []), last_checkpoint(self.out)]
        own_bar = any(isinstance(each, ProgressBar) for each in callbacks)
        if config.enable_progress_bar is not False and not own_bar and not quiet():
            epoch = self.datamodule.batches_per_epoch(self.model) // self.model.batches_a_step
            callbacks += [TrainingProgress(f"fit {self.run_name}"), Foretelling(epoch)]
        kwargs["callbacks"] = callbacks
        kwargs["enable_model_summary"] = False  # which takes the average for parameters; the plan has the sizes
        if torch.cuda.is_available():
            torch.set_float32_matmul_precision("high")  # float32 products on tensor cores
        trainer = super().instantiate_trainer(**kwargs)
        if trainer.world_size > 1 and config.strategy == "auto":
            # Each optimiser's turn leaves the other networks without gradients, which plain DDP takes for a mistake.
            trainer = super().instantiate_trainer(**kwargs, strategy="ddp_find_unused_parameters_true")
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # and none that the user chose
            trainer.strategy.checkpoint_io = in_background()
        return trainer

    def before_fit(self) -> None:
        """Look for all that the training needs, then train first what it learns from."""
        trainer, resumed = cast(Trainer, self.trainer), self.config_init.fit.ckpt_path is not None
        expert = self.model.hparams.get("sync_expert")
        words = words_of_expert(expert, self.model) if expert in names("model") else []
        first = build_model(expert, words, "fit") if words else None
        trainer.planned_only = self.config_init.fit.dry_run
        try:
            check_ready(self.model, self.datamodule, processes=trainer.world_size, resumed=resumed, first=first)
        finally:
            if trainer.planned_only:
                show("\n".join(self.plan().lines()))
        if words and not trainer.planned_only:
            path = str(self._train_first(expert, words))
            self.model.hparams["sync_expert"] = self.config.fit.model.init_args.sync_expert = path

    def plan(self) -> TrainingPlan:
        """What the training will do."""
        return plan(
            self.model,
            self.datamodule,
            processes=self.trainer.world_size,
            steps=self.steps,
            folder=self.out,
            precision=str(self.trainer.precision),
            keeps=self.config_init.fit.trainer.enable_checkpointing is not False,
        )

    def _prepare_run(self) -> None:
        config = self.config.fit
        self.dry = bool(config.trainer.fast_dev_run)
        self.out = output_folder(config.out or f"runs/{self.run_name}")
        config.trainer.default_root_dir = str(self.out)
        config.ckpt_path = self._resume(config.ckpt_path)

    def _prepare_validation(self) -> None:
        config = self.config.validate
        check_kept(read_checkpoint(Path(config.ckpt_path)), config.ckpt_path, OF_A_TRAINING[:1])
        config.trainer.logger = False
        config.trainer.enable_checkpointing = False
        self.save_config_callback = None

    def _resume(self, wanted: str | None) -> str | None:
        """Checkpoint to go on from; a folder that holds a run is never overwritten unasked."""
        last = self.out / CHECKPOINT
        if wanted == "last":
            last = last if last.is_file() else self.out / PREVIOUS
            if not last.is_file():
                return None
            wanted = str(last)
        if wanted is None and last.is_file() and not (self.dry or self.config.fit.dry_run):
            raise DubbenchError(
                f"{self.out} already holds a run; go on with it by --ckpt_path last, or name another folder with --out"
            )
        if wanted is not None:
            check_kept(read_checkpoint(Path(wanted)), wanted)
        return wanted

    def _train_first(self, name: str, words: list[str]) -> Path:
        """Train the model config ``name`` on the same data, or go on with it, and return its checkpoint."""
        if self.dry:
            raise DubbenchError(
                f"a fast_dev_run leaves no checkpoint of {name}; name one with --model.sync_expert FILE, "
                "or go without by --model.sync_expert null --model.sync_weight 0"
            )
        config, out = self.config.fit, self.out / name
        words = ["--model", name, *words, "--out", str(out), "--ckpt_path", "last"]
        words += run_words(config, out)
        # What is drawn next must not depend on how much of this training was left to do.
        with isolate_rng():
            CLI("fit", words)
        return kept(out)


def fit(words: Sequence[str]) -> FinishedRun | None:
    """Train as the words of a command line say.

    Returns:
        What the training left; None if it was only tried out or planned, and on all processes but the first.
    """
    with _as_loud_as_the_verb():
        cli = CLI("fit", list(words))
    if cli.dry or cli.config_init.fit.dry_run or not cli.trainer.is_global_zero:
        return None
    checkpoint = cli.out / CHECKPOINT
    done = batches(cli.trainer)
    return FinishedRun(
        out=cli.out,
        checkpoint=checkpoint if checkpoint.is_file() else None,
        best=cli.model.best_by if (cli.out / BEST).is_file() else "",
        before=done if cli.beginning.batches is None else cli.beginning.batches,
        batches=done,
        logs=isinstance(cli.trainer.logger, TensorBoardLogger),
        dubs=cli.model.generates_frames,
    )


def kept(out: Path) -> Path:
    """Checkpoint of a finished run that others learn from or are judged by: the best one, where one was kept."""
    return out / BEST if (out / BEST).is_file() else out / CHECKPOINT


def validate(words: Sequence[str]) -> CLI:
    """Measure as the words of a command line say; the losses are the trainer's metrics."""
    with _as_loud_as_the_verb():
        return CLI("validate", list(words))


@contextmanager
def _as_loud_as_the_verb() -> Iterator[None]:
    """Keep Lightning's remarks to itself where the verb is quiet."""
    if not quiet():
        yield
        return
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def show_options(verb: Verb, model: str | None) -> None:
    """Print every option of a verb: the trainer's, the data's, and those of a model where one is named.

    Raises:
        DubbenchError: if no model has this name.
    """
    kinds = {"data": class_path(DubbingDataModule)}
    if model is not None:
        kinds["model"] = class_of_model(model)
    for words in (["--help"], *([f"--{key}.help", path] for key, path in kinds.items())):
        with suppress(SystemExit):  # that is how a parser ends once it has told its options
            CLI(verb, words)
        print(flush=True)
