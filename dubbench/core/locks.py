"""Claims of folders and files for one process; each dies with the process that holds it, however that ends.

The folder or file itself is locked, by `filelock.lock_descriptor`: filelock's usual locks are files of their own, which
stay behind, and a prepared folder must not hold one file more than its clips.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dubbench.core.files import sweep
from dubbench.errors import DubbenchError


@contextmanager
def claimed(folder: Path, verb: str) -> Iterator[None]:
    """Keep other runs of a verb off a folder, made if need be; unfinished files go, before and after.

    Raises:
        DubbenchError: if the folder cannot be made, or another run has claimed it.
    """
    from filelock import lock_descriptor

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DubbenchError(f"cannot make the folder {folder} ({error.strerror}); give another with --out") from error
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not lock_descriptor(descriptor, blocking=False):
            raise DubbenchError(f"another dubbench {verb} is writing to {folder}; wait for it or give another --out")
        try:
            sweep(folder)
            yield
        finally:
            sweep(folder)
    finally:
        os.close(descriptor)


def open_alone(path: Path) -> BinaryIO:
    """Open a file for this process alone, to add to it, made if need be; waits while another process has it."""
    from filelock import lock_descriptor

    while True:
        file = path.open("a+b")
        lock_descriptor(file.fileno())
        # Whoever held the lock before may have renamed or removed the very file that we waited for.
        if is_open_at(file, path):
            return file
        file.close()


def is_open_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that lies at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
