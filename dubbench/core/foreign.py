"""What somebody else wrote, read in bounded time and told in few words."""

import json
from pathlib import Path
from typing import Any

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


def short(value: object) -> str:
    """A value as it is told to people: its beginning, on one line, however much it holds."""
    if isinstance(value, list | tuple | dict | set):
        # Written out, a value of aliases could be longer than memory.
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
