"""Miniature prepared folders made by hand: every frame shows its own number, so nothing else need be trusted."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.core.arrays import write_arrays
from dubbench.datamodules.batch import Batch
from dubbench.datamodules.geometry import geometry_name
from dubbench.face3d.model import LinearFaceModel
from dubbench.media.video import VideoWriter

SIZE = 64
SCALE = 1.5  # source pixels per aligned pixel
OFFSET = np.array([20.0, 30.0])


@dataclass(frozen=True)
class Clip:
    """What to make: ``missed`` frames have no face."""

    clip: str
    frames: int = 30
    split: str = "train"
    missed: Sequence[int] = ()
    dataset: str = "mini"

    @property
    def speaker(self) -> str:
        return self.clip.partition("/")[0]


def make(root: Path, clips: Sequence[Clip]) -> Path:
    """Write a prepared folder of ``clips`` and return it."""
    rows = [write_clip(root, clip) for clip in sorted(clips, key=lambda clip: clip.clip)]
    names = ["clip", "speaker", "dataset", "split", "frames", "detected", "source", "source_sha256"]
    pd.DataFrame([{name: row[name] for name in names} for row in rows], columns=names).to_parquet(
        root / "manifest.parquet"
    )
    described = {"dataset": rows[0]["dataset"], "size": SIZE, "smooth": 0.0, "root": str(root), "faces": "one"}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


def write_clip(root: Path, clip: Clip) -> dict[str, object]:
    """Write one clip's four files; returns what its ``clip.json`` says."""
    folder = root / clip.clip
    folder.mkdir(parents=True)
    with VideoWriter(folder / "video.mp4", SIZE, SIZE, intra=True) as video:
        for k in range(clip.frames):
            video.write(np.full((SIZE, SIZE, 3), grey(k), np.uint8))
    soundfile.write(folder / "audio.wav", speech(clip), 16_000, "PCM_16")
    detected = ~np.isin(np.arange(clip.frames), clip.missed)
    transform = np.array([[SCALE, 0, OFFSET[0]], [0, SCALE, OFFSET[1]]])
    np.savez(
        folder / "track.npz",
        mesh=(aligned_mesh(clip) * SCALE + np.array([*OFFSET, 0])).astype(np.float32),
        points=(aligned_points(clip) * SCALE + OFFSET).astype(np.float32),
        transform=np.tile(transform, (clip.frames, 1, 1)),
        detected=detected,
    )
    info: dict[str, object] = {
        "clip": clip.clip,
        "speaker": clip.speaker,
        "dataset": clip.dataset,
        "split": clip.split,
        "source": f"{clip.clip}.mp4",
        "source_sha256": "0" * 64,
        "frames": clip.frames,
        "size": SIZE,
        "source_width": 160,
        "source_height": 160,
        "detected": float(detected.mean()),
        "faces": "one",
        "smooth": 0.0,
        "versions": {},
    }
    (folder / "clip.json").write_text(json.dumps(info))
    return info


def grey(k: int) -> int:
    """Level of frame k; levels stay apart after coding."""
    return 10 + 3 * k


def speech(clip: Clip) -> NDArray[np.float32]:
    """Noise that differs from clip to clip, exact in 16 bits."""
    random = np.random.default_rng(sum(clip.clip.encode()))
    return (random.integers(-6000, 6000, clip.frames * 640) / 32768).astype(np.float32)


