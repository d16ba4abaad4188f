"""The geometry that windows ask for: coefficients of targets, references and style frames, PNCC maps, lip masks."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor

from dubbench.datamodules.batch import Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.geometry import ClipGeometry, geometry_name, model_path, read_geometry
from dubbench.errors import DubbenchError
from dubbench.face3d.model import LinearFaceModel, project

COEFFICIENTS = ("shape", "expression", "pose")


def face_model(root: Path, source: str) -> LinearFaceModel:
    """The face model of a prepared folder, read once a process as long as its file stays the same.

    Raises:
        DubbenchError: if the folder has none of this source, or its file is damaged.
    """
    path = model_path(root, source)
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise DubbenchError(
            f"{root} has no {source} geometry; run dubbench prepare on it again with --geometry {source}"
        ) from error
    return _loaded(path, changed)


@lru_cache(maxsize=4)
def _loaded(path: Path, changed: int) -> LinearFaceModel:
    return LinearFaceModel.load(path)


def with_geometry(root: Path, rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """The rows of a manifest whose clips have coefficients; a warning names the others.

    Raises:
        DubbenchError: if the folder has no face model, or none of the clips has coefficients.
    """
    name = geometry_name(face_model(root, source).hash())
    there = np.array([(root / str(clip) / name).is_file() for clip in rows["clip"]], bool)
    missing = [str(clip) for clip in rows["clip"][~there]]
    if not there.any():
        raise DubbenchError(
            f"none of the {len(rows)} clips of {root} that are asked for has {source} geometry; run dubbench prepare "
            f"on it again with --geometry {source}"
        )
    if missing:
        some = ", ".join(missing[:20]) + (", ..." if len(missing) > 20 else "")
        rank_zero_warn(f"{len(missing)} of {len(rows)} clips have no {source} geometry and are left out: {some}")
    fitted: pd.DataFrame = rows[there]
    return fitted


def read_geometry_windows(
    clips: Sequence[PreparedClip], numbers: Tensor, styles: Sequence[NDArray[np.int64]], window: Window
) -> dict[str, Any]:
    """The fields of a `Batch` that hold geometry; none without ``window.geometry``.

    Args:
        clips: B clips of one prepared folder.
        numbers: [B, T + R] frames of targets and references.
        styles: style frames of each window.
        window: what is asked for.

    Raises:
        DubbenchError: if the folder has no face model, or a clip no coefficients of it.
    """
    if not window.geometry:
        return {}
    model = face_model(clips[0].root, window.geometry)
    hash_ = model.hash()
    rows = [read_geometry(clip, hash_) for clip in clips]
    frames = numbers.tolist()
    whole = {
        name: torch.stack([torch.from_numpy(row.rows(name, wanted)) for row, wanted in zip(rows, frames, strict=True)])
        for name in COEFFICIENTS
    }
    targets = {name: values[:, : window.frames].contiguous() for name, values in whole.items()}
    references = {name: values[:, window.frames :].contiguous() for name, values in whole.items()}
    pictures = {name: values[:, window.pictured] for name, values in targets.items()}
    shown = {name: values[:, window.references_pictured] for name, values in references.items()}
    fields: dict[str, Any] = {"face": hash_, **targets}
    # Nobody looks at a reference's pose.
    fields |= {f"reference_{name}": references[name] for name in ("shape", "expression")}
    fields |= _styled(rows, styles, window.style_frames)
    fields |= _drawn(model, pictures, window)
    fields |= {f"reference_{name}": values for name, values in _drawn(model, shown, window).items()}
    return fields


def _styled(rows: Sequence[ClipGeometry], styles: Sequence[NDArray[np.int64]], count: int) -> dict[str, Tensor]:
    """Numbers and coefficients of the style frames, each row filled up to ``count``; none where that is 0."""
    if not count:
        return {}
    indices = torch.full((len(rows), count), -1)
    fields = {name: torch.zeros(len(rows), count, rows[0].rows(name, []).shape[1]) for name in ("shape", "expression")}
    for k, (row, style) in enumerate(zip(rows, styles, strict=True)):
        indices[k, : len(style)] = torch.from_numpy(style)
        for name, values in fields.items():
            values[k, : len(style)] = torch.from_numpy(row.rows(name, style.tolist()))
    return {"style_indices": indices, **{f"style_{name}": values for name, values in fields.items()}}


@torch.no_grad()
def _drawn(model: LinearFaceModel, coefficients: dict[str, Tensor], window: Window) -> dict[str, Tensor]:
    """PNCC maps and lip masks [B, N, C, size, size] of coefficients [B, N, ...], as far as asked for."""
    if not (window.pncc or window.lips):
        return {}
    # Numba and its compiled code are loaded where maps are drawn, not wherever windows are.
    from dubbench.face3d import raster

    size, lead = window.size, coefficients["pose"].shape[:2]
    shape, expression, pose = (coefficients[name].flatten(0, 1) for name in COEFFICIENTS)
    posed = project(model.vertices(shape, expression), pose, size)
    drawn: dict[str, Tensor] = {}
    if window.pncc:
        maps = raster.pncc_maps(model.pncc().numpy(), posed.numpy(), model.triangles.numpy(), size)
        drawn["pncc"] = torch.from_numpy(maps).view(*lead, *maps.shape[1:])
    if window.lips:
        masks = raster.lip_masks(posed[:, model.regions["lips"]].numpy(), size)
        drawn["lips"] = torch.from_numpy(masks).view(*lead, *masks.shape[1:])
    return drawn
