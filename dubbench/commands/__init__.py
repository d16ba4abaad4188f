"""The verbs of the command line, one file each: ``add_arguments`` declares the options, ``run`` does the work.

Help and wrong words are answered at once: a file imports at its top what the options need, and in ``run`` what costs
time to load.

A verb that builds models or data from the command line takes their constructors' options, too (``--model.size 96``):
it declares ``CONSTRUCTORS``, the prefixes of such options, and finds the words of each prefix in
``options.constructors``.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dubbench.core.config_names import options as grouped
from dubbench.core.console import speaking
from dubbench.core.printable import visible
from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

QUIET, CLASSES = "--quiet", "--classes"


class _Once(argparse.Action):
    """Stores a value; a second one for the same option would undo the first in silence, and is refused."""

    _given: tuple[str, Any] | None = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401
        option_string: str | None = None,
    ) -> None:
        """Take the value."""
        if option_string and self._given and self._given[1] != values:
            parser.error(f"{self._given[0]} and {option_string} have two values for one option; give it once")
        self._given = option_string or "", values
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """A parser with what all verbs and their actions take."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        for name in (None, "store"):
            self.register("action", name, _Once)
        # Suppressed, so that an action which does not say it leaves what its verb says.
        self.add_argument(
            QUIET,
            action="store_true",
            default=argparse.SUPPRESS,
            help="say nothing but errors, and what is asked for",
        )

    def _parse_optional(self, arg_string: str) -> Any:  # noqa: ANN401
        """Take a word that begins with one dash and is no option for a value: files may be called so."""
        if not arg_string.startswith("--") and arg_string not in self._option_string_actions:
            return None
        return super()._parse_optional(arg_string)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """Show what the user's words make of the screen, instead of letting them."""
        super()._print_message(visible(message, lines=True), file)


def add_json(parser: argparse.ArgumentParser, what: str, *, default: bool | str = False) -> None:
    """Declare ``--json``, which prints one JSON document instead of tables and sentences.

    Args:
        parser: of a verb, or of an action of it.
        what: is printed.
        default: `argparse.SUPPRESS` for an action whose verb takes it as well.
    """
    said = f"print {what} as one JSON document, and nothing else"
    parser.add_argument("--json", action="store_true", default=default, help=said)


def add_video_root(parser: argparse.ArgumentParser) -> None:
    """Declare ``--video_root``: results say where videos lie, but only their user says what else may be shown."""
    parser.add_argument(
        "--video_root",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder outside the results whose videos may be shown, as given to eval --videos; may be repeated",
    )


def seed(text: str) -> int:
    """The type of an option that seeds draws.

    Raises:
        argparse.ArgumentTypeError: if it is no number that all libraries take.
    """
    if not (text.isdecimal() and text.isascii() and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed, give 0 to {2**32 - 1}")
    return int(text)


def call(verb: str, words: Sequence[str], summary: str = "", *, step: bool = False) -> int:
    """Parse the words after a verb and run it.

    Args:
        verb: name of its module here.
        words: of the command line.
        summary: what it does, for ``--help``.
        step: it is a step of another verb: it shows how far it is, but not where things are nor what comes next.

    Returns:
        The exit status.
    """
    module = import_module(f"dubbench.commands.{verb}")
    prefixes: tuple[str, ...] = getattr(module, "CONSTRUCTORS", ())
    parser = _Parser(prog=f"dubbench {verb}", description=summary, allow_abbrev=not prefixes)
    module.add_arguments(parser)
    if prefixes:
        parser.add_argument(
            CLASSES,
            action="append",
            default=argparse.SUPPRESS,
            metavar="PACKAGE",
            help="let YAML files name classes of this package, too, whose code importing it runs; may be repeated",
        )
    options, others = parser.parse_known_args(words)
    if quiet := "quiet" in options:
        del options.quiet
    options.words = [word for word in words if word != QUIET]
    if prefixes:
        from dubbench.training.config_classes import check_classes

        check_classes(words, vars(options).pop("classes", ()), CLASSES)
        options.words = _without(CLASSES, options.words)
    options.constructors = _constructors(others, prefixes, parser)
    with speaking(quiet=quiet, step=step):
        return int(module.run(options))


def _without(option: str, words: Sequence[str]) -> list[str]:
    """Words without an option that takes a value."""
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if option not in (before, word) and not word.startswith(f"{option}=")
    ]


def _constructors(
    words: Sequence[str], prefixes: Sequence[str], parser: argparse.ArgumentParser
) -> dict[str, list[str]]:
    """The words for constructors by prefix; any other is a usage error."""
    found: dict[str, list[str]] = {prefix: [] for prefix in prefixes}
    for option in grouped(words):
        name, *values = option
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if prefix is None:
            parser.error(f"unrecognized arguments: {' '.join(option).strip()}")
        if len(values) > 1 and f"{name}={values[0]}" in words:
            parser.error(f"unrecognized arguments: {' '.join(values[1:])}")
        found[prefix] += option
    return found


def parse_faces(
    text: str, option: str, policies: Sequence[str] = ("one", "largest")
) -> str | tuple[float, float, float, float]:
    """Read what an option says of faces, as `dubbench.face.choice.Faces`.

    Args:
        text: one of ``policies``, or a box as X,Y,W,H.
        option: its name, for errors.
        policies: that it takes.

    Raises:
        DubbenchError: if it is neither.
    """
    if text in policies:
        return text
    try:
        left, top, width, height = (float(side) for side in text.split(","))
    except ValueError as error:
        raise DubbenchError(f"{option} {text} is no box; give {', '.join(policies)} or X,Y,W,H in pixels") from error
    if not (all(isfinite(side) for side in (left, top, width, height)) and width > 0 and height > 0):
        raise DubbenchError(f"{option} {text} is an empty box; give X,Y,W,H with a width and a height")
    return left, top, width, height
