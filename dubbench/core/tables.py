"""CSV files: written with LF line ends, read with every fault told."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dubbench.errors import DubbenchError

# What a spreadsheet would take for a formula and run, behind the quotes that keep it from doing so.
FORMULA = re.compile(r"'*[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*(e[+-]?\d+)?|inf|nan)")


def as_csv(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """CSV text with LF line ends; text that a spreadsheet would run gets a ``'`` in front, as such programs know it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([list(map(harmless, line)) for line in (header, *lines)])
    return text.getvalue()


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs; `read_csv` gives it back as it was. Numbers stay as they are."""
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Read the lines of a CSV file that has at least ``columns``.

    Raises:
        DubbenchError: if it is unreadable or lacks a column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            lacking = [column for column in columns if column not in (reader.fieldnames or ())]
            if lacking:
                raise DubbenchError(f"{path} lacks the column {lacking[0]}; its columns are {', '.join(columns)}")
            for line in reader:
                if None in line or None in line.values():
                    raise DubbenchError(f"{path}, line {reader.line_num}, does not have as many cells as the header")
                yield {name: _as_it_was(cell) for name, cell in line.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DubbenchError(f"{path} cannot be read as a CSV file: {error}") from error