def fingerprint(batch: Batch) -> str:
    """Digest of everything in a batch."""
    digest = hashlib.sha256(repr((batch.clips, batch.speakers)).encode())
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            digest.update(f"{field.name} {list(value.shape)}".encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def aligned_points(clip: Clip) -> NDArray[np.float64]:
    """Landmark j of frame k lies at (j / 2, k / 2) in the aligned square of `SIZE`."""
    points = np.empty((clip.frames, 68, 2))
    points[..., 0] = np.arange(68) / 2
    points[..., 1] = np.arange(clip.frames)[:, None] / 2
    return points


def aligned_mesh(clip: Clip) -> NDArray[np.float64]:
    """Vertex j of frame k lies at (j / 8, k / 2, j / 16) in the aligned square of `SIZE`."""
    mesh = np.empty((clip.frames, 478, 3))
    mesh[..., 0] = np.arange(478) / 8
    mesh[..., 1] = np.arange(clip.frames)[:, None] / 2
    mesh[..., 2] = np.arange(478) / 16
    return mesh


def _landmarks() -> NDArray[np.float32]:
    """The 68 landmarks of a plain face in [-1, 1], y down."""
    around = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.9 * np.cos(around), -0.1 + np.sin(around)], 1)
    brows = [(x, -0.75) for x in (-0.8, -0.65, -0.5, -0.35, -0.2, 0.2, 0.35, 0.5, 0.65, 0.8)]
    nose = [(0, y) for y in (-0.45, -0.25, -0.1, 0.1)] + [(x, 0.2) for x in (-0.2, -0.1, 0, 0.1, 0.2)]
    eye = np.array([(-0.2, 0), (-0.07, -0.1), (0.07, -0.1), (0.2, 0), (0.07, 0.1), (-0.07, 0.1)])
    turns = np.linspace(np.pi, 3 * np.pi, 13)[:12]
    ring = np.stack([np.cos(turns), 0.5 * np.sin(turns)], 1)
    lips = [*np.add(0.35 * ring, (0, 0.5)), *np.add(0.2 * ring[[0, 1, 3, 5, 6, 7, 9, 11]], (0, 0.5))]
    return np.array([*jaw, *brows, *nose, *np.add(eye, (-0.45, -0.4)), *np.add(eye, (0.45, -0.4)), *lips], np.float32)


def face_model(seed: int = 0) -> LinearFaceModel:
    """A bulging sheet of 8 by 8 vertices with 3 shape and 2 expression components."""
    draw = torch.Generator().manual_seed(seed)
    steps = torch.linspace(-1, 1, 8)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    corner = (torch.arange(7)[:, None] * 8 + torch.arange(7)).flatten()
    triangles = torch.cat(
        [torch.stack([corner, corner + 1, corner + 8], 1), torch.stack([corner + 1, corner + 9, corner + 8], 1)]
    )
    arrays = {
        "mean": torch.stack([x, y, x**2 + y**2], -1).flatten(0, 1),
        "shape_basis": torch.randn(3, 64, 3, generator=draw) * 0.02,
        "expression_basis": torch.randn(2, 64, 3, generator=draw) * 0.02,
        "triangles": triangles,
        "landmarks": torch.cdist(torch.from_numpy(_landmarks()), torch.stack([x, y], -1).flatten(0, 1)).argmin(1),
        "region_lips": torch.tensor([42, 43, 44, 45, 50, 51, 52, 53]),
        "region_inner_mouth": torch.tensor([43, 44, 51, 52]),
        "region_lower_face": torch.arange(32, 64),
        "region_contour": torch.arange(8),
        "region_eyes": torch.arange(16, 24),
    }
    return LinearFaceModel.of(arrays, "mesh")


def coefficients(clip: Clip) -> dict[str, NDArray[np.float32]]:
    """Coefficients that change with every frame; the face turns, drifts and grows a little."""
    random = np.random.default_rng(len(clip.clip))
    time = np.arange(clip.frames)[:, None]
    pose = np.array([0.01, 0.02, 0, 0.5, 0.2, 0.002]) * time + np.array([0, -0.2, 0, 120, 130, np.log(70)])
    return {
        "shape": random.normal(size=(clip.frames, 3)).astype(np.float32),
        "expression": random.normal(size=(clip.frames, 2)).astype(np.float32),
        "pose": pose.astype(np.float32),
        "error": np.full(clip.frames, 0.01, np.float32),
    }


def write_geometry(root: Path, clips: Sequence[Clip], model: LinearFaceModel) -> None:
    """Give a prepared folder a face model and some of its clips coefficients."""
    model.save(root / f"face_{model.source}.npz")
    for clip in clips:
        write_arrays(root / clip.clip / geometry_name(model.hash()), coefficients(clip))
