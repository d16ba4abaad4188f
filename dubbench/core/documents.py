"""YAML files that users write: plain values, every key once, and each fault told in one sentence."""

from collections.abc import Hashable
from itertools import accumulate, repeat
from pathlib import Path
from typing import Any

import yaml

from dubbench.errors import DubbenchError

# Far above what a config needs; a file of a kilobyte can stand for billions of values by aliases of aliases.
MOST_VALUES = 100_000
# Of brackets within one another, over which PyYAML works for minutes before it gives up.
DEEPEST = 200
OPENS = {"[": 1, "{": 1, "]": -1, "}": -1}


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that stands twice and values without end."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """See that no key stands twice in a mapping."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            # A merged mapping's keys give way to those that stand here.
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                here = key.start_mark.line + 1
                if key.value in lines:
                    raise DubbenchError(f"gives {key.value} twice, in lines {lines[key.value]} and {here}; leave one")
                lines[key.value] = here
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:  # noqa: ANN401
    """Read a YAML file of plain values.

    Raises:
        DubbenchError: if it is unreadable, no YAML, gives a key twice, or holds more than plain values or too many.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if max(accumulate(map(OPENS.get, text, repeat(0))), default=0) > DEEPEST:
            raise RecursionError
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except DubbenchError as error:
        raise DubbenchError(f"{path} {error}") from error
    except OSError as error:
        raise DubbenchError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise DubbenchError(f"{path} is not in UTF-8; save it as a text file in UTF-8") from error
    except RecursionError as error:
        raise DubbenchError(f"{path} is nested too deeply for a YAML file of options; write it flat") from error
    except (yaml.YAMLError, ValueError) as error:
        raise DubbenchError(f"{path} is no YAML file of plain values: {_fault(error)}") from error


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, those behind aliases each time."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_VALUES + 1  # for a node that holds itself
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [each for pair in node.value for each in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    known[id(node)] = 1 + sum(_count(each, known) for each in inner)
    if known[id(node)] > MOST_VALUES:
        raise DubbenchError(f"stands for more than {MOST_VALUES:,} values by its aliases; write out what it needs")
    return known[id(node)]


def _fault(error: Exception) -> str:
    """What is wrong and where, in one line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f" in line {mark.line + 1}" if mark is not None else ""
    return f"{' '.join(str(problem or error).split())[:160]}{where}"
