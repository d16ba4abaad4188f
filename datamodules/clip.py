"""A prepared clip and the folder that holds many: what `prepare` leaves and everything else reads."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dubbench.core.files import inside, sha256
from dubbench.core.foreign import read_json
from dubbench.core.links import stays
from dubbench.datamodules.track import Track
from dubbench.errors import DubbenchError
from dubbench.media import SAMPLES_PER_FRAME
from dubbench.media.audio import read_speech
from dubbench.media.container import Image
from dubbench.media.video import IndexedVideo

READ_AT_ONCE = 16
# What a clip holds beside its description.
PARTS = ("video.mp4", "audio.wav", "track.npz")
MANIFEST_COLUMNS = (
    "clip",
    "speaker",
    "dataset",
    "split",
    "frames",
    "detected",
    "face",
    "source",
    "source_sha256",
    "remarks",
)


@dataclass(frozen=True)
class ClipInfo:
    """What ``clip.json`` says.

    Attributes:
        clip: id, also the clip's folder below the prepared root.
        speaker: identity, as the corpus names it.
        dataset: corpus name.
        split: ``train``, ``val`` or ``test``.
        source: video file, a posix path below the corpus root.
        source_sha256: hex digest of that file.
        frames: number of frames T at 25 fps.
        size: side S of the aligned frames in pixels.
        source_width: width of the source frames in pixels, upright.
        source_height: height of the source frames in pixels, upright.
        detected: share of the frames in which a face was found, in [0, 1].
        faces: policy for several faces, ``one`` or ``largest``.
        smooth: standard deviation in frames of the smoothing of the alignment, 0 for none.
        versions: of what made the clip: ``dubbench``, ``mesh``, ``av``.
        align: a name of `dubbench.face.alignment.ALIGNMENTS`; older clips, which do not say it, are FFHQ's.
        files: by name of `PARTS`, ``bytes`` and ``sha256``; empty for clips of versions that did not record them.
        face: longer side of the face's box in source pixels, the median over the frames with a face; 0 where it was not
            written down.
        remarks: sentences on what was wrong with the source's pictures and sound and could be made good.
    """

    clip: str
    speaker: str
    dataset: str
    split: str
    source: str
    source_sha256: str
    frames: int
    size: int
    source_width: int
    source_height: int
    detected: float
    faces: str
    smooth: float
    versions: dict[str, str]
    align: str = "ffhq"
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    face: float = 0.0
    remarks: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "ClipInfo":
        """Read a ``clip.json``.

        Raises:
            DubbenchError: if it is absent, damaged or of another version.
        """
        try:
            fields = read_json(path)
            info = cls(**{**fields, "remarks": tuple(fields.get("remarks", ()))})
            if not all({"bytes", "sha256"} <= set(info.files[name]) for name in PARTS if info.files):
                raise ValueError("files")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DubbenchError(f"{path} does not describe a prepared clip ({error}); run dubbench prepare") from error
        return info

    def as_dict(self) -> dict[str, Any]:
        """The fields as ``clip.json`` holds them; ``files`` and ``remarks`` only where there are some."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("files", "remarks")}


