import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from dubbench.core.config_names import CONFIGS, names
from dubbench.datamodules.batch import Batch, Mel, Window
from dubbench.datamodules.datamodule import DubbingDataModule, make_loader
from dubbench.datamodules.sources import MODULES
from dubbench.datamodules.stream import StreamSampler, share_of
from dubbench.datamodules.windows import WindowDataset
from dubbench.errors import DubbenchError
from tests.datamodules import miniature
from tests.datamodules.miniature import SIZE, Clip, fingerprint

WINDOW = Window(frames=3, references=2, size=SIZE, mel=Mel())


class Recorder(lightning.LightningModule):
    """Learns one number and remembers every batch it was given."""

    def __init__(self, window: Window | None = WINDOW) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        if window is not None:
            self.window = window
        self.seen: list[tuple[int, str]] = []
        self.windows: list[list[str]] = []
        self.validated: list[tuple[int, str]] = []

    def training_step(self, batch: Batch) -> Tensor:
        self.seen.append((self.current_epoch, fingerprint(batch)))
        self.windows.append(
            [f"{clip} {int(first)}" for clip, first in zip(batch.clips, batch.indices[:, 0], strict=True)]
        )
        return (self.weight - batch.waveform.mean()) ** 2

    def validation_step(self, batch: Batch) -> None:
        if not self.trainer.sanity_checking:
            self.validated.append((self.current_epoch, fingerprint(batch)))
        self.log("loss", self.weight, batch_size=len(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clips = [Clip("anna/one", 20), Clip("anna/two", 9), Clip("bert/one", 14), Clip("cleo/a", 8, "val")]
    return miniature.make(tmp_path_factory.mktemp("datamodule"), [*clips, Clip("dora/tiny", 2)])


def data(root: Path, **options: Any) -> DubbingDataModule:  # noqa: ANN401
    return DubbingDataModule(
        str(root), "mini", **{"batch_size": 2, "windows_per_epoch": 5, "val_windows": 3, **options}
    )


def fit(
    datamodule: DubbingDataModule,
    epochs: int,
    model: Recorder | None = None,
    **options: Any,  # noqa: ANN401
) -> Recorder:
    model, checkpoint = model or Recorder(), options.pop("ckpt_path", None)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing="callbacks" in options,
        **options,
    )
    trainer.fit(model, datamodule=datamodule, ckpt_path=checkpoint)
    return model


@pytest.fixture(scope="module")
def undisturbed(root: Path) -> Recorder:
    return fit(data(root), 4)


def test_epochs_have_whole_batches_that_differ(undisturbed: Recorder) -> None:
    assert [epoch for epoch, _ in undisturbed.seen] == [epoch for epoch in range(4) for _ in range(3)]
    assert len({digest for _, digest in undisturbed.seen}) == 12


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_same_batches_with_any_number_of_workers(root: Path, undisturbed: Recorder, workers: int) -> None:
    model = fit(data(root, num_workers=workers), 4)
    assert model.seen == undisturbed.seen
    assert model.validated == undisturbed.validated


def test_validation_windows_stay_the_same(undisturbed: Recorder) -> None:
    by_epoch = [[digest for epoch, digest in undisturbed.validated if epoch == e] for e in range(4)]
    assert len(set(by_epoch[0])) == 2
    assert by_epoch.count(by_epoch[0]) == 4


def test_another_seed_draws_other_windows(root: Path, undisturbed: Recorder) -> None:
    model = fit(data(root, seed=1), 1)
    assert not {digest for _, digest in model.seen} & {digest for _, digest in undisturbed.seen}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("at_train_end", [True, False], ids=["saved after training", "saved after validation"])
def test_resumed_run_sees_what_an_undisturbed_one_sees(
    root: Path, tmp_path: Path, undisturbed: Recorder, at_train_end: bool, workers: int
) -> None:
    saver = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=at_train_end, enable_version_counter=False)
    before = fit(data(root, num_workers=workers), 2, callbacks=[saver])
    assert before.seen == undisturbed.seen[:6]
    after = fit(data(root, num_workers=workers), 4, ckpt_path=str(tmp_path / "last.ckpt"))
    assert after.seen == undisturbed.seen[6:]


