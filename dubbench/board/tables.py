"""Leaderboards for programs: a wide CSV with a line a row, and a tidy one with a line a row and metric."""

from collections.abc import Sequence
from pathlib import Path

from dubbench.board.entries import COUNTS, FACTS, LABELS, Entry, metrics_of
from dubbench.board.ranking import Group
from dubbench.core.files import write_text
from dubbench.core.tables import as_csv
from dubbench.results.numbers import number
from dubbench.results.rows import SUMMARY_COLUMNS

TIDY = (
    *SUMMARY_COLUMNS, "group", "rank", "best", "best_checkpoint_sha256", "difference", "p", "p_holm", "pairs", "note",
    *FACTS,
)  # fmt: skip


def write_wide(path: Path, entries: Sequence[Entry]) -> None:
    """Write a row an entry, a column a metric; empty where a metric could not be computed."""
    metrics = metrics_of(entries, absent=True)
    header = (*LABELS, *COUNTS, *metrics, *FACTS)
    lines = [[cells.get(column, "") for column in header] for cells in (entry.cells(metrics) for entry in entries)]
    write_text(path, as_csv(header, lines))


def write_tidy(path: Path, groups: Sequence[Group]) -> None:
    """Write a line a row and metric: what ``summary.csv`` has, the rank in its group, and the test against the best.

    Metrics that a run could not compute have a line without a value, with the reason as its note.
    """
    lines = [line for group in groups for index in range(len(group.entries)) for line in _lines(group, index)]
    write_text(path, as_csv(TIDY, [[line.get(column, "") for column in TIDY] for line in lines]))


def _lines(group: Group, index: int) -> list[dict[str, str]]:
    entry = group.entries[index]
    shared = {**entry.labels, **entry.facts, "group": group.key}
    found = []
    for metric in metrics_of([entry], absent=True):
        if metric not in entry.rows:
            found.append({**shared, "metric": metric, "note": entry.absent[metric]})
            continue
        row, standing = entry.rows[metric], group.standings[metric]
        cells = {column: getattr(row, column) for column in SUMMARY_COLUMNS}
        line = {key: number(value) if isinstance(value, float) else str(value) for key, value in cells.items()}
        line |= {"rank": str(standing.ranks.get(index, "")), "note": "" if entry.end else standing.note}
        if standing.best is not None and index in standing.comparisons:
            best, test = group.entries[standing.best], standing.comparisons[index]
            line |= {
                "best": best.method,
                "best_checkpoint_sha256": best.facts.get("checkpoint_sha256", ""),
                "difference": number(test.difference),
                "p": number(test.p),
                "p_holm": number(test.adjusted),
                "pairs": str(test.clips),
                "note": test.note,
            }
        found.append({**shared, **line})
    return found
