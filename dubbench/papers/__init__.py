"""What papers print in their tables, as files: a value a line, with the table, row and column it stands in.

None of it was measured here. ``<paper>.csv`` has the columns `COLUMNS`; rows and columns are called as in the paper.
"""

import csv
from importlib.resources import files
from typing import NamedTuple

COLUMNS = ("table", "row", "column", "value")


class Printed(NamedTuple):
    """One row of a paper's table.

    Attributes:
        paper: stem of the file.
        table: number of the table.
        row: its name there.
        values: by the column's name there.
    """

    paper: str
    table: str
    row: str
    values: dict[str, float]


def printed(paper: str) -> list[Printed]:
    """The rows of all tables of a paper that the package has, in the file's order."""
    text = (files(__name__) / f"{paper}.csv").read_text(encoding="utf-8")
    rows: dict[tuple[str, str], Printed] = {}
    for line in csv.DictReader(text.splitlines()):
        row = rows.setdefault((line["table"], line["row"]), Printed(paper, line["table"], line["row"], {}))
        row.values[line["column"]] = float(line["value"])
    return list(rows.values())
