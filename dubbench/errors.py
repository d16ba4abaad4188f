"""The one error that users see, the search for it beneath others, and what is said of each."""

import errno
from typing import TypeVar

Kind = TypeVar("Kind", bound=BaseException)


class DubbenchError(Exception):
    """A mistake or a missing thing, told in one sentence: what, where, and the way out."""


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
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"the disk is full{where}; free some space and give the same command again: it goes on where it was"
    if isinstance(error, ImportError) and error.name and error.name.partition(".")[0] != __package__:
        return f"{error.name} cannot be loaded ({error}); `dubbench doctor` says what is missing and how to get it"
    # jsonargparse wraps what a model's constructor says of settings that do not go together.
    told = beneath(error, DubbenchError) if isinstance(error, DubbenchError | ValueError) else None
    return None if told is None else str(told)
