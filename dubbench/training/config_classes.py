"""Whose classes a config may name: importing one runs the top of its module, before anything is known of it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dubbench.core.documents import read_yaml
from dubbench.errors import DubbenchError

KNOWN = ("dubbench", "lightning", "torch")
YAML = (".yaml", ".yml")
GLANCE = 4096  # bytes that tell a text from a checkpoint


def check_classes(words: Iterable[str], others: Iterable[str], option: str) -> None:
    """See that the configs on a command line name classes of known packages alone; nothing is imported.

    A class that stands on the command line itself is the user's own word and not looked at.

    Args:
        words: of the command line.
        others: packages beside `KNOWN` that the user allows.
        option: that allows them, for what is said.

    Raises:
        DubbenchError: if a config, or one that it names, has another.
    """
    allowed = {*KNOWN, *others}
    waiting = [path for word in words if _is_text(path := Path(word.rpartition("=")[2]))]
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop(0)
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        for key, value in _texts(_contents(path)):
            package, dot, _ = value.partition(".")
            if key == "class_path" and dot and package not in allowed:
                raise DubbenchError(
                    f"{path} names the class {value}, and importing {package} runs its code; if you trust it, give "
                    f"{option} {package}, else another config"
                )
            waiting += [each for each in (path.parent / value, Path(value)) if _is_text(each)]


def _is_text(path: Path) -> bool:
    """Whether a word names a file that a parser could take for a config, whatever it is called."""
    try:
        if not path.is_file():  # a pipe would wait
            return False
        with path.open("rb") as file:
            return b"\0" not in file.read(GLANCE)
    except (OSError, ValueError):  # no file, or no name of one
        return False


def _contents(path: Path) -> Any:  # noqa: ANN401
    """What a config holds; nothing if it is none: then the parser, too, refuses it."""
    try:
        return read_yaml(path)
    except DubbenchError:
        if path.suffix in YAML:
            raise
        return None


def _texts(value: Any, key: object = None) -> Iterator[tuple[object, str]]:  # noqa: ANN401
    """All texts of a document, each with the key that it stands under."""
    waiting = [(key, value)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, each) for each in value]
