"""An ablation study as tables: the paper's values, ours beside them, and whether both put the rows in one order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy.stats import spearmanr

from dubbench.ablations.study import Budget, Outcome, Value
from dubbench.ablations.tables import Ablation
from dubbench.core.console import widened
from dubbench.core.files import write_text
from dubbench.core.tables import as_csv
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.papers import Column, Measure, columns, printed, remarks
from dubbench.results.numbers import directed, millions, number, of_metric

COLUMNS = (
    "paper", "table", "row", "model", "column", "printed", "metric", "alike", "value", "ci_low", "ci_high", "clips",
    "lost", "parameters", "dataset", "split", "steps", "batch_size", "seed", "failure",
)  # fmt: skip
NARROWEST = 140
FEWEST = 3


def write(out: Path, outcomes: Sequence[Outcome], budget: Budget) -> None:
    """Write ``ablation.csv``, a line a value, and ``ablation.md``."""
    lines = [line for outcome in outcomes for line in _lines(outcome, budget)]
    write_text(out / "ablation.csv", as_csv(COLUMNS, lines))
    tables = [_markdown(table, rows, budget) for table, rows in _tables(outcomes)]
    write_text(out / "ablation.md", "\n".join(tables))


def show(outcomes: Sequence[Outcome], budget: Budget, console: Console) -> None:
    """Print each table with ours beside the paper's."""
    console = widened(NARROWEST, console)
    for table, rows in _tables(outcomes):
        console.print(Text(f"{table.title}, and the same rows here", style="bold"))
        console.print(_screen(table, rows))
        for line in notes(table, rows, budget):
            console.print(Text(line, style="dim"), soft_wrap=True)
        console.print()


def notes(table: Ablation, rows: Sequence[Outcome], budget: Budget) -> list[str]:
    """What a reader must know: how ours came about, orders, what differs, what is absent and what failed."""
    size = f" of {budget.batch_size}" if budget.batch_size else ""
    tiny = ", tiny networks" if budget.tiny else ""
    how = f"{Path(budget.dataset).stem}, {budget.steps} batches{size}, seed {budget.seed}{tiny}"
    how += f", scored on {table.split}" if table.scored() else ""
    found = [f"printed: as in the paper; here: {how}. Orders can be compared, values cannot"]
    for column in _columns(table):
        found += [f"{column.measure.name}: {told}" for told in [agreement(column.name, column.measure, rows)] if told]
    for column in _columns(table):
        if not column.measure.alike:
            ours = _called(table.metrics[column.name])
            found.append(f"† {column.measure.name} in the paper is not {ours} here: {column.measure.note}")
    found += remarks(table.paper, table.table)
    reasons: dict[str, list[str]] = {}
    for outcome in rows:
        for name, reason in outcome.absent.items():
            reasons.setdefault(f"{name} has no value: {reason}", []).append(outcome.row)
    failed = [
        f"{outcome.row} ({outcome.variant.name}) failed, {outcome.failure}" for outcome in rows if outcome.failure
    ]
    return [*found, *reasons, *failed, *([f"{len(failed)} of {len(rows)} rows failed"] if failed else [])]


def agreement(column: str, measure: Measure, rows: Sequence[Outcome]) -> str:
    """Whether both have the same best row, and the rank correlation; empty below two rows with values."""
    paper = _printed(rows)
    both = [(paper[o.row][column], o.values[column].value, o.row) for o in rows if column in o.values]
    both = [each for each in both if np.isfinite(each[1])]
    if len(both) < 2 or not measure.better:
        return ""
    theirs, ours = (np.array([float(each[k]) for each in both]) for k in (0, 1))
    if np.ptp(ours) == 0:
        return "no difference here"
    sign = 1 if measure.better == "higher" else -1
    best = [both[int(np.argmax(sign * values))][2] for values in (theirs, ours)]
    told = f"best in both {best[0]}" if best[0] == best[1] else f"best in the paper {best[0]}, here {best[1]}"
    if len(both) < FEWEST or np.ptp(theirs) == 0:
        return told
    return f"{told}; rank correlation {float(spearmanr(theirs, ours).statistic):.2f} over {len(both)} rows"


def _tables(outcomes: Sequence[Outcome]) -> list[tuple[Ablation, list[Outcome]]]:
    found: dict[str, tuple[Ablation, list[Outcome]]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.table.name, (outcome.table, []))[1].append(outcome)
    return list(found.values())


def _columns(table: Ablation) -> list[Column]:
    return [column for column in columns(table.paper, table.table) if column.name in table.metrics]


def _printed(rows: Sequence[Outcome]) -> dict[str, dict[str, str]]:
    table = rows[0].table
    return {row.row: row.texts for row in printed(table.paper) if row.table == table.table}


def _lines(outcome: Outcome, budget: Budget) -> list[list[str]]:
    table = outcome.table
    texts = _printed([outcome])[outcome.row]
    nothing = Value(float("nan"))
    lines = []
    for column in _columns(table):
        value = outcome.values.get(column.name, nothing)
        cells = [table.paper, table.table, outcome.row, outcome.variant.name, column.name, texts.get(column.name, "")]
        cells += [table.metrics[column.name], "yes" if column.measure.alike else "no", *map(number, value)]
        cells += [str(outcome.clips), str(outcome.lost), str(outcome.parameters or ""), budget.dataset]
        cells += [table.split if table.scored() else "", str(budget.steps), str(budget.batch_size or "")]
        cells += [str(budget.seed), outcome.failure]
        lines.append(cells)
    return lines


def _cells(outcome: Outcome) -> list[str]:
    """Row, the paper's value and ours by column, clips and parameters."""
    texts = _printed([outcome])[outcome.row]
    found = [outcome.row]
    for column in _columns(outcome.table):
        found += [texts.get(column.name, ""), _ours(outcome, column.name)]
    total = outcome.clips + outcome.lost
    return [*found, f"{outcome.clips}/{total}" if total else "", millions(outcome.parameters or 0)]


def _ours(outcome: Outcome, column: str) -> str:
    if outcome.failure:
        return "failed"
    if column not in outcome.values:
        return ""
    metric, (value, low, high) = outcome.table.metrics[column], outcome.values[column]
    interval = f" ({of_metric(metric, low)}, {of_metric(metric, high)})" if low == low else ""
    return of_metric(metric, value) + interval


def _header(table: Ablation) -> list[str]:
    found = ["row"]
    for column in _columns(table):
        measure, metric = column.measure, table.metrics[column.name]
        found.append(f"{directed(measure.name, measure.better)}\nprinted")
        found.append(f"{_called(metric)}{'' if measure.alike else ' †'}\nhere")
    return [*found, "clips", "params"]


def _called(metric: str) -> str:
    return metric if metric in DEFINITIONS else metric.partition("/")[2]


def _screen(table: Ablation, rows: Sequence[Outcome]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD)
    for column, header in enumerate(_header(table)):
        style = "italic" if header.endswith("printed") else ""
        drawn.add_column(Text(header), justify="right" if column else "left", no_wrap=bool(column), style=style)
    for outcome in rows:
        drawn.add_row(*map(Text, _cells(outcome)), style="dim" if outcome.failure else "")
    return drawn


def _markdown(table: Ablation, rows: Sequence[Outcome], budget: Budget) -> str:
    header = [name.replace("\n", " ") for name in _header(table)]
    lines = [header, ["---"] * len(header), *map(_cells, rows)]
    drawn = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    told = [f"- {line}" for line in notes(table, rows, budget)]
    return "\n".join([f"## {table.title}", "", *drawn, "", *told, ""])
