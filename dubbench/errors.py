"""The one error that users see, the search for it beneath others, and what is said of each."""

import errno
from typing import TypeVar

Kind = TypeVar("Kind", bound=BaseException)
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Places that the machine or the user's rights keep from us: no fault of this package's.
REFUSED = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EIO,
    }
    | {errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.EMFILE, errno.ENFILE}
)


class DubbenchError(Exception):
    """A mistake or a missing thing, told in one sentence: what, where, and the way out."""


class UsageError(DubbenchError):
    """A mistake in the words of a command line, told in one sentence; the exit status is that of wrong usage."""


def misfit(error: RuntimeError) -> str:
    """The first thing that ``load_state_dict`` complains of, in at most 160 letters."""
    return "".join(str(error).strip().splitlines()[1:2]).strip()[:160]


def beneath(error: BaseException | None, kind: type[Kind]) -> Kind | None:
    """The first of a kind among an error and what it was raised from; None if there is none."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def sentence(error: BaseException) -> str | None:
    """What a user is told of an error; None for a fault of this package, which needs its traceback."""
    if isinstance(error, OSError) and (told_of := _of_files(error)):
        return told_of
    if isinstance(error, ImportError) and error.name and error.name.partition(".")[0] != __package__:
        return f"{error.name} cannot be loaded ({error}); `dubbench doctor` says what is missing and how to get it"
    # jsonargparse wraps what a model's constructor says of settings that do not go together.
    told = beneath(error, DubbenchError) if isinstance(error, DubbenchError | ValueError) else None
    return None if told is None else str(told)


def _of_files(error: OSError) -> str:
    """What is told of a place that refuses; empty where that is no matter of permissions, names and room."""
    where = f" {error.filename}" if error.filename else ""
    if error.errno in FULL:
        limit = "the disk is full" if error.errno == errno.ENOSPC else "a quota or limit of file sizes is reached"
        at = f" while writing{where}" if where else ""
        return f"{limit}{at}; free some space and give the same command again: it goes on where it was"
    if error.errno in REFUSED and where:
        return f"{error.filename!s} cannot be used ({error.strerror}); check the path and its permissions"
    return ""
