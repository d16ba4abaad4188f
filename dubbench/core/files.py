"""Files that are whole or absent, fingerprints, and paths that stay in their folder."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any

from dubbench.errors import FULL, DubbenchError

UNFINISHED = ".*.tmp.*"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; it takes the place of ``path`` when the block ends well.

    The temporary name keeps the suffix, since encoders choose their container by it. What a killed process left of the
    same file is taken over, so that nothing piles up. A pipe, a terminal or a device is no file whose place could be
    taken: what the block wrote is then written into it.
    """
    if not is_plain(path):
        with tempfile.TemporaryDirectory(prefix="dubbench-") as folder:
            temporary = Path(folder, f"output{path.suffix}")
            yield temporary
            _pour(temporary, path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(path) as temporary:
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """The first free of some hidden names beside ``path``, with an empty file that is locked while the block lasts."""
    for number in count():
        temporary = path.with_name(f".{path.stem}.{number}.tmp{path.suffix}")
        try:
            file = _taken(temporary)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            temporary.unlink(missing_ok=True)
            yield path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
            return
        if file is not None:
            with file:
                file.truncate(0)
                yield temporary
            return


def _taken(path: Path, flags: int = os.O_CREAT) -> FileIO | None:
    """Open and lock an unfinished file; None if another process has it, or if it is none of ours.

    The lock dies with whoever holds it. Folders are handed over, and a name in them may lead outside: what is a link,
    has a second name or is no plain file is left alone.
    """
    from filelock import lock_descriptor

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO) or (path.exists() and error.errno == errno.EACCES):
            return None
        raise
    file = os.fdopen(descriptor, "r+b", buffering=0)
    try:
        about = os.fstat(descriptor)
        free = stat.S_ISREG(about.st_mode) and about.st_nlink == 1 and lock_descriptor(descriptor, blocking=False)
        # Whoever had it may have given it its name, or removed it, before it was locked.
        if free and path.exists() and os.path.samestat(about, path.lstat()):
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def is_plain(path: Path) -> bool:
    """Whether a path is, or could become, a file of its own: no pipe, terminal or device, nor what a shell made one."""
    if _descriptor(path) is not None:
        return False
    try:
        mode = path.lstat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)


def _descriptor(path: Path) -> int | None:
    """The open file of this process that a path such as ``/dev/stdout`` stands for; None for any other path."""
    for _ in range(8):
        folder = os.path.realpath(path.parent)
        if path.name.isdigit() and re.fullmatch(rf"/proc/(self|{os.getpid()})/fd|/dev/fd", folder):
            return int(path.name)
        if not path.is_symlink():
            break
        path = Path(folder, path.readlink())
    return None


def _pour(source: Path, target: Path) -> None:
    """Write a finished file into what is no plain file; into an open one where that stands, not over what is there."""
    number = _descriptor(target)
    if number in (1, 2):
        (sys.stdout if number == 1 else sys.stderr).flush()
    into = os.fdopen(os.dup(number), "wb") if number is not None else target.open("wb")
    with source.open("rb") as file, into:
        shutil.copyfileobj(file, into)


def output_file(text: str) -> Path:
    """A file that a command line names to be written, as the type of an option: seen to before any work is done.

    What a symbolic link leads to is written, and the link stays.

    Raises:
        DubbenchError: if nothing can be written there.
    """
    path = Path(text)
    if path.is_symlink() and _descriptor(path) is None:
        path = path.resolve()
    if path.is_dir():
        raise DubbenchError(f"{text} is a folder; name a file to write")
    if not is_plain(path):
        if _descriptor(path) is None and not os.access(path, os.W_OK):
            raise DubbenchError(f"{text} cannot be written to (no permission); name another file")
        return path
    _try(path.parent, text)
    return path


def output_folder(text: str) -> Path:
    """A folder that a command line names to be filled, as the type of an option: seen to before any work is done.

    Raises:
        DubbenchError: if it is no folder, or nothing can be written there.
    """
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise DubbenchError(f"{text} is no folder; name a folder to write to")
    _try(path, text)
    return path


def _try(folder: Path, named: str) -> None:
    """See whether files can be made in a folder that is there, or in the nearest above it that is."""
    try:
        while not folder.is_dir():
            if folder.exists() or folder.is_symlink():
                raise DubbenchError(f"{named} cannot be written: {folder} is no folder; name another place")
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DubbenchError(f"{named} cannot be written ({error.strerror} in {folder}); name another place") from error


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
    for path in folder.glob(f".{escape(Path(name).stem)}.*.tmp.*" if name else UNFINISHED):
        path.unlink()


def sweep_abandoned(folder: Path) -> None:
    """Remove unfinished files of `atomic` at any depth that nobody writes any more."""
    for path in folder.glob(f"**/{UNFINISHED}"):
        if not path.name.split(".tmp.")[0].rpartition(".")[2].isdigit():
            continue
        try:
            file = _taken(path, 0)
        except OSError:  # it is gone by now, or nothing can be locked there
            continue
        if file is not None:
            with file:
                path.unlink(missing_ok=True)


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
        if getattr(error, "errno", None) in FULL:
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
