"""The one data module: windows of prepared corpora, as the model asks for them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import cv2
import lightning
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader, Sampler

from dubbench.datamodules.batch import Batch, Window
from dubbench.datamodules.clip import alignment_of, read_manifest
from dubbench.datamodules.corpora import MixedDataset, paired, speakers_of
from dubbench.datamodules.moments import MomentsDataset
from dubbench.datamodules.stream import ROUND, SameSampler, StreamSampler, share_of
from dubbench.datamodules.windows import WindowDataset
from dubbench.errors import DubbenchError

Windows: TypeAlias = WindowDataset | MixedDataset
# Steps of an epoch at least, and epochs of a training at most, unless asked otherwise: at each epoch's end a checkpoint
# is written and the validation windows are gone through.
EPOCH_STEPS, EPOCHS = 1000, 30
MOST_WORKERS = 8


class WindowLoader(DataLoader[Any]):
    """Loader that asks its sampler for windows when the first batch is wanted, not before.

    Lightning makes the iterator of the first epoch after a resume before it knows how far that training was, and
    workers would already be busy with the wrong windows.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # any iterator serves
        yield from super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: where a training was, its data module keeps. That there is a state tells Lightning to trust it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `state_dict`."""


def make_loader(dataset: Windows, batch_size: int, num_workers: int = 0, *, sampler: Sampler[Any]) -> WindowLoader:
    """Loader of those windows of a dataset that a sampler names, ``batch_size`` of them a process' batch.

    The batches are the same with any number of workers.
    """
    return WindowLoader(
        dataset,
        batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=dataset.collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
        worker_init_fn=_one_thread,
    )


class DubbingDataModule(lightning.LightningDataModule):
    """Windows of prepared corpora for training and validation; what a window holds, the model says."""

    def __init__(
        self,
        root: str | list[str],
        dataset: str | list[str],
        batch_size: int | None = None,
        num_workers: int | None = None,
        windows_per_epoch: int | None = None,
        val_windows: int = 64,
        seed: int = 0,
        speakers: list[str] | None = None,
        val_split: Literal["val", "test"] = "val",
        holdout: float = 0.0,
        weights: list[float] | None = None,
        min_quality: float | None = None,
    ) -> None:
        """Remember the options; the folders are looked at when the training begins.

        Args:
            root: prepared folder, or one a corpus.
            dataset: name of the corpus in it, or several.
            batch_size: windows a batch of all processes together; by default the model's ``batch_size``, else 8.
            num_workers: loader processes of each training process, by default its share of the cores but one; the
                batches do not depend on it.
            windows_per_epoch: training windows from one validation and checkpoint to the next, rounded up to whole
                steps; by default of 1,000 steps, or of a 30th of the training where that is longer. What is trained
                does not depend on it.
            val_windows: validation windows, the same ones every time; 0 trains without validation.
            seed: of all draws; which windows come when depends on it alone.
            speakers: only clips of these, or null for all; of several corpora, as CORPUS/SPEAKER.
            val_split: where validation windows come from; `test` is for a last `dubbench validate`.
            holdout: above 0, validation windows come from this last share of the training clips, which training then
                leaves out: for corpora whose speakers have one clip each.
            weights: of several corpora, how many windows come from each, in any unit; by default as each has places
                for windows.
            min_quality: leave out training clips whose quality in the manifest is below this (`dubbench prepare
                --quality`), or null for none; validation clips stay.

        Raises:
            DubbenchError: if a number is too small, or folders, corpora and weights do not go together.
        """
        super().__init__()
        sizes = [value for value in (windows_per_epoch, batch_size) if value is not None]
        if min(sizes, default=1) < 1 or min(num_workers or 0, val_windows, seed) < 0:
            raise DubbenchError(
                f"batch_size {batch_size} and windows_per_epoch {windows_per_epoch} must be at least 1, num_workers "
                f"{num_workers}, val_windows {val_windows} and seed {seed} at least 0"
            )
        if not 0 <= holdout < 1:
            raise DubbenchError(f"a holdout of {holdout} of every clip leaves no training; give a share from 0 to 1")
        self.roots, self.datasets = paired(root, dataset)
        if weights is not None and (len(weights) != len(self.roots) or min(weights) <= 0):
            raise DubbenchError(
                f"the weights {', '.join(map(str, weights))} do not go with {len(self.roots)} corpora; give one above "
                "0 for each, or none"
            )
        self.batch_size, self.num_workers, self.weights = batch_size, num_workers, weights
        self.windows_per_epoch, self.val_windows = windows_per_epoch, val_windows
        self.seed, self.speakers, self.val_split = seed, speakers, val_split
        self.holdout, self.min_quality = holdout, min_quality
        self._sets: dict[str, Windows] = {}
        self._told: set[str] = set()
        # Windows and batches that a training had seen when it was resumed.
        self._before = (0, 0)

    @property
    def root(self) -> Path:
        """The prepared folder.

        Raises:
            DubbenchError: if there are several.
        """
        if len(self.roots) > 1:
            raise DubbenchError(f"{', '.join(self.datasets)} are several corpora, and here one is meant; name it alone")
        return self.roots[0]

    @property
    def dataset(self) -> str:
        """The corpora's names, with commas between them."""
        return ",".join(self.datasets)

    def setup(self, stage: str) -> None:
        """Look up the clips of the splits that the stage needs.

        Raises:
            DubbenchError: if a folder is not prepared or of another corpus, or a split has no clip to offer.
        """
        if stage == "fit":
            self._before = (0, 0)
        self._look_up(stage, self._model(), self.batch_size_for(self._model()), self._replicas)

    def check(self, model: lightning.LightningModule, processes: int, batch_size: int | None = None) -> None:
        """See that ``model`` can be trained on these data by so many processes, before anything else is done.

        Args:
            model: is not attached to a trainer yet.
            processes: that will train.
            batch_size: that it will be trained with, if it is not `batch_size_for`.

        Raises:
            DubbenchError: as `setup`.
        """
        self._look_up("fit", model, batch_size or self.batch_size_for(model), processes)

    def _look_up(self, stage: str, model: Any, batch_size: int, processes: int) -> None:  # noqa: ANN401
        self.check_corpus()
        if stage == "fit":
            share_of(batch_size, processes)
            self._add("train", "train", model, length=ROUND, part=(0.0, 1 - self.holdout))
        if stage in ("fit", "validate") and self.val_windows:
            try:
                if self.holdout:
                    self._add("val", "train", model, length=self.val_windows, part=(1 - self.holdout, 1.0))
                else:
                    self._add("val", self.val_split, model, length=self.val_windows)
            except DubbenchError as error:
                raise DubbenchError(f"{error}, or do without validation: val_windows 0") from error

    def check_corpus(self) -> None:
        """See that each folder is prepared and holds the corpus that was named, all aligned in one way.

        Raises:
            DubbenchError: if not.
        """
        for root, name in zip(self.roots, self.datasets, strict=True):
            found = sorted(read_manifest(root)["dataset"].unique())
            if found and found != [name]:
                raise DubbenchError(
                    f"{root} holds {', '.join(found)}, not {name}; give another --data.root or --dataset"
                )
        aligned = {root: alignment_of(root) for root in self.roots}
        if len({*aligned.values()}) > 1:
            how = ", ".join(f"{root} with --align {align}" for root, align in aligned.items())
            raise DubbenchError(f"corpora that train together must be aligned alike, and these are not: {how}")

    def train_dataloader(self) -> WindowLoader:
        """The training's next windows."""
        model = self._model()
        batch = self.batch_size_for(model)
        sampler = StreamSampler(
            self._sets["train"],
            batch,
            self.batches_per_epoch(model) * batch,
            seed=self.seed,
            replicas=self._replicas,
            rank=self._rank,
            position=lambda: self.windows_seen,
        )
        share = share_of(batch, self._replicas)
        return make_loader(self._sets["train"], share, self.workers, sampler=sampler)

    def val_dataloader(self) -> WindowLoader | list[WindowLoader]:
        """Validation windows, always the same."""
        if "val" not in self._sets:
            return []
        share = max(1, self.batch_size_for(self._model()) // self._replicas)
        sampler = SameSampler(self._sets["val"], self._replicas, self._rank)
        return make_loader(self._sets["val"], share, self.workers, sampler=sampler)

    @property
    def workers(self) -> int:
        """Loader processes of each training process."""
        if self.num_workers is not None:
            return self.num_workers
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        beside = int(getattr(self.trainer, "num_devices", 1)) if self.trainer else 1
        return max(0, min(MOST_WORKERS, cores // beside - 1))

    @property
    def windows_seen(self) -> int:
        """Training windows that all processes together have seen, before the training was resumed, too."""
        if self.trainer is None:
            return 0
        windows, batches = self._before
        return windows + (self._batches() - batches) * self.batch_size_for(self._model())

    def state_dict(self) -> dict[str, Any]:
        """Where the stream of windows is, and which corpora it comes from."""
        return {"windows": self.windows_seen, "batches": self._batches(), "corpora": self.corpora()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the stream was, with batches of any size."""
        self._before = int(state["windows"]), int(state["batches"])

    def corpora(self) -> list[dict[str, Any]]:
        """What the training windows come from: each corpus' name, clips, places for windows and share."""
        train = self._sets.get("train")
        if train is None:
            return []
        parts = train.parts if isinstance(train, MixedDataset) else [train]
        shares = train.shares.tolist() if isinstance(train, MixedDataset) else [1.0]
        return [
            {"dataset": name, "clips": len(part.clips), "places": part.places, "share": share}
            for name, part, share in zip(self.datasets, parts, shares, strict=True)
        ]

    def batch_size_for(self, model: lightning.LightningModule) -> int:
        """Windows a batch of all processes together when ``model`` is trained."""
        return self.batch_size or int(getattr(model, "batch_size", 8))

    def batches_per_epoch(self, model: lightning.LightningModule) -> int:
        """Training batches of an epoch of ``model``, whole steps."""
        each = int(getattr(model, "batches_a_step", 1))
        if self.windows_per_epoch is None:
            return max(EPOCH_STEPS, -(-int(getattr(model, "iterations", 1)) // EPOCHS)) * each
        return -(-self.windows_per_epoch // (self.batch_size_for(model) * each)) * each

    def divide(self, model: lightning.LightningModule, steps: int) -> int:
        """Settle on epochs of equal length, none longer than now, that hold ``steps`` in all; returns their number.

        The length of an epoch is rounded up to whole steps, so that the last one can be shorter.
        """
        each = int(getattr(model, "batches_a_step", 1))
        epochs = -(-steps * each // self.batches_per_epoch(model))
        self.windows_per_epoch = -(-steps // epochs) * each * self.batch_size_for(model)
        return epochs

    def _add(self, use: str, split: str, model: Any, length: int, part: tuple[float, float] = (0.0, 1.0)) -> None:  # noqa: ANN401
        options: dict[str, Any] = {
            "window": model.window,
            "split": split,
            "length": length,
            "seed": self.seed,
            "part": part,
            "min_quality": self.min_quality if use == "train" else None,
        }
        # Not a matter of the window, which a checkpoint is held to: what is dubbed has no other moments.
        moments = int(getattr(model, "moments", 0))
        found: dict[str, WindowDataset] = {}
        without: dict[str, str] = {}
        for root, name in zip(self.roots, self.datasets, strict=True):
            speakers = speakers_of(name, self.speakers, self.datasets)
            own = {**options, "root": root, "speakers": speakers}
            if speakers == []:
                without[name] = f"{name} has none of the speakers"
                continue
            try:
                found[name] = MomentsDataset(**own, moments=moments) if moments else WindowDataset(**own)
            except DubbenchError as error:
                # A corpus may have no validation split where another has one; what is to be trained on must be there.
                if use == "train" or len(self.roots) == 1:
                    raise
                without[name] = str(error)
        if not found or (use == "train" and without):
            raise DubbenchError("; ".join(without.values()))
        for line in set(_remarks(split, found, without)) - self._told:
            rank_zero_warn(line)
            self._told.add(line)
        self._sets[use] = self._joined(found, length)

    def _joined(self, found: dict[str, WindowDataset], length: int) -> Windows:
        if len(self.roots) == 1:
            return next(iter(found.values()))
        given = dict(zip(self.datasets, self.weights or [], strict=False))
        weights = [given[name] for name in found] if given else None
        return MixedDataset([*found.values()], [*found], weights, length)

    def _model(self) -> Any:  # noqa: ANN401
        model = self.trainer.lightning_module if self.trainer else None
        if not isinstance(getattr(model, "window", None), Window):
            raise DubbenchError(
                f"{type(model).__name__} does not say what a window holds; give it an attribute `window`, a "
                "dubbench.datamodules.batch.Window, and train it with a Trainer"
            )
        return model

    @property
    def _replicas(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    def _batches(self) -> int:
        return self.trainer.fit_loop.epoch_loop.total_batch_idx + 1 if self.trainer else 0


def _remarks(split: str, found: dict[str, WindowDataset], without: dict[str, str]) -> Iterator[str]:
    """What is said of clips that are too short, and of corpora that have no clips of the split."""
    for data in found.values():
        if data.short:
            yield (
                f"{len(data.short)} of {len(data.short) + len(data.clips)} {split} clips have fewer than "
                f"{data.window.frames} frames and are left out: {', '.join(data.short)}"
            )
    if without:
        yield f"validation goes without {', '.join(without)}: {'; '.join(without.values())}"


def _one_thread(_: int) -> None:
    """Workers share the cores among them already.

    0 and not 1: a forked worker has none of the threads of its parent's OpenCV, and 1 would wait for them to end.
    """
    cv2.setNumThreads(0)
