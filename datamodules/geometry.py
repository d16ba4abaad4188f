"""Face geometry of a prepared folder: its face models, and each clip's coefficients, as files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dubbench.core.arrays import read_arrays, write_arrays
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError

FIELDS = ("shape", "expression", "pose", "error")
GUESS, TRACK = "guess", "track"
# Of what the coefficients mean. Before 2, which no file's name says, poses were fitted to all points, the mouth's too.
VERSION = 2


@dataclass(frozen=True)
class ClipGeometry:
    """Coefficients of a clip, a row a frame, float32; see `dubbench.face3d.model` for their units.

    Attributes:
        shape: [T, S].
        expression: [T, E].
        pose: [T, 6], from points that speech does not move, see `dubbench.face3d.head`.
        error: [T], mean distance of the 68 projected points to the landmarks over the outer-eye distance; NaN where
            no face was found.
        guess: sha256 of the network's file that gave the first guess; empty for the closed form.
    """

    shape: NDArray[np.float32]
    expression: NDArray[np.float32]
    pose: NDArray[np.float32]
    error: NDArray[np.float32]
    guess: str = ""

    def __len__(self) -> int:
        return len(self.pose)

    def rows(self, name: str, indices: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Copy the rows ``indices`` (all by default, any order, duplicates allowed) of a field.

        Raises:
            IndexError: if an index is negative or beyond the last frame.
        """
        array: NDArray[np.float32] = getattr(self, name)
        if indices is None:
            return array.copy()
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(array)):
            raise IndexError(f"frames {wanted.min()} to {wanted.max()} of a clip with {len(array)} frames")
        return array[wanted]


def model_path(root: Path | str, source: str) -> Path:
    """Where a prepared folder keeps its face model of a source: ``mesh``, ``ict`` or ``bfm``."""
    return Path(root) / f"face_{source}.npz"


def geometry_name(model_hash: str) -> str:
    """Name of the file in a clip's folder that holds its coefficients of one face model."""
    return f"geometry.{model_hash}.{VERSION}.npz"


def write_geometry(clip: PreparedClip, model_hash: str, geometry: ClipGeometry) -> None:
    """Write a clip's coefficients; the file appears whole or not at all, and takes the place of earlier versions'."""
    arrays: dict[str, NDArray[Any]] = {name: getattr(geometry, name) for name in FIELDS}
    for name, digest in ((GUESS, geometry.guess), (TRACK, _track(clip))):
        if digest:
            arrays[name] = np.array(digest)
    for former in clip.folder.glob(f"geometry.{model_hash}*.npz"):
        former.unlink()
    write_arrays(clip.folder / geometry_name(model_hash), arrays)


def read_geometry(clip: PreparedClip, model_hash: str) -> ClipGeometry:
    """Read the coefficients of a clip for the face model with this hash.

    Raises:
        DubbenchError: if it has none, they are damaged, of another number of frames, or of other landmarks.
    """
    path = clip.folder / geometry_name(model_hash)
    if not path.is_file():
        raise DubbenchError(
            f"clip {clip.info.clip} of {clip.root} has no geometry of face model {model_hash} and version {VERSION}; "
            "run dubbench prepare on it again with --geometry"
        )
    arrays = read_arrays(path)
    fitted_to = str(arrays.get(TRACK, ""))
    fault = _fault(arrays, clip.info.frames)
    if not fault and fitted_to and _track(clip) not in ("", fitted_to):
        fault = "was fitted to other landmarks than the clip's"
    if fault:
        raise DubbenchError(f"{path} {fault}; remove it and run dubbench prepare again with --geometry")
    shape, expression, pose, error = (np.asarray(arrays[name], np.float32) for name in FIELDS)
    return ClipGeometry(shape=shape, expression=expression, pose=pose, error=error, guess=str(arrays.get(GUESS, "")))


def _track(clip: PreparedClip) -> str:
    """Digest of the landmarks that coefficients are fitted to; empty where it is not recorded."""
    return str(clip.info.files["track.npz"]["sha256"]) if clip.info.files else ""


def _fault(arrays: dict[str, NDArray[Any]], frames: int) -> str:
    for name in FIELDS:
        if name not in arrays:
            return f"lacks {name}"
        if arrays[name].ndim != 2 - (name == "error") or len(arrays[name]) != frames:
            return f"holds {name} of shape {arrays[name].shape} for {frames} frames"
    return ""
