"""Files that are whole or absent, fingerprints, and paths that stay in their folder."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dubbench.errors import DubbenchError

UNFINISHED = ".*.tmp.*"
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; it takes the place of ``path`` when the block ends well.

    The temporary name keeps the suffix, since encoders choose their container by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path``; it becomes ``path``, which is not there yet, when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path, name: str = "") -> None:
    """Remove unfinished files of `atomic` in a folder where nobody else writes (`dubbench.core.locks.claimed`).

    Args:
        folder: is not searched below.
        name: of the only file whose unfinished ones go; empty for all files.
    """
    for path in folder.glob(f".{Path(name).stem}.*.tmp.*" if name else UNFINISHED):
        path.unlink()


def sweep_abandoned(folder: Path) -> None:
    """Remove unfinished files of `atomic` at any depth whose process is gone.

    Others may be writing there, but on this machine only: a process of another one looks as if it was gone.
    """
    for path in folder.glob(f"**/{UNFINISHED}"):
        owner = path.name.split(".tmp.")[0].rpartition(".")[2]
        if owner.isdigit() and not _alive(int(owner)):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write ``text`` atomically, with LF line ends."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401
    """Write a JSON file atomically, keys in order so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def no_room(error: BaseException | None) -> bool:
    """Whether a full disk, quota or file-size limit lies at the bottom of an error."""
    while error is not None:
        if getattr(error, "errno", None) in NO_ROOM:
            return True
        error = error.__cause__ or error.__context__
    return False


def inside(root: Path, relative: str) -> Path:
    """Join ``relative`` to ``root``.

    Raises:
        DubbenchError: if the result lies outside ``root``.
    """
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise DubbenchError(f"{relative!r} points outside {root}; names must stay in their folder")
    return path
