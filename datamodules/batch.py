"""What a method asks for (`Window`) and what it gets (`Batch`): the contract between data and models."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from dubbench.media import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

__all__ = ["FPS", "SAMPLES_PER_FRAME", "SAMPLE_RATE", "Batch", "Mel", "Window"]


@dataclass(frozen=True)
class Mel:
    """Log-mel features: the constants and the columns that one video frame sees.

    Attributes:
        fft: samples of the analysis window.
        hop: samples between columns; must divide the 640 samples of a frame.
        bands: mel filters.
        columns: columns around a frame's centre, even.
    """

    fft: int = 1280
    hop: int = 160
    bands: int = 80
    columns: int = 20

    @property
    def columns_per_frame(self) -> int:
        """How many columns one video frame is long."""
        return SAMPLES_PER_FRAME // self.hop


@dataclass(frozen=True)
class Window:
    """What one training example of a method holds; only what is asked for is decoded.

    Attributes:
        frames: consecutive target frames T.
        references: reference frames R of the same clip, 0 for none.
        reference_rule: ``random`` anywhere in the clip; ``first`` the clip's first frames.
        size: side of the square aligned frames in pixels.
        mel: audio features, or None.
        mesh: whether the 478-point meshes are read.
    """

    frames: int
    references: int
    size: int
    reference_rule: Literal["random", "first"] = "random"
    mel: Mel | None = None
    mesh: bool = False


@dataclass
class Batch:
    """One batch for every method: B examples of T target frames and R references.

    Attributes:
        frames: [B, T, 3, size, size] aligned target frames, RGB in [-1, 1].
        references: [B, R, 3, size, size] aligned reference frames, RGB in [-1, 1].
        mel: [B, T, bands, columns] log-mel window around each target frame, or None.
        waveform: [B, T * 640] speech of the target frames, 16 kHz, in [-1, 1].
        points: [B, T, 68, 2] landmarks of the targets (x right, y down), aligned pixels of ``size``.
        reference_points: [B, R, 68, 2] landmarks of the references, as ``points``.
        mesh: [B, T, 478, 3] face mesh of the targets, aligned pixels of ``size`` with depth alike, or None.
        reference_mesh: [B, R, 478, 3] face mesh of the references, or None.
        indices: [B, T] int64 frame numbers of the targets in their clip.
        reference_indices: [B, R] int64 frame numbers of the references.
        speakers: B names.
        clips: B clip ids.
    """

    frames: Tensor
    references: Tensor
    mel: Tensor | None
    waveform: Tensor
    points: Tensor
    reference_points: Tensor
    mesh: Tensor | None
    reference_mesh: Tensor | None
    indices: Tensor
    reference_indices: Tensor
    speakers: list[str]
    clips: list[str]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Copy with every tensor on ``device``; Lightning moves batches by this method."""
        return self._with({name: t.to(device, non_blocking=non_blocking) for name, t in self._tensors()})

    def pin_memory(self) -> "Batch":
        """Copy with page-locked tensors; the loader calls this when it pins."""
        return self._with({name: t.pin_memory() for name, t in self._tensors()})

    def __len__(self) -> int:
        return len(self.clips)

    def _with(self, tensors: dict[str, Any]) -> "Batch":
        return replace(self, **tensors)

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [(f.name, v) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)]
