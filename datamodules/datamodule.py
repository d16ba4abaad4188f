"""The one data module: windows of a prepared corpus, as the model asks for them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import cv2
import lightning
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader

from dubbench.datamodules.batch import Batch, Window
from dubbench.datamodules.clip import read_manifest
from dubbench.datamodules.moments import MomentsDataset
from dubbench.datamodules.windows import WindowDataset, WindowSampler
from dubbench.errors import DubbenchError


class WindowLoader(DataLoader[Any]):
    """Loader that asks its sampler for the epoch's windows when the first batch is wanted, not before.

    Lightning makes the iterator of the first epoch after a resume before it knows which epoch that is, and workers
    would already be busy with the wrong one.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # any iterator serves
        yield from super().__iter__()


def make_loader(
    dataset: WindowDataset, batch_size: int, num_workers: int = 0, *, shuffle: bool, replicas: int = 1, rank: int = 0
) -> WindowLoader:
    """Loader of a dataset's windows, of which process ``rank`` of ``replicas`` gets its share.

    The batches are the same with any number of workers.
    """
    return WindowLoader(
        dataset,
        batch_size,
        sampler=WindowSampler(dataset, shuffle=shuffle, replicas=replicas, rank=rank),
        num_workers=num_workers,
        collate_fn=dataset.collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
        worker_init_fn=_one_thread,
    )


class DubbingDataModule(lightning.LightningDataModule):
    """Windows of a prepared corpus for training and validation; what a window holds, the model says."""

    def __init__(
        self,
        root: str,
        dataset: str,
        batch_size: int | None = None,
        num_workers: int = 0,
        windows_per_epoch: int = 1000,
        val_windows: int = 64,
        seed: int = 0,
        speakers: list[str] | None = None,
        val_split: Literal["val", "test"] = "val",
        holdout: float = 0.0,
        min_quality: float | None = None,
    ) -> None:
        """Remember the options; the folder is looked at when the training begins.

        Args:
            root: prepared folder.
            dataset: name of the corpus in it.
            batch_size: windows a batch and process; by default the model's ``batch_size``, else 8.
            num_workers: loader processes; the batches do not depend on it.
            windows_per_epoch: training windows an epoch, rounded up to whole batches of all processes.
            val_windows: validation windows, the same ones every time; 0 trains without validation.
            seed: of all draws; an epoch's windows depend on it and the epoch's number alone.
            speakers: only clips of these, or null for all.
            val_split: where validation windows come from; `test` is for a last `dubbench validate`.
            holdout: above 0, validation windows come from this last share of the training clips, which training then
                leaves out: for corpora whose speakers have one clip each.
            min_quality: leave out training clips whose quality in the manifest is below this (`dubbench prepare
                --quality`), or null for none; validation clips stay.

        Raises:
            DubbenchError: if a number is too small.
        """
        super().__init__()
        sizes = windows_per_epoch, 1 if batch_size is None else batch_size
        if min(sizes) < 1 or min(num_workers, val_windows, seed) < 0:
            raise DubbenchError(
                f"batch_size {batch_size} and windows_per_epoch {windows_per_epoch} must be at least 1, num_workers "
                f"{num_workers}, val_windows {val_windows} and seed {seed} at least 0"
            )
        if not 0 <= holdout < 1:
            raise DubbenchError(f"a holdout of {holdout} of every clip leaves no training; give a share from 0 to 1")
        self.root, self.dataset = Path(root), dataset
        self.batch_size, self.num_workers = batch_size, num_workers
        self.windows_per_epoch, self.val_windows = windows_per_epoch, val_windows
        self.seed, self.speakers, self.val_split = seed, speakers, val_split
        self.holdout, self.min_quality = holdout, min_quality
        self._sets: dict[str, WindowDataset] = {}

    def setup(self, stage: str) -> None:
        """Look up the clips of the splits that the stage needs.

        Raises:
            DubbenchError: if the folder is not prepared or of another corpus, or a split has no clip to offer.
        """
        self.check_corpus()
        if stage == "fit":
            model = self._model()
            batches = self.batches_per_epoch(model)
            self._add("train", "train", batches * self.batch_size_for(model) * self._replicas, (0.0, 1 - self.holdout))
        if stage in ("fit", "validate") and self.val_windows:
            try:
                if self.holdout:
                    self._add("val", "train", self.val_windows, (1 - self.holdout, 1.0))
                else:
                    self._add("val", self.val_split, self.val_windows)
            except DubbenchError as error:
                raise DubbenchError(f"{error}, or do without validation: val_windows 0") from error

    def check_corpus(self) -> None:
        """See that the folder is prepared and holds the corpus that was named.

        Raises:
            DubbenchError: if not.
        """
        found = sorted(read_manifest(self.root)["dataset"].unique())
        if found and found != [self.dataset]:
            raise DubbenchError(
                f"{self.root} holds {', '.join(found)}, not {self.dataset}; give another --data.root or --dataset"
            )

    def train_dataloader(self) -> WindowLoader:
        """Training windows, other ones every epoch."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> WindowLoader | list[WindowLoader]:
        """Validation windows, always the same."""
        return self._loader("val", shuffle=False) if "val" in self._sets else []

    def batch_size_for(self, model: lightning.LightningModule) -> int:
        """Windows a batch and process when ``model`` is trained."""
        return self.batch_size or int(getattr(model, "batch_size", 8))

    def batches_per_epoch(self, model: lightning.LightningModule) -> int:
        """Training batches that each process sees of an epoch of ``model``."""
        return -(-self.windows_per_epoch // (self.batch_size_for(model) * self._replicas))

    def divide(self, model: lightning.LightningModule, batches: int) -> int:
        """Settle on epochs of equal length, none longer than now, that hold ``batches`` in all; returns their number.

        The length of an epoch is rounded up to whole batches, so that the sum can exceed ``batches`` by less than the
        number of epochs.
        """
        epochs = -(-batches // self.batches_per_epoch(model))
        self.windows_per_epoch = -(-batches // epochs) * self.batch_size_for(model) * self._replicas
        return epochs

    def _add(self, use: str, split: str, length: int, part: tuple[float, float] = (0.0, 1.0)) -> None:
        options: dict[str, Any] = {
            "root": self.root,
            "window": self._model().window,
            "split": split,
            "length": length,
            "seed": self.seed,
            "speakers": self.speakers,
            "part": part,
            "min_quality": self.min_quality if use == "train" else None,
        }
        # Not a matter of the window, which a checkpoint is held to: what is dubbed has no other moments.
        moments = int(getattr(self._model(), "moments", 0))
        data = MomentsDataset(**options, moments=moments) if moments else WindowDataset(**options)
        if data.short and use not in self._sets:
            rank_zero_warn(
                f"{len(data.short)} of {len(data.short) + len(data.clips)} {split} clips have fewer than "
                f"{data.window.frames} frames and are left out: {', '.join(data.short)}"
            )
        self._sets[use] = data

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

    def _loader(self, use: str, *, shuffle: bool) -> WindowLoader:
        return make_loader(
            self._sets[use],
            self.batch_size_for(self._model()),
            self.num_workers,
            shuffle=shuffle,
            replicas=self._replicas,
            rank=self.trainer.global_rank if self.trainer else 0,
        )


def _one_thread(_: int) -> None:
    """Workers share the cores among them already.

    0 and not 1: a forked worker has none of the threads of its parent's OpenCV, and 1 would wait for them to end.
    """
    cv2.setNumThreads(0)
