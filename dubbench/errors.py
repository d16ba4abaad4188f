"""The one error that users see."""


class DubbenchError(Exception):
    """A mistake or a missing thing, told in one sentence: what, where, and the way out."""