class PreparedClip:
    """Reads the parts of a prepared clip that are asked for, and only those.

    Landmarks, meshes and transforms belong to the upright source frame; ``transform`` [2, 3] maps (u, v, 1) of the
    aligned square of ``info.size`` pixels (continuous, pixel j centred at j + 0.5) to it.
    """

    def __init__(self, root: Path | str, clip_id: str) -> None:
        """Open the clip ``clip_id`` of the prepared folder ``root``.

        Raises:
            DubbenchError: if there is no such clip.
        """
        self.root = Path(root)
        self.folder = inside(self.root, clip_id)
        self.info = ClipInfo.read(inside(self.folder, "clip.json"))

    def __len__(self) -> int:
        return self.info.frames

    def frames(self, indices: Sequence[int], size: int | None = None) -> Image:
        """Aligned frames in the order asked for: uint8 [N, size, size, 3], RGB; ``size`` defaults to ``info.size``."""
        with IndexedVideo(self._part("video.mp4")) as video:
            return self._read(video, indices, size)

    def stream(self, size: int | None = None) -> Iterator[Image]:
        """Yield all aligned frames in order, as `frames` gives them: uint8 [size, size, 3], RGB."""
        with IndexedVideo(self._part("video.mp4")) as video:
            for start in range(0, self.info.frames, READ_AT_ONCE):
                yield from self._read(video, range(start, min(start + READ_AT_ONCE, self.info.frames)), size)

    def speech(self, start_frame: int = 0, frames: int | None = None) -> NDArray[np.float32]:
        """Speech of ``frames`` frames (to the end by default): float32 [frames * 640], 16 kHz, in [-1, 1]."""
        count = self.info.frames - start_frame if frames is None else frames
        return read_speech(self._part("audio.wav"), start_frame * SAMPLES_PER_FRAME, count * SAMPLES_PER_FRAME)

    def mesh(self, indices: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Face meshes: float32 [N, 478, 3], source pixels, depth scaled as x."""
        return self._track.rows("mesh", indices)

    def points(self, indices: Sequence[int] | None = None) -> NDArray[np.float32]:
        """The 68 landmarks: float32 [N, 68, 2], source pixels."""
        return self._track.rows("points", indices)

    def transforms(self, indices: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Maps from the aligned square of ``info.size`` to the source frame: float64 [N, 2, 3]."""
        return self._track.rows("transform", indices)

    def detected(self, indices: Sequence[int] | None = None) -> NDArray[np.bool_]:
        """Whether the face was found in the frame itself, not filled in from its nearest neighbour: bool [N]."""
        return self._track.rows("detected", indices)

    def aligned_points(self, indices: Sequence[int] | None = None, size: int | None = None) -> NDArray[np.float32]:
        """The 68 landmarks in the aligned square of ``size`` pixels: float32 [N, 68, 2]."""
        transforms = self.transforms(indices)
        x, y = np.moveaxis(self.points(indices).astype(np.float64) - transforms[:, None, :, 2], 2, 0)
        # Cramer's rule: a library's threads are slower on matrices of two by two than the rest of a window's reading.
        (a, b), (c, d) = np.moveaxis(transforms[:, :, :2, None], 0, 2)
        aligned = np.stack([d * x - b * y, a * y - c * x], -1) / (a * d - b * c)[..., None]
        return np.asarray(aligned * ((size or self.info.size) / self.info.size), dtype=np.float32)

    def aligned_mesh(self, indices: Sequence[int] | None = None, size: int | None = None) -> NDArray[np.float32]:
        """Face meshes in the aligned square of ``size`` pixels: float32 [N, 478, 3], depth scaled as x and y."""
        transforms, mesh = self.transforms(indices), self.mesh(indices).astype(np.float64)
        linear = transforms[:, :, :2]
        flat = (mesh[..., :2] - transforms[:, None, :, 2]) @ np.linalg.inv(linear).transpose(0, 2, 1)
        depth = mesh[..., 2:] / np.sqrt(np.abs(np.linalg.det(linear)))[:, None, None]
        scale = (size or self.info.size) / self.info.size
        return np.asarray(np.concatenate([flat, depth], axis=-1) * scale, dtype=np.float32)

    def source_path(self, source_root: Path | str | None = None) -> Path:
        """The video file that the clip was made from.

        Args:
            source_root: corpus root, by default where it was when the clip was prepared.

        Raises:
            DubbenchError: if the file is not there, or the clip names one that lies outside the corpus.
        """
        root = Path(source_root) if source_root else Path(read_dataset(self.root)["root"])
        if not stays(self.info.source):
            raise DubbenchError(
                f"{self.folder / 'clip.json'} names the source {self.info.source!r}, which is not below the corpus "
                f"{root}; run dubbench prepare again"
            )
        path = root / self.info.source
        if not path.is_file():
            raise DubbenchError(f"the source video {path} is not there; give the corpus' folder with --source_root")
        return path

    @cached_property
    def _track(self) -> Track:
        track = Track(self._part("track.npz"))
        if len(track) != self.info.frames:
            raise DubbenchError(self._changed("track.npz"))
        return track

    def verified(self) -> dict[str, str]:
        """The sha256 of each of `PARTS`, every byte read.

        Raises:
            DubbenchError: if one is not there, or is not the one that was prepared.
        """
        for name in PARTS:
            self._part(name)
        found = fingerprints(self.folder)
        for name, now in found.items():
            if self.info.files and now != self.info.files[name]:
                raise DubbenchError(self._changed(name))
        return {name: str(now["sha256"]) for name, now in found.items()}

    def _part(self, name: str) -> Path:
        """Where a file of `PARTS` lies; one of another length than the prepared one is told, which costs nothing.

        Raises:
            DubbenchError: if it is, or if it is a link to another folder's.
        """
        path = inside(self.folder, name)
        if self.info.files and path.is_file() and path.stat().st_size != self.info.files[name]["bytes"]:
            raise DubbenchError(self._changed(name))
        return path

    def _changed(self, name: str) -> str:
        return (
            f"{self.folder / name} is not the file that was prepared: it was changed since; run dubbench prepare again"
        )

    def _read(self, video: IndexedVideo, indices: Sequence[int], size: int | None) -> Image:
        stored, size = self.info.size, size or self.info.size
        if video.size == (stored, stored):
            return video.read(indices, None if size == stored else size)
        # The encoder padded an odd side: the padding goes before the resize, or every pixel would shift.
        frames = video.read(indices)[:, :stored, :stored]
        return np.stack([_resize(frame, size) for frame in frames]) if len(frames) else frames[:, :size, :size]


def fingerprints(folder: Path) -> dict[str, dict[str, Any]]:
    """Length and digest of a clip's `PARTS` as they lie in a folder: what ``files`` of its description records.

    Raises:
        DubbenchError: if one cannot be read.
    """
    try:
        return {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in PARTS}
    except OSError as error:
        raise DubbenchError(
            f"{folder} lacks a part of a prepared clip ({error}); run dubbench prepare again"
        ) from error


def read_manifest(root: Path | str) -> pd.DataFrame:
    """The clips of a prepared folder, a row each, sorted by clip, with `MANIFEST_COLUMNS`.

    Raises:
        DubbenchError: if ``root`` is not a prepared folder.
    """
    path = Path(root) / "manifest.parquet"
    if not path.is_file():
        raise DubbenchError(
            f"{root} is not a prepared folder: run dubbench prepare --dataset NAME --root DIR --out {root}"
        )
    return pd.read_parquet(path)


def alignment_of(root: Path | str) -> str:
    """How the clips of a prepared folder are aligned, a name of `dubbench.face.alignment.ALIGNMENTS`.

    Folders of earlier versions do not say it, nor do those without ``dataset.json``; theirs is FFHQ's.
    """
    return str(read_dataset(root).get("align", "ffhq")) if (Path(root) / "dataset.json").is_file() else "ffhq"


def read_dataset(root: Path | str) -> dict[str, Any]:
    """What ``dataset.json`` says: dataset, root of the corpus, and the options and versions of `prepare`.

    Raises:
        DubbenchError: if ``root`` is not a prepared folder.
    """
    path = Path(root) / "dataset.json"
    try:
        value = read_json(path)
    except FileNotFoundError as error:
        raise DubbenchError(
            f"{root} is not a prepared folder: run dubbench prepare --dataset NAME --root DIR --out {root}"
        ) from error
    except ValueError as error:
        raise DubbenchError(f"{path} is damaged ({error}); remove {root} and run dubbench prepare again") from error
    if not isinstance(value, dict) or not isinstance(value.get("root"), str):
        raise DubbenchError(f"{path} is damaged (it names no corpus); remove {root} and run dubbench prepare again")
    return dict(value)


def _resize(frame: Image, size: int) -> Image:
    if frame.shape[0] == size:
        return frame
    how = cv2.INTER_AREA if size < frame.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (size, size), interpolation=how), np.uint8)
