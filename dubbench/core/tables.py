"""CSV files: written with LF line ends, read with every fault told."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dubbench.errors import DubbenchError


def as_csv(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """CSV text with LF line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


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
                yield line
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DubbenchError(f"{path} cannot be read as a CSV file: {error}") from error
