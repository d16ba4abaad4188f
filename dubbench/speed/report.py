"""Speeds as a file, ``speed.csv``, and as a table beside what papers print."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dubbench.core.console import widened
from dubbench.core.files import write_text
from dubbench.core.tables import as_csv, read_csv
from dubbench.errors import DubbenchError
from dubbench.papers import printed
from dubbench.results.numbers import decimals, millions, number

if TYPE_CHECKING:
    from dubbench.speed.measure import Cost, Speed

NAME = "speed.csv"
TOTAL, REST = "total", "rest"
KEY = ("model", "device", "precision", "compile")
COSTS = ("part", "parameters", "multiply_adds", "ms", "ms_low", "ms_high", "fps", "memory_mib")
FACTS = ("size", "frames", "repeats", "threads", "weights", "torch", "version")
COLUMNS = (*KEY, *COSTS, *FACTS)
NUMBERS = ("parameters", "multiply_adds", "ms", "ms_low", "ms_high", "fps", "memory_mib")
NARROWEST = 148
# By paper and table: what to call it, which part of a method its times are of, and the columns of a speed in it.
PRINTED = {
    ("realtalk", "1"): ("RealTalk, Table 1", TOTAL, {"fps": "Speed (FPS)"}),
    ("realtalk", "7"): ("RealTalk, Table 7", "renderer", {"ms": "Runtime (ms)", "parameters": "Param. (M)"}),
}
CAPTION = (
    "† printed in a paper, on its authors' machines and not measured here; {notes}\n"
    "parameters, multiply-adds (of convolutions, matrix products and attention) and ms add up to the total's; "
    "memory: a GPU's allocator at its peak, else the process's resident set"
)

Line = Mapping[str, str]


def lines(speed: "Speed", labels: Mapping[str, str]) -> list[Line]:
    """The file's lines of one measurement: the total, the parts, and the rest.

    Args:
        speed: what was measured.
        labels: the other columns, `KEY` and those of `FACTS` that a speed does not know.
    """
    facts = {**labels, "frames": str(speed.frames), "repeats": str(speed.repeats)}
    whole = {"fps": number(1 / speed.total.seconds), "memory_mib": number(speed.memory / 2**20)}
    return [
        {**dict.fromkeys(COLUMNS, ""), **facts, **_cells(cost), **(whole if cost is speed.total else {})}
        for cost in (speed.total, *speed.parts, speed.rest)
    ]


def _cells(cost: "Cost") -> Line:
    times = {"ms": cost.seconds, "ms_low": cost.low, "ms_high": cost.high}
    return {
        "part": cost.part,
        "parameters": str(cost.parameters),
        "multiply_adds": f"{cost.multiply_adds:.0f}",
        **{name: number(1000 * seconds) for name, seconds in times.items()},
    }


def record(folder: Path, new: Sequence[Line]) -> Path:
    """Put a measurement into the folder's file in place of what that has of the same `KEY`.

    Raises:
        DubbenchError: if the file is damaged.
    """
    path = folder / NAME
    key = _key(new[0])
    others = [line for line in read(path) if _key(line) != key] if path.is_file() else []
    write_text(path, as_csv(COLUMNS, [[line[column] for column in COLUMNS] for line in (*others, *new)]))
    return path


def speed_file(folder: Path) -> Path | None:
    """The file of a results folder, or the file itself; None where there is none."""
    path = folder / NAME if folder.is_dir() else folder
    return path if path.name == NAME and path.is_file() else None


def holds_only_speeds(folder: Path) -> bool:
    """Whether a results folder, or a file, holds speeds and no scores."""
    return speed_file(folder) is not None and not (folder / "summary.csv").is_file()


def read(path: Path) -> list[Line]:
    """Read a file that `record` wrote.

    Raises:
        DubbenchError: if it is damaged.
    """
    found: list[Line] = list(read_csv(path, COLUMNS))
    for line in found:
        for column in NUMBERS:
            try:
                float(line[column] or "nan")
            except ValueError as error:
                raise DubbenchError(
                    f"{path} holds {line[column]!r} for {column}; remove it and run dubbench speed"
                ) from error
    return found


def collected(folders: Iterable[Path]) -> list[Line]:
    """The lines of all files in these results folders, equal ones once.

    Raises:
        DubbenchError: as `read` does.
    """
    files = filter(None, map(speed_file, folders))
    return list({tuple(line.values()): line for path in files for line in read(path)}.values())


class Claimed(NamedTuple):
    """A speed that a paper prints.

    Attributes:
        method: as the paper calls it.
        table: the paper and its table.
        part: what of the method was timed.
        values: fps, ms and parameters (millions), where it prints them.
    """

    method: str
    table: str
    part: str
    values: dict[str, float]


def printed_speeds() -> list[Claimed]:
    """Speeds that papers print; none of them was measured here."""
    found = []
    for paper in dict.fromkeys(name for name, _ in PRINTED):
        for row in printed(paper):
            if (row.paper, row.table) in PRINTED:
                title, part, columns = PRINTED[row.paper, row.table]
                values = {name: row.values[column] for name, column in columns.items() if column in row.values}
                found += [Claimed(row.row, title, part, values)] if values else []
    return found


def show(folders: Iterable[Path], console: Console | None = None) -> None:
    """Print one table of the speeds in results folders, and below them what papers print; nothing if there are none.

    Args:
        folders: results folders, or ``speed.csv`` files.
        console: where to print, by default the standard output.

    Raises:
        DubbenchError: as `read` does.
    """
    found = collected(folders)
    if not found:
        return
    console = widened(NARROWEST, console)
    console.print(_table(found))
    notes = "; ".join(f"{title} times the {part}" for title, part, _ in PRINTED.values() if part != TOTAL)
    console.print(CAPTION.format(notes=notes), style="dim", soft_wrap=True)


def _table(measured: Sequence[Line]) -> Table:
    table = Table(title="speed of dubbing", box=box.SIMPLE_HEAD)
    for header in ("method", "part"):
        table.add_column(header, no_wrap=True)
    table.add_column("where", overflow="fold")
    for header in ("params", "MAC/frame", "ms/frame", "(from, to)", "frames/s", "memory"):
        table.add_column(header, justify="right", no_wrap=True)
    for line in measured:
        whole = line["part"] == TOTAL
        where = ", ".join([line["device"], line["precision"], *(["compiled"] if line["compile"] else [])])
        cells = (
            "  " + line["model"] if whole else "",
            line["part"],
            where if whole else "",
            millions(float(line["parameters"] or 0)),
            millions(float(line["multiply_adds"] or 0), 1),
            _milliseconds(line["ms"]),
            f"({_milliseconds(line['ms_low'])}, {_milliseconds(line['ms_high'])})",
            _rate(line["fps"]),
            line["memory_mib"] and f"{float(line['memory_mib']):.0f} MiB",
        )
        table.add_row(*map(Text, cells), style="" if whole else "dim")
    table.add_section()
    for method, title, part, values in printed_speeds():
        parameters = millions(1e6 * values.get("parameters", 0))
        ms, fps = _milliseconds(values.get("ms", "")), _rate(values.get("fps", ""))
        table.add_row(*map(Text, ("† " + method, part, title, parameters, "", ms, "", fps, "")), style="dim italic")
    return table


def _key(line: Line) -> tuple[str, ...]:
    return tuple(line[column] for column in KEY)


def _milliseconds(value: str | float) -> str:
    return decimals(float(value or "nan"), "ms")


def _rate(value: str | float) -> str:
    return decimals(float(value or "nan"), "frames/s")
