"""``--data.min_quality``: which clips training draws from, and what is said of the others."""

from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import pytest

from dubbench.cli import main
from dubbench.core.files import write_json
from dubbench.datamodules.batch import Window
from dubbench.datamodules.clip import read_dataset, read_manifest
from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.datamodules.quality import good_enough
from dubbench.errors import DubbenchError
from tests.datamodules import miniature
from tests.datamodules.miniature import SIZE, Clip

CPU = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]
CPU += ["--trainer.enable_model_summary", "false"]
RADIO = ["--model.sync_expert", "null", "--model.sync_weight", "0", "--model.adversarial.weight", "0"]
SMALL = [
    "--data.windows_per_epoch",
    "4",
    "--data.batch_size",
    "2",
    "--data.val_windows",
    "2",
    "--model.iterations",
    "2",
]
SCORES = {"a/1": 10.0, "a/2": 50.0, "b/1": 50.5, "b/2": np.nan, "c/1": 1.0}


def made(root: Path, scored: bool = True) -> Path:
    """Four training clips of 25, 30, 30 and 20 frames, and a validation clip of little quality."""
    frames = {"a/1": 25, "a/2": 30, "b/1": 30, "b/2": 20}
    clips = [*(Clip(name, count, dataset="grid") for name, count in frames.items()), Clip("c/1", 30, "val", (), "grid")]
    miniature.make(root, clips)
    if scored:
        manifest = read_manifest(root)
        manifest["quality"] = [SCORES[clip] for clip in manifest["clip"]]
        manifest.to_parquet(root / "manifest.parquet")
        write_json(root / "dataset.json", {**read_dataset(root), "quality": {"name": "own", "version": 1}})
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("scored"))


class Method(lightning.LightningModule):
    """All that the data asks of a model."""

    window = Window(frames=3, references=2, size=SIZE)


def drawn(root: Path, **options: float | None) -> tuple[set[str], set[str]]:
    """Clips that training and validation windows come from."""
    data = DubbingDataModule(str(root), "grid", batch_size=4, windows_per_epoch=40, val_windows=12, **options)  # type: ignore[arg-type]
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(Method())
    data.trainer = trainer
    data.setup("fit")
    training, validation = data.train_dataloader(), data.val_dataloader()
    return tuple({clip for batch in loader for clip in batch.clips} for loader in (training, validation))  # type: ignore[return-value,union-attr]


def test_only_training_clips_below_are_left_out(root: Path) -> None:
    everything = {"a/1", "a/2", "b/1", "b/2"}
    assert drawn(root) == (everything, {"c/1"})
    with pytest.warns(
        UserWarning, match=r"^min_quality 50 \(own\) leaves out 2 of 4 clips of .* \(0\.00 of 0\.00 hours\), 1 "
    ):
        assert drawn(root, min_quality=50) == ({"a/2", "b/1"}, {"c/1"})
    # Validation stays the same whatever training leaves out, so that losses can be compared.
    with pytest.warns(UserWarning, match="leaves out 3 of 4"):
        assert drawn(root, min_quality=50.2, holdout=0.4) == ({"b/1"}, everything)


def test_hours_are_those_of_the_clips(root: Path, tmp_path: Path) -> None:
    long = made(tmp_path)
    manifest = read_manifest(long)
    hours = {"a/1": 3.0, "a/2": 1.5, "b/1": 0.5, "b/2": 0.25}
    manifest["frames"] = [round(hours.get(clip, 0.01) * 3600 * 25) for clip in manifest["clip"]]
    manifest.to_parquet(long / "manifest.parquet")
    rows = read_manifest(long)
    rows = rows[rows["split"] == "train"]
    with pytest.warns(UserWarning, match=r"2 of 4 clips of .* \(3\.25 of 5\.25 hours\), 1 of them without a score$"):
        assert list(good_enough(long, rows, 50)["clip"]) == ["a/2", "b/1"]


def fit(root: Path, out: Path, *more: str) -> int:
    data = ["--dataset", "grid", "--dataset.root", str(root)]
    return main(["fit", "--model", "radio_tiny", *data, *SMALL, *RADIO, *CPU, "--out", str(out), *more])


def test_fit_trains_on_what_is_good_enough(root: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"min_quality 50 \(own\) leaves out 2 of 4 clips"):
        assert fit(root, tmp_path / "run", "--data.min_quality", "50") == 0
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()
    assert "min_quality: 50" in (tmp_path / "run/config.yaml").read_text()


def test_fit_refuses_what_cannot_be_met(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(root, tmp_path / "high", "--data.min_quality", "50.6") == 1
    said = capsys.readouterr().err
    assert f"none of the 4 clips of {root} that are asked for has a quality (own) of 50.6 or more" in said
    assert "the best has 50.5; give a lower min_quality" in said
    bare = made(tmp_path / "bare", scored=False)
    assert fit(bare, tmp_path / "none", "--data.min_quality", "1") == 1
    said = capsys.readouterr().err
    assert f"{bare} has no quality scores to hold min_quality 1 against; run dubbench prepare on it again with" in said
    assert "Traceback" not in said


def test_scores_that_nobody_vouches_for_are_none(tmp_path: Path) -> None:
    """A run of prepare that was killed between the manifest and dataset.json leaves this."""
    root = made(tmp_path)
    about = read_dataset(root)
    about.pop("quality")
    write_json(root / "dataset.json", about)
    with pytest.raises(DubbenchError, match="has no quality scores"):
        drawn(root, min_quality=1)
    assert drawn(root)[0] == {"a/1", "a/2", "b/1", "b/2"}
    with pytest.raises(DubbenchError, match="min_quality nan is no number"):
        drawn(root, min_quality=float("nan"))


def test_no_scores_at_all_are_told(tmp_path: Path) -> None:
    root = made(tmp_path)
    manifest: pd.DataFrame = read_manifest(root)
    manifest["quality"] = np.nan
    manifest.to_parquet(root / "manifest.parquet")
    with pytest.raises(DubbenchError, match="of 1 or more, none has a score; give a lower"):
        drawn(root, min_quality=1)
