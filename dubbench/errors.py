"""The one error that users see."""


class DubbenchError(Exception):
    """A mistake or a missing thing, told in one sentence: what, where, and the way out."""


def misfit(error: RuntimeError) -> str:
    """The first thing that ``load_state_dict`` complains of, in at most 160 letters."""
    return "".join(str(error).strip().splitlines()[1:2]).strip()[:160]
