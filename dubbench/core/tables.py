"""CSV files: written with LF line ends, read as spreadsheets save them, with every fault told."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dubbench.errors import DubbenchError

SEPARATORS = ",;\t"


def as_csv(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """CSV text with LF line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Read the lines of a CSV file that has at least ``columns``.

    A byte order mark, semicolons or tabs between the cells and CRLF at the ends of lines are read as they are meant.

    Raises:
        DubbenchError: if it is unreadable, is no UTF-8, names a column twice or lacks one.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        # Excel's own mark of what separates the cells.
        if mark := re.match(r"sep=(.)\r?\n", text):
            text = text[mark.end() :]
        separator = mark[1] if mark else _separator(text, columns)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        names = list(reader.fieldnames or ())
        lacking = [column for column in columns if column not in names]
        if lacking:
            raise DubbenchError(
                f"{path} lacks the column {lacking[0]}: it must have {', '.join(columns)}, and has "
                f"{', '.join(names)[:160] or 'none'}"
            )
        if twice := [name for name in columns if names.count(name) > 1]:
            raise DubbenchError(f"{path} has two columns called {twice[0]}; leave one")
        for line in reader:
            if None in line or None in line.values():
                raise DubbenchError(f"{path}, line {reader.line_num}, does not have as many cells as the header")
            yield line
    except UnicodeDecodeError as error:
        raise DubbenchError(f"{path} is not in UTF-8; save it as a CSV file in UTF-8") from error
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DubbenchError(f"{path} cannot be read as a CSV file: {reason}") from error


def _separator(text: str, columns: Sequence[str]) -> str:
    """What stands between the cells: that by which the first line has most of the columns, else the comma."""
    header = text.partition("\n")[0].strip("\r")

    def found(separator: str) -> int:
        return len(set(columns) & {cell.strip('"') for cell in header.split(separator)})

    return max(SEPARATORS, key=found)