@pytest.mark.parametrize("epoch", [2, 5, 12])
def test_what_is_seen_depends_on_no_epochs_length(root: Path, undisturbed: Recorder, epoch: int) -> None:
    model = fit(data(root, windows_per_epoch=2 * epoch), -(-12 // epoch))
    assert [digest for _, digest in model.seen[:12]] == [digest for _, digest in undisturbed.seen]


@pytest.mark.parametrize(("first", "then"), [(2, 4), (4, 2), (6, 3)])
def test_resuming_with_another_batch_size_goes_on_where_the_windows_were(
    root: Path, tmp_path: Path, first: int, then: int
) -> None:
    def windows(model: Recorder) -> list[str]:
        return [digest for digests in model.windows for digest in digests]

    alone = fit(data(root, batch_size=1, windows_per_epoch=24), 1)
    saver = ModelCheckpoint(tmp_path, "last", enable_version_counter=False)
    before = fit(data(root, batch_size=first, windows_per_epoch=12), 1, callbacks=[saver])
    again = data(root, batch_size=then, windows_per_epoch=12)
    after = fit(again, 2, ckpt_path=str(tmp_path / "last.ckpt"))
    assert windows(before) + windows(after) == windows(alone)
    assert again.windows_seen == 24


def test_two_processes_share_what_one_sees(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", length=8, seed=2)
    options: dict[str, Any] = {"batch_size": 4, "length": 12, "seed": 2, "position": lambda: 4}
    loaders = [
        make_loader(dataset, 2, sampler=StreamSampler(dataset, replicas=2, rank=rank, **options)) for rank in (0, 1)
    ]
    alone = make_loader(dataset, 4, sampler=StreamSampler(dataset, **options))
    for whole, *parts in zip(alone, *loaders, strict=True):
        rows = [(part.clips[k], part.indices[k, 0].item()) for part in parts for k in range(2)]
        assert rows == [*zip(whole.clips, whole.indices[:, 0].tolist(), strict=True)]
    assert len(alone) == len(loaders[0]) == 3


def test_stopping_early_in_an_epoch_does_not_disturb_the_next(root: Path) -> None:
    dataset = WindowDataset(root, WINDOW, "train", length=8)
    places = [0]
    loader, fresh = (
        make_loader(
            dataset,
            2,
            num_workers=workers,
            sampler=StreamSampler(dataset, 2, 8, seed=0, position=lambda: places[-1]),
        )
        for workers in (2, 0)
    )
    next(iter(loader))
    places.append(14)
    assert [fingerprint(batch) for batch in loader] == [fingerprint(batch) for batch in fresh]


def test_a_batch_that_cannot_be_shared_is_told() -> None:
    with pytest.raises(DubbenchError, match=r"a batch of 6 windows cannot be shared by 4 processes; .*batch_size 8"):
        share_of(6, 4)
    assert share_of(6, 3) == 2


AFTER_THREADS = """
import sys
from pathlib import Path
import cv2
import numpy as np
from dubbench.datamodules.datamodule import make_loader
from dubbench.datamodules.stream import SameSampler
from dubbench.datamodules.windows import WindowDataset
from tests.datamodules.test_datamodule import WINDOW
cv2.setNumThreads(2)
cv2.warpAffine(np.zeros((2000, 2000, 3), np.uint8), np.eye(2, 3), (2000, 2000))
dataset = WindowDataset(Path(sys.argv[1]), WINDOW, "train", 2)
print(len(next(iter(make_loader(dataset, 2, 1, sampler=SameSampler(dataset))))))
"""


def test_workers_start_after_opencv_has_used_threads(root: Path) -> None:
    # In a process of its own: what is forked beside a thread pool of OpenCV can wait for its threads for ever.
    command = [sys.executable, "-c", AFTER_THREADS, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == ["2"], done.stderr


def test_batch_size_is_the_models_unless_given(root: Path) -> None:
    class Four(Recorder):
        batch_size = 4

    model = Four()
    assert data(root, batch_size=None).batches_per_epoch(model) == 2
    assert data(root).batches_per_epoch(model) == 3
    assert data(root, batch_size=None).batches_per_epoch(Recorder()) == 1
    assert len(fit(data(root, batch_size=None), 1, model).seen) == 2


def test_overfitting_repeats_a_batch(root: Path) -> None:
    model = fit(data(root), 2, overfit_batches=1)
    assert [digest for _, digest in model.seen[1:]] == [digest for _, digest in model.seen[:1]]


def test_without_validation(root: Path) -> None:
    model = fit(data(root, val_windows=0, speakers=["anna"]), 1)
    assert len(model.seen) == 3
    assert not model.validated


def test_validate_needs_no_training_split(root: Path, tmp_path: Path) -> None:
    only = miniature.make(tmp_path, [Clip("cleo/a", 8, "val")])
    model = Recorder()
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    trainer.validate(model, datamodule=data(only), verbose=False)
    assert len(model.validated) == 2


def test_short_clips_are_counted_and_listed_once(root: Path) -> None:
    module = data(root, val_windows=0)
    with pytest.warns(
        UserWarning, match="1 of 4 train clips have fewer than 3 frames and are left out: dora/tiny"
    ) as said:
        fit(module, 1)
    assert sum("dora/tiny" in str(warning.message) for warning in said) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": "elsewhere"}, "elsewhere is not a prepared folder: run dubbench prepare"),
        ({"dataset": "grid"}, "holds mini, not grid; give another --data.root or --dataset"),
        ({"speakers": ["anna"]}, "split val .* no clip of speaker anna .*, or do without validation: val_windows 0"),
        ({"speakers": ["nobody"]}, "no clip of speaker nobody; there are anna, bert, cleo, dora"),
    ],
)
def test_what_cannot_be_trained_on(root: Path, options: dict[str, Any], message: str) -> None:
    module = DubbingDataModule(**{"root": str(root), "dataset": "mini", **options})
    with pytest.raises(DubbenchError, match=message):
        fit(module, 1)


def test_model_without_a_window(root: Path) -> None:
    with pytest.raises(DubbenchError, match="Recorder does not say what a window holds"):
        fit(data(root), 1, Recorder(None))


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"windows_per_epoch": 0}, {"num_workers": -1}, {"val_windows": -1}, {"seed": -1}]
)
def test_numbers_that_are_too_small(root: Path, options: dict[str, int]) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(DubbenchError, match=f"{name} {value}"):
        data(root, **options)


def test_every_corpus_has_a_config() -> None:
    assert set(MODULES) <= set(names("data"))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_config_builds_the_data_module(name: str) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(DubbingDataModule, "data")
    config = yaml.safe_load((CONFIGS / "data" / f"{name}.yaml").read_text())
    module = parser.instantiate(parser.parse_object({"data": config})).data
    assert (module.dataset, module.root) == (name, Path("prepared") / name)
