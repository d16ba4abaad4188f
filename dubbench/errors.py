"""The one error that users see, and the search for it beneath others."""

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
