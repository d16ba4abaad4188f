"""Folders that this package writes to, empties and deletes in: no name in them leads elsewhere."""

from pathlib import Path, PurePosixPath

from dubbench.errors import DubbenchError


def own(root: Path, relative: str) -> Path:
    """Join ``relative`` to ``root`` for writing or removing.

    ``root`` itself may be a link, for its user named it; whoever hands over a folder can have put links into it, and
    what is written through them would land outside.

    Args:
        root: folder that somebody named.
        relative: a posix path below it, of what need not be there yet.

    Raises:
        DubbenchError: if it leaves ``root``, or one of its folders or itself is a symbolic link.
    """
    if not stays(relative):
        raise DubbenchError(f"{relative!r} points outside {root}; names must stay in their folder")
    path = root
    for part in PurePosixPath(relative).parts:
        path = path / part
        if path.is_symlink():
            raise DubbenchError(
                f"{path} is a symbolic link, and nothing is written or removed through one; put a folder or file in "
                "its place, or give another folder"
            )
    return path


def stays(relative: str) -> bool:
    """Whether a posix path is relative and never climbs."""
    path = PurePosixPath(relative)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
