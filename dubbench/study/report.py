"""Opinion scores as a CSV and as a table like the papers' Table 3, which follows as they print it."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dubbench.core.files import write_text
from dubbench.core.tables import as_csv
from dubbench.papers import TITLES, printed
from dubbench.results.numbers import decimals, number
from dubbench.results.rows import GROUND_TRUTH
from dubbench.study.answers import Gathered
from dubbench.study.questions import OF_PAPERS, QUESTIONS
from dubbench.study.score import Estimate

COLUMNS = tuple(field.name for field in fields(Estimate))
TABLE = "3"


def write(path: Path, found: Sequence[Estimate]) -> None:
    """Write all estimates as a tidy CSV with `COLUMNS`; what there is none of is empty."""
    lines = []
    for estimate in found:
        cells = (getattr(estimate, column) for column in COLUMNS)
        lines.append([number(cell) if isinstance(cell, float) else str(cell) for cell in cells])
    write_text(path, as_csv(COLUMNS, lines))


def show(found: Sequence[Estimate], gathered: Gathered, console: Console) -> None:
    """Print scores, differences and agreement; then what the papers print, marked as theirs."""
    questions = list(dict.fromkeys(estimate.question for estimate in found))
    console.print(_means(found, questions, gathered))
    counts = ", ".join(f"{count} {kind}" for kind, count in gathered.counts.items() if count)
    console.print(
        f"{len(gathered.raters)} raters, {len(gathered.ratings)} ratings; answer files: {counts}.\n"
        "95 % intervals: bootstrap over raters and clips, 2000 resamples.",
        style="dim",
        soft_wrap=True,
    )
    for note in gathered.notes:
        console.print(note, markup=False, soft_wrap=True)
    if any(estimate.statistic == "difference" for estimate in found):
        console.print(_differences(found, questions))
    for question in questions:
        console.print(_judges(found, question), soft_wrap=True)
    for paper in OF_PAPERS:
        _show_paper(paper, console)


def _table(title: str, questions: Sequence[str], label: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column(label, no_wrap=True)
    for question in questions:
        table.add_column(QUESTIONS[question].title if question in QUESTIONS else question, justify="right")
    return table


def _means(found: Sequence[Estimate], questions: Sequence[str], gathered: Gathered) -> Table:
    """A row a method with the interval; the best of the methods is bold, ground truth takes no part."""
    table = _table("Mean opinion scores, 1 (worst) to 5 (best)", questions, "method")
    means = {(each.method, each.question): each for each in found if each.statistic == "mean"}
    for method in gathered.methods:
        cells = []
        for question in questions:
            rivals = [each.value for (name, asked), each in means.items() if asked == question and name != GROUND_TRUTH]
            own = means.get((method, question))
            best = own is not None and method != GROUND_TRUTH and own.value == max(rivals)
            cells.append(Text(_cell(own), "bold" if best else ""))
        table.add_row(("* " if method == GROUND_TRUTH else "  ") + method, *cells)
    return table


def _differences(found: Sequence[Estimate], questions: Sequence[str]) -> Table:
    table = _table("Differences of means, same raters and clips", questions, "methods")
    cells = {(e.method, e.against, e.question): e for e in found if e.statistic == "difference"}
    for one, other in dict.fromkeys((one, other) for one, other, _ in cells):
        table.add_row(f"{one} - {other}", *(_cell(cells.get((one, other, question))) for question in questions))
    return table


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value != estimate.value:
        return ""
    value, low, high = (decimals(each, "points") for each in (estimate.value, estimate.ci_low, estimate.ci_high))
    return f"{value} ({low} to {high})" if low else value


def _judges(found: Sequence[Estimate], question: str) -> str:
    """Agreement and drift of one question."""
    own = {estimate.statistic: estimate for estimate in found if estimate.question == question}
    alpha = own["alpha"].value
    agreement = f"{alpha:.3f}" if alpha == alpha else "none (no video with two different ratings)"
    return (
        f"{question}: Krippendorff's alpha (ordinal) {agreement}; "
        f"second half of the session less the first {_cell(own['drift']) or 'unknown'}"
    )


def _show_paper(paper: str, console: Console) -> None:
    rows = [row for row in printed(paper) if row.table == TABLE]
    columns = [column for column in dict.fromkeys(c for row in rows for c in row.values) if "%" not in column]
    if not rows:
        return
    console.print(
        f"{TITLES[paper]}, Table {TABLE}, as printed in its paper: other raters and videos, not ours",
        style="dim italic",
        soft_wrap=True,
    )
    table = Table(box=box.SIMPLE_HEAD, style="dim italic")
    table.add_column("method", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        name = f"{TITLES[paper]} ('Ours' there)" if row.row == "Ours" else row.row
        table.add_row(name, *(row.texts.get(column, "") for column in columns))
    console.print(table)
