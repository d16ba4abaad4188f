"""Named arrays in one file: npz without pickles, whole or absent, equal arrays giving equal bytes."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dubbench.core.files import atomic
from dubbench.errors import DubbenchError

# Real arrays shrink to a tenth at the most; what unpacks to far more was made to fill the memory.
PLENTY, MOST = 1 << 26, 100

Arrays = dict[str, NDArray[Any]]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an uncompressed npz atomically; ``np.savez`` would put the clock into it."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                array = np.array(arrays[name], order="C")
                np.lib.format.write_array(member, array, allow_pickle=False)  # type: ignore[no-untyped-call]


def read_arrays(path: Path) -> Arrays:
    """Read every array of an npz.

    Raises:
        DubbenchError: if the file is absent, damaged or holds anything but plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            _refuse_bomb(archive.zip, path)
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise DubbenchError(f"{path} is not there") from error
    except Exception as error:  # numpy and zipfile raise a dozen kinds for a damaged file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DubbenchError(f"{path} is truncated, damaged or holds more than arrays ({reason[:160]})") from error


def _refuse_bomb(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise `ValueError` if arrays claim to be much larger than the file that they are packed in."""
    unpacked, packed = sum(member.file_size for member in archive.infolist()), path.stat().st_size
    if unpacked > max(PLENTY, MOST * packed):
        raise ValueError(f"{packed:,} bytes that unpack to {unpacked:,}")
