"""What jsonargparse and Lightning say of wrong options, in one sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException

from dubbench.errors import DubbenchError, UsageError, beneath

MOST = 200
# Which types a value was tried as, and how the parser holds it: of use to the parser's makers.
NOISE = re.compile(
    r"Does not validate against any of the Union subtypes|Subtypes: .*|Errors:|Expected a <class 'NoneType'>"
    r"|Expected a path but .*|Given value.*|Problem with given class_path .*|Parser key \"[\w.]*\":"
)


@contextmanager
def told(verb: str) -> Iterator[None]:
    """Turn what a parser raises into a sentence on the option.

    Raises:
        UsageError: instead of the parser's own error.
    """
    try:
        yield
    except (ArgumentError, RecursionError) as error:
        # What one of our own files or classes says of itself is a sentence already.
        if own := beneath(error, DubbenchError):
            raise type(own)(str(own)) from error
        raise UsageError(f"{_sentence(str(error))}; `dubbench {verb} --help_all` lists the options") from error


@contextmanager
def told_of_trainer(*kinds: type[Exception]) -> Iterator[None]:
    """Turn what Lightning says of settings that it cannot use into a sentence.

    Args:
        kinds: of errors that it raises beside its own.

    Raises:
        DubbenchError: instead of Lightning's error.
    """
    caught: tuple[type[Exception], ...] = (MisconfigurationException, *kinds)
    try:
        yield
    except caught as error:
        raise DubbenchError(f"{_first(str(error))}; change the trainer's options (--trainer. ...)") from error


@contextmanager
def told_of_values() -> Iterator[None]:
    """Turn what constructors, and torch beneath them, say of values that they cannot be built with into a sentence.

    Raises:
        DubbenchError: instead of their own errors.
    """
    try:
        yield
    except (ValueError, TypeError, ArithmeticError, RuntimeError, MemoryError) as error:
        if own := beneath(error, DubbenchError):
            raise type(own)(str(own)) from error
        raise DubbenchError(f"the options cannot be used together: {_sentence(str(error))}; change them") from error


def _sentence(message: str) -> str:
    """The deepest of what is said, after the option's name."""
    keys = list(dict.fromkeys(re.findall(r'Parser key "([\w.]+)":', message)))
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    said = [re.sub(r'^Parser key "[\w.]*": ', "", line) for line in lines if line and not NOISE.fullmatch(line)]
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", "; ".join(dict.fromkeys(said)) or "this has a wrong value")
    text = re.sub(r"\b(expected) a (?=[aeiou])", r"\1 an ", text, flags=re.IGNORECASE)
    option = "--" + ".".join(keys) if keys else ""
    return _first(f"{option}: {text}" if option else text)


def _first(text: str) -> str:
    """One line, cut where it goes on for long."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= MOST else f"{line[:MOST]} ..."
