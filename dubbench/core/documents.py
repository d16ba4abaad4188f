"""JSON and YAML files that somebody else may have written: plain values, and an answer in bounded time."""

import json
from pathlib import Path
from typing import Any

import yaml

from dubbench.errors import DubbenchError

DEEPEST = 100
# Of values with every alias written out: a config has hundreds, and nine lists of nine aliases each have 10 ** 9.
MOST_VALUES = 100_000
SHOWN = 80


def read_json(path: Path) -> Any:  # noqa: ANN401
    """The value of a JSON file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no UTF-8, no JSON, or nested more deeply than the interpreter goes.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error


def read_yaml(path: Path, what: str) -> Any:  # noqa: ANN401
    """The value of a YAML file: scalars, lists and mappings alone, since other tags name code.

    Args:
        path: of the file.
        what: it should be, for what is said of it.

    Raises:
        DubbenchError: if it cannot be read, is no YAML, or holds more than anybody writes by hand.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if fault := _overgrown(text):
            raise DubbenchError(f"{path} is not {what}: {fault}")
        return yaml.safe_load(text)
    except RecursionError as error:
        raise DubbenchError(f"{path} is not {what}: its brackets are nested too deeply") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise DubbenchError(f"{path} is not {what}: {error}") from error


def short(value: object) -> str:
    """A value as it is told to people: its beginning, on one line, however much it holds."""
    if isinstance(value, list | tuple | dict | set):
        # Written out, a value of aliases could be longer than memory.
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _overgrown(text: str) -> str:
    """What is too much of a YAML text, its aliases written out; empty if nothing is."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    open_nodes: set[int] = set()

    def measure(node: yaml.Node) -> str:
        key = id(node)
        if key in open_nodes:
            return "it holds an alias of what it lies in"
        if key in sizes:
            return ""
        inner = []
        if isinstance(node, yaml.SequenceNode):
            inner = list(node.value)
        elif isinstance(node, yaml.MappingNode):
            inner = [each for pair in node.value for each in pair]
        open_nodes.add(key)
        for each in inner:
            if fault := measure(each):
                return fault
        open_nodes.discard(key)
        sizes[key] = 1 + sum(sizes[id(each)] for each in inner)
        depths[key] = 1 + max((depths[id(each)] for each in inner), default=0)
        if sizes[key] > MOST_VALUES:
            return f"its aliases stand for more than {MOST_VALUES:,} values"
        return f"it is nested more than {DEEPEST} deep" if depths[key] > DEEPEST else ""

    return "" if root is None else measure(root)
