"""Synthetic windows, small models, and a trainer for them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader, Dataset

from dubbench.datamodules.batch import Batch, Window
from dubbench.models.radio.module import Radio
from dubbench.models.sync_expert.module import SyncExpert


def windows(window: Window, count: int, seed: int = 0) -> Batch:
    """Windows whose mouth, a dark patch, opens with the loudness of their mel features."""
    draw = torch.Generator().manual_seed(seed)
    (height, width), time, references = window.picture_shape, window.frames, window.references
    opening = torch.rand(count, time + references, generator=draw)
    base = torch.rand(count, 1, 3, height // 8, width // 8, generator=draw).flatten(0, 1)
    base = torch.nn.functional.interpolate(base, size=(height, width), mode="bilinear")[:, None] - 0.5
    rows = torch.arange(height)[:, None] / height
    columns = torch.arange(width) / width
    reach = 0.02 + 0.15 * opening[..., None, None]
    mouth = ((rows - 0.7).abs() < reach) & ((columns - 0.5).abs() < 0.2)
    images = torch.where(mouth[:, :, None], torch.tensor(-0.9), base)
    mel = torch.randn(count, time, 80, window.mel.columns if window.mel else 20, generator=draw) * 0.1
    mel = mel + 3 * opening[:, :time, None, None] * torch.linspace(1, -1, 80)[:, None]
    points = torch.rand(count, time + references, 68, 2, generator=draw) * width * 0.3 + width * 0.4
    return Batch(
        frames=images[:, :time].contiguous(),
        references=images[:, time:].contiguous(),
        mel=mel,
        waveform=torch.zeros(count, time * 640),
        points=points[:, :time],
        reference_points=points[:, time:],
        indices=torch.arange(time).expand(count, -1).contiguous(),
        reference_indices=torch.zeros(count, references, dtype=torch.int64),
        speakers=["speaker"] * count,
        clips=[f"clip{i}" for i in range(count)],
        steady_points=points[:, :time] if window.crop == "face" else None,
    )


class Examples(Dataset[Batch]):
    """The examples of one batch, one by one."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch)

    def __getitem__(self, index: int) -> Batch:
        tensors: dict[str, Any] = {
            f.name: v[index : index + 1] for f in fields(Batch) if isinstance(v := getattr(self.batch, f.name), Tensor)
        }
        return replace(self.batch, **tensors, speakers=["speaker"], clips=[self.batch.clips[index]])


def join(examples: Sequence[Batch]) -> Batch:
    """Undo `Examples`."""
    names = [f.name for f in fields(Batch) if isinstance(getattr(examples[0], f.name), Tensor)]
    tensors: dict[str, Any] = {name: torch.cat([getattr(example, name) for example in examples]) for name in names}
    clips = [example.clips[0] for example in examples]
    return replace(examples[0], **tensors, speakers=["speaker"] * len(clips), clips=clips)


def loader(batch: Batch, batch_size: int) -> "DataLoader[Batch]":
    return DataLoader(Examples(batch), batch_size, collate_fn=join)


def merged(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Values with other options on top; of a group of options only those that are named change."""
    groups = {name: {**values[name], **own} for name, own in options.items() if isinstance(own, dict)}
    return {**values, **options, **groups}


def small_expert(**options: Any) -> SyncExpert:  # noqa: ANN401
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "size": 32,
        "crop_size": 32,
        "widths": [8, 8, 16, 16],
        "blocks": [1, 1, 1, 1],
        "speech_widths": [4, 8, 16, 16],
        "speech_blocks": [1, 1, 1, 1],
        "embedding": 16,
        "lr": 5e-4,
    }
    return SyncExpert(**{**small, **options})


class PlainRadio(Radio):
    """Trained by gradient descent: Adam would blow rounding in tiny gradients up to whole steps."""

    def named_optimizers(self) -> dict[str, Optimizer]:
        return {"generator": SGD(self.generator.parameters(), 0.05)}


def small_radio(kind: type[Radio] = Radio, **options: Any) -> Radio:  # noqa: ANN401
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "size": 32,
        "widths": [8, 8, 16],
        "style_dim": 16,
        "speech_widths": [4, 8, 8, 8],
        "speech_blocks": [1, 1, 1, 1],
        "vit_blocks": 1,
        "vit_layers": 1,
        "vit_width": 16,
        "references": 1,
        "perceptual": "none",
        "adversarial": {"weight": 0.0, "widths": [4, 8, 8]},
        "optim": {"lr": 2e-3, "ema_decay": 0.9},
    }
    return kind(**merged(small, options))


def trainer(folder: Path, **options: Any) -> L.Trainer:  # noqa: ANN401
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    return L.Trainer(**{**quiet, **options})


@pytest.fixture(scope="session")
def expert_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sync expert after two batches."""
    folder = tmp_path_factory.mktemp("expert")
    expert = small_expert()
    fitting = trainer(folder, max_epochs=1)
    fitting.fit(expert, loader(windows(expert.window, 4), 2))
    fitting.save_checkpoint(folder / "expert.ckpt")
    return folder / "expert.ckpt"
