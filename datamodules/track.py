"""``track.npz``: a row a frame of mesh, points, transform and detected flag, written and read by rows."""

import mmap
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from dubbench.errors import DubbenchError

MEMBERS: dict[str, tuple[str, tuple[int, ...]]] = {
    "mesh": ("<f4", (478, 3)),
    "points": ("<f4", (68, 2)),
    "transform": ("<f8", (2, 3)),
    "detected": ("|b1", ()),
}


class TrackWriter:
    """Append rows, then leave an uncompressed npz that ``np.load`` opens; memory does not grow with the rows.

    Rows gather in raw files beside ``path`` until the block ends well, since an array's header needs their number.
    Equal rows give equal bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._raw: dict[str, IO[bytes]] = {}

    def __enter__(self) -> "TrackWriter":
        for name in MEMBERS:
            self._raw[name] = self._raw_path(name).open("wb")
        return self

    def append(self, **row: Any) -> None:  # noqa: ANN401
        """Add one frame.

        Args:
            row: ``mesh`` [478, 3], ``points`` [68, 2], ``transform`` [2, 3] and ``detected``, as in `MEMBERS`.
        """
        for name, (dtype, shape) in MEMBERS.items():
            value = np.asarray(row[name], dtype=dtype)
            if value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape}, not {shape}")
            self._raw[name].write(value.tobytes())
        self.rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for file in self._raw.values():
                file.close()
            if kind is None:
                self._join()
        finally:
            for name in MEMBERS:
                self._raw_path(name).unlink(missing_ok=True)

    def _join(self) -> None:
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_STORED) as archive:
            for name, (dtype, shape) in MEMBERS.items():
                header = {"descr": dtype, "fortran_order": False, "shape": (self.rows, *shape)}
                # ZipInfo's own date, 1980, keeps the clock out of the bytes.
                member = zipfile.ZipInfo(f"{name}.npy")
                with archive.open(member, "w", force_zip64=True) as out, self._raw_path(name).open("rb") as raw:
                    np.lib.format.write_array_header_1_0(out, header)  # type: ignore[no-untyped-call]  # numpy leaves it bare
                    shutil.copyfileobj(raw, out, 1 << 20)

    def _raw_path(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{name}.raw")


class Track:
    """Rows of a ``track.npz`` without reading the whole of it."""

    def __init__(self, path: Path) -> None:
        """Find where the arrays lie in the file.

        Raises:
            DubbenchError: if the file is absent or no track.
        """
        try:
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            # One map serves the archive and every array, so that a window opens the file once.
            with zipfile.ZipFile(cast(IO[bytes], content)) as archive:
                self._arrays = {name: _mapped(content, archive.getinfo(f"{name}.npy")) for name in MEMBERS}
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DubbenchError(
                f"{path} is not a track ({error}); remove its folder and run dubbench prepare"
            ) from error

    def __len__(self) -> int:
        return len(self._arrays["detected"])

    def rows(self, name: str, indices: Sequence[int] | None = None) -> NDArray[Any]:
        """Copy the rows ``indices`` (all by default, any order, duplicates allowed) of an array.

        Raises:
            IndexError: if an index is negative or beyond the last frame.
        """
        array = self._arrays[name]
        if indices is None:
            return np.array(array)
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(array)):
            raise IndexError(f"frames {wanted.min()} to {wanted.max()} of a clip with {len(array)} frames")
        return np.asarray(array[wanted])


def _mapped(content: mmap.mmap, member: zipfile.ZipInfo) -> NDArray[Any]:
    """View of a stored array of a zip archive: past its local header, then past its npy header."""
    content.seek(member.header_offset + 26)
    name_length, extra_length = np.frombuffer(content.read(4), dtype="<u2").tolist()
    content.seek(member.header_offset + 30 + name_length + extra_length)
    file = cast(IO[bytes], content)
    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]  # numpy leaves it untyped
    if member.compress_type != zipfile.ZIP_STORED or version != (1, 0):
        raise ValueError(f"{member.filename} is compressed or of version {version}")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]  # likewise
    flat = np.frombuffer(content, dtype, int(np.prod(shape)), content.tell())
    return flat.reshape(shape, order="F" if fortran else "C")
