"""What papers print in their tables, as files: a value a line, with the table, row and column it stands in.

None of it was measured here. ``<paper>.csv`` has the columns `COLUMNS`, and every number of every table. One rule
names them all: rows are methods or variants, called as in the paper without citations; columns are what was measured,
as printed without arrows, after the setting (data set, kind of driving) that tells two of the same name apart. So
RealTalk's Tables 3 and 5 are turned, and data sets that a table lists below each other stand in the columns: ``HDTF
PSNR``. Cells without a number are left out, and so are marks of the best.

``settings.csv`` says which data set and driving a setting is, ``measures.csv`` what a column measures and which metric
of dubbench's is like it, ``remarks.csv`` in what else the paper's own method and the one here cannot be compared.
"""

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

COLUMNS = ("table", "row", "column", "value")
# By paper: what its method is called here, and in the tables.
PAPERS = {
    "radio": ("RADIO", ("RADIO",)),
    "radio_supplement": ("RADIO", ()),
    "personatalk": ("PersonaTalk", ("Ours",)),
    "realtalk": ("RealTalk", ("RealTalk", "Ours")),
    "g4g": ("G4G", ("Ours",)),
}
TITLES = {name: title for name, (title, _) in PAPERS.items()} | {"radio_supplement": "RADIO's supplement"}


class Printed(NamedTuple):
    """One row of a paper's table.

    Attributes:
        paper: stem of the file.
        table: number of the table.
        row: its name there.
        values: by the column's name there.
        texts: the same as they are printed, with their trailing zeros.
    """

    paper: str
    table: str
    row: str
    values: dict[str, float]
    texts: dict[str, str]


class Measure(NamedTuple):
    """What a paper measures under a name.

    Attributes:
        name: as printed, without a setting.
        better: ``higher``, ``lower``, or empty where the paper prefers neither.
        alike: whether a metric of ours has the same definition and unit; another crop, or clips, are in the note.
        nearest: our metric that asks the same question, alike or not; empty where there is none.
        note: what differs, or what the paper does not say.
    """

    name: str
    better: str
    alike: bool
    nearest: str
    note: str


class Setting(NamedTuple):
    """What a group of columns was measured on.

    Attributes:
        name: what stands before the measure in the column's name; empty where the table has one setting.
        dataset: short name of the corpus; empty where the paper does not say.
        driving: ``own``, ``cross``, or empty where speech plays no part or is not told.
    """

    name: str
    dataset: str
    driving: str


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: of the column.
        setting: what it was measured on.
        measure: what was measured.
    """

    name: str
    setting: Setting
    measure: Measure


class Claim(NamedTuple):
    """One printed value, as far as it can be held beside ours.

    Attributes:
        paper: stem of the file.
        table: number of the table.
        row: its name there.
        dataset: as `Setting` has it.
        driving: as `Setting` has it.
        metric: our metric of the same definition and unit; empty where there is none.
        column: as printed.
        value: the number.
        alike: whether there is such a metric; other values never stand in one column with ours.
        text: the number as printed.
        method: the row's name, with the paper's own method called by its name instead of "Ours".
        measure: the column's name without its setting.
        better: as `Measure` has it.
        nearest: as `Measure` has it.
        note: as `Measure` has it.
    """

    paper: str
    table: str
    row: str
    dataset: str
    driving: str
    metric: str
    column: str
    value: float
    alike: bool
    text: str
    method: str
    measure: str
    better: str
    nearest: str
    note: str


def printed(paper: str) -> list[Printed]:
    """The rows of all tables of a paper of `PAPERS`, in the file's order."""
    rows: dict[tuple[str, str], Printed] = {}
    for line in _lines(paper):
        row = rows.setdefault(
            (line["table"], line["row"]),
            Printed(paper=paper, table=line["table"], row=line["row"], values={}, texts={}),
        )
        row.values[line["column"]] = float(line["value"])
        row.texts[line["column"]] = line["value"]
    return list(rows.values())


def columns(paper: str, table: str) -> list[Column]:
    """The columns of a table, those of a setting together, in the paper's order."""
    names = dict.fromkeys(name for row in printed(paper) if row.table == table for name in row.values)
    settings, measures = _settings()[paper, table], list(_measures()[paper])
    found = [_column(paper, table, name) for name in names]
    return sorted(found, key=lambda column: (settings.index(column.setting), measures.index(column.measure.name)))


def remarks(paper: str, table: str) -> list[str]:
    """What must be known of a method here before its metrics are held beside those of a paper's table."""
    if not any(column.measure.nearest for column in columns(paper, table)):
        return []
    return [line["remark"] for line in _lines("remarks") if line["paper"] == paper]


def claims(dataset: str | None = None) -> list[Claim]:
    """Every printed value with what it means here, of all papers or of those measured on one corpus."""
    found = []
    for paper in PAPERS:
        known: dict[tuple[str, str], Column] = {}
        for row in printed(paper):
            for name in row.values:
                column = known.setdefault((row.table, name), _column(paper, row.table, name))
                if dataset in (None, column.setting.dataset):
                    found.append(_claim(row, column))
    return found


def _claim(row: Printed, column: Column) -> Claim:
    setting, measure = column.setting, column.measure
    return Claim(
        paper=row.paper,
        table=row.table,
        row=row.row,
        dataset=setting.dataset,
        driving=setting.driving,
        metric=measure.nearest if measure.alike else "",
        column=column.name,
        value=row.values[column.name],
        alike=measure.alike,
        text=row.texts[column.name],
        method=method(row.paper, row.row),
        measure=measure.name,
        better=measure.better,
        nearest=measure.nearest,
        note=measure.note,
    )


def method(paper: str, row: str) -> str:
    """A row's name that is clear outside its table."""
    title, own = PAPERS[paper]
    return title if row in own else row


def _column(paper: str, table: str, name: str) -> Column:
    """Split a column's name where a known setting ends and a known measure begins."""
    for setting in _settings()[paper, table]:
        measure = _measures()[paper].get(name.removeprefix(setting.name).lstrip())
        if measure is not None and name.startswith(setting.name):
            return Column(name, setting, measure)
    raise KeyError(f"{paper}.csv, table {table}: {name!r} is in neither settings.csv nor measures.csv")


@cache
def _settings() -> Mapping[tuple[str, str], list[Setting]]:
    found: dict[tuple[str, str], list[Setting]] = {}
    for line in _lines("settings"):
        setting = Setting(line["setting"], line["dataset"], line["driving"])
        found.setdefault((line["paper"], line["table"]), []).append(setting)
    return found


@cache
def _measures() -> Mapping[str, dict[str, Measure]]:
    found: dict[str, dict[str, Measure]] = {}
    for line in _lines("measures"):
        measure = Measure(
            name=line["measure"],
            better=line["better"],
            alike=line["alike"] == "yes",
            nearest=line["nearest"],
            note=line["note"],
        )
        found.setdefault(line["paper"], {})[measure.name] = measure
    return found


def _lines(name: str) -> Iterable[dict[str, str]]:
    text = (files(__name__) / f"{name}.csv").read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())
