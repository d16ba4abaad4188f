"""What a method asks for (`Window`) and what it gets (`Batch`): the contract between data and models."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.face.crops import crop_shape
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
        reference_rule: ``random`` anywhere in the clip; ``first`` the clip's first frames; ``adjacent`` first
            ``face_references`` around the middle target frame, then the others anywhere (PersonaTalk 3.2); ``history``
            the clip's first frame, then the others as ``random`` (RealTalk 4.1).
        size: side of the square aligned frames in pixels; with crop ``face`` side of the mouth region in it.
        mel: audio features, or None.
        geometry: face model whose coefficients are read, ``mesh``, ``ict`` or ``bfm``; empty for none.
        pictures: how many target frames are decoded, the middle ones; None for all T.
        reference_pictures: how many references are decoded, the first ones; None for all R.
        pncc: whether PNCC maps of decoded targets and references are drawn; needs ``geometry``.
        lips: whether lip masks of decoded targets and references are drawn; needs ``geometry``.
        face_references: how many of the references lie around the middle target frame, by the rule ``adjacent``.
        reach: how many frames away from it they lie at most.
        style_frames: at most how many frames tell the speaker's style: from the whole clip but for the targets, evenly,
            their coefficients alone and never a picture; needs ``geometry``.
        crop: what is cut out of the aligned frames: ``square``, all of them; ``face``, the crop of
            `dubbench.face.crops.face_boxes` (DINet, G4G), with one radius for all frames of a window.

    Raises:
        DubbenchError: if these do not go together.
    """

    frames: int
    references: int
    size: int
    reference_rule: Literal["random", "first", "adjacent", "history"] = "random"
    mel: Mel | None = None
    geometry: str = ""
    pictures: int | None = None
    pncc: bool = False
    lips: bool = False
    face_references: int = 0
    reach: int = 12
    reference_pictures: int | None = None
    crop: Literal["square", "face"] = "square"
    style_frames: int = 0

    def __post_init__(self) -> None:
        if min(self.size, self.frames) < 1 or self.references < 0:
            raise DubbenchError(
                f"{self.frames} frames of {self.size} pixels with {self.references} references are no window; give at "
                "least 1 frame and 1 pixel"
            )
        if self.geometry not in ("", "mesh", "ict", "bfm"):
            raise DubbenchError(f"there is no geometry {self.geometry!r}; take mesh, ict or bfm")
        if (self.pncc or self.lips) and not self.geometry:
            raise DubbenchError("PNCC maps and lip masks are drawn from geometry; name one: mesh, ict or bfm")
        if self.style_frames < 0 or (self.style_frames and not self.geometry):
            raise DubbenchError(
                f"{self.style_frames} style frames with geometry {self.geometry!r} cannot be read; take 0 or more, and "
                "name the geometry that they come from: mesh, ict or bfm"
            )
        if self.pictures is not None and not 0 <= self.pictures <= self.frames:
            raise DubbenchError(
                f"{self.pictures} pictures of {self.frames} frames cannot be taken; take as many or fewer"
            )
        if self.reference_pictures is not None and not 0 <= self.reference_pictures <= self.references:
            raise DubbenchError(
                f"{self.reference_pictures} pictures of {self.references} references cannot be taken; take as many or "
                "fewer"
            )
        if self.reference_rule == "history" and not self.references:
            raise DubbenchError("the rule history begins with the clip's first frame; take a reference or another rule")
        if not 0 <= self.face_references <= self.references or self.reach < 0:
            raise DubbenchError(
                f"{self.face_references} of {self.references} references within {self.reach} frames cannot be drawn; "
                "take at most as many as there are references, and a reach from 0 on"
            )
        if self.face_references and self.reference_rule != "adjacent":
            raise DubbenchError(
                f"face references belong to the rule adjacent, not {self.reference_rule}; take that rule or none"
            )
        if self.crop not in ("square", "face"):
            raise DubbenchError(f"there is no crop {self.crop!r}; take square or face")
        if self.crop == "face":
            crop_shape(self.size)
            if self.pncc or self.lips:
                raise DubbenchError(
                    "PNCC maps and lip masks belong to whole aligned frames; take crop square or none of them"
                )

    @property
    def picture_shape(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return crop_shape(self.size) if self.crop == "face" else (self.size, self.size)

    @property
    def pictured(self) -> slice:
        """Which of the T target frames are decoded."""
        count = self.frames if self.pictures is None else self.pictures
        first = (self.frames - count) // 2
        return slice(first, first + count)

    @property
    def references_pictured(self) -> slice:
        """Which of the R references are decoded."""
        return slice(self.references if self.reference_pictures is None else self.reference_pictures)


@dataclass
class Batch:
    """One batch for every method: B examples of T target frames, P of them pictured, and R references, Q pictured.

    Beside them are N style frames, ``style_frames`` of the window, of which nothing is pictured.

    Pictures are [H, W]: `Window.picture_shape`, [size, size] unless the window asks for face crops.

    Coefficients are in standard deviations; a pose is [rotation vector (3, radians), translation x, y (pixels of the
    256-pixel aligned square), natural logarithm of those pixels a model unit], as `dubbench.face3d.model.project` takes
    it.

    Attributes:
        frames: [B, P, 3, H, W] aligned target frames, RGB in [-1, 1]; P is T unless ``pictures`` says otherwise.
        references: [B, Q, 3, H, W] aligned reference frames, RGB in [-1, 1]; Q is R unless ``reference_pictures`` says
            otherwise.
        mel: [B, T, bands, columns] log-mel window around each target frame, or None.
        waveform: [B, T * 640] speech of the target frames, 16 kHz, in [-1, 1].
        points: [B, P, 68, 2] landmarks of ``frames`` (x right, y down), pixels of the pictures, continuous.
        reference_points: [B, Q, 68, 2] landmarks of ``references``, as ``points``.
        indices: [B, T] int64 frame numbers of the targets in their clip.
        reference_indices: [B, R] int64 frame numbers of the references.
        speakers: B names.
        clips: B clip ids.
        shape: [B, T, S] shape coefficients of the targets, or None without ``geometry``.
        expression: [B, T, E] expression coefficients of the targets, or None.
        pose: [B, T, 6] poses of the targets, or None.
        reference_shape: [B, R, S] shape coefficients of the references, or None.
        reference_expression: [B, R, E] expression coefficients of the references, or None.
        style_indices: [B, N] int64 frame numbers of the style frames, ascending, then -1 where a clip has fewer; None
            without ``style_frames``.
        style_shape: [B, N, S] shape coefficients of the style frames, zero beyond the last one, or None.
        style_expression: [B, N, E] expression coefficients of the style frames, likewise, or None.
        pncc: [B, P, 3, size, size] PNCC maps of ``frames`` in [0, 1], or None.
        reference_pncc: [B, Q, 3, size, size] PNCC maps of ``references``, or None.
        lips: [B, P, 1, size, size] lip masks of ``frames``, 0 or 1, or None.
        reference_lips: [B, Q, 1, size, size] lip masks of ``references``, or None.
        picture_indices: [B, P] int64 frame numbers of ``frames``, or None where ``frames`` are all targets.
        steady_points: [B, P, 68, 2] landmarks of ``frames`` smoothed over time, see `face_crops`, or None where the
            window asks for no face crops.
        other_mel: [B, K, T, bands, columns] mel windows of K other moments of each window's own clip, T frames each, or
            None where a method asks for none. A clip that is too short for K moments has zeros in place of the last.
        other_starts: [B, K] int64 first frames of these moments, -1 where there is none, or None.
        face: hash of the face model that the coefficients belong to; empty without ``geometry``.
    """

    frames: Tensor
    references: Tensor
    mel: Tensor | None
    waveform: Tensor
    points: Tensor
    reference_points: Tensor
    indices: Tensor
    reference_indices: Tensor
    speakers: list[str]
    clips: list[str]
    shape: Tensor | None = None
    expression: Tensor | None = None
    pose: Tensor | None = None
    reference_shape: Tensor | None = None
    reference_expression: Tensor | None = None
    style_indices: Tensor | None = None
    style_shape: Tensor | None = None
    style_expression: Tensor | None = None
    pncc: Tensor | None = None
    reference_pncc: Tensor | None = None
    lips: Tensor | None = None
    reference_lips: Tensor | None = None
    picture_indices: Tensor | None = None
    steady_points: Tensor | None = None
    other_mel: Tensor | None = None
    other_starts: Tensor | None = None
    face: str = ""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Copy with every tensor on ``device``; Lightning moves batches by this method.

        Lightning asks only plain tensors not to block; page-locked ones go without being waited for, anyhow.
        """
        tensors = self._tensors()
        return self._with({name: t.to(device, non_blocking=non_blocking or t.is_pinned()) for name, t in tensors})

    def pin_memory(self) -> "Batch":
        """Copy with page-locked tensors; the loader calls this when it pins."""
        return self._with({name: t.pin_memory() for name, t in self._tensors()})

    def __len__(self) -> int:
        return len(self.clips)

    def _with(self, tensors: dict[str, Any]) -> "Batch":
        return replace(self, **tensors)

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [(f.name, v) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)]
