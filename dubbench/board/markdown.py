"""A leaderboard as Markdown, for a README, an issue or a CI summary."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dubbench.board import claims
from dubbench.board.ranking import Group
from dubbench.board.significance import DEFINITION
from dubbench.board.words import (
    apart,
    definition,
    directed_heading,
    heading,
    lacking,
    main_of,
    parameters,
    remarks,
    scored,
    short,
    span,
    title,
)
from dubbench.core.files import write_text
from dubbench.results.numbers import decimals, p_value
from dubbench.speed import report as speed_report

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
ALIKE = "≈"
LEGEND = (
    f"**Best** and <ins>second best</ins> of the methods in a table; {ALIKE} cannot be told from the best. In brackets "
    "the 95 % bootstrap interval over clips. Rows in *italics* are the ends of the scale and take no part."
)


def write_markdown(path: Path, groups: Sequence[Group], speeds: Sequence[speed_report.Line]) -> None:
    """Write a table for each group, the tests against its best, what papers print for its corpus, and speeds."""
    parts = ["# Leaderboard", LEGEND]
    for group in groups:
        parts += _group(group)
    for dataset in dict.fromkeys(group.labels["dataset"] for group in groups):
        parts += _claims(dataset)
    parts += _speeds(speeds) if speeds else []
    parts += _definitions(groups)
    write_text(path, "\n\n".join(parts) + "\n")


def escaped(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\&", "&amp;")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are Markdown already; the first column is text, the others are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *rows])


def _group(group: Group) -> Iterator[str]:
    labels = group.labels
    yield f"## {escaped(title(group))}"
    yield f"Protocol {escaped(labels['protocol_hash'])}, clips {escaped(labels['split_hash'])}."
    if group.apart:
        yield f"> **{escaped(apart(group))}**"
    metrics = main_of(group.metrics)
    header = [
        "method",
        "clips",
        *(directed_heading(name, group.entries) for name in metrics),
        "params",
    ]
    yield _table([*map(escaped, header)], (_row(group, index, metrics) for index in range(len(group.entries))))
    notes = [*remarks(group), *(f"without {names}: {reason}" for names, reason in lacking(group))]
    for name, entry in zip(group.names, group.entries, strict=True):
        notes += [f"{name} failed on {clip}: {reason}" for clip, reason in entry.failed.items()]
    missing = {clip: reason for entry in group.entries for clip, reason in entry.missing.items()}
    notes += [f"{clip} is asked for and was not scored: {reason}" for clip, reason in missing.items()]
    if notes:
        yield "\n".join(f"- {escaped(note)}" for note in notes)
    tests = list(_tests(group))
    if tests:
        header = ["against the best", "metric", "best", "difference", "p", "p (Holm)", "clips"]
        yield _table(header, tests)


def _row(group: Group, index: int, metrics: Sequence[str]) -> list[str]:
    entry = group.entries[index]
    name = escaped(group.names[index])
    cells = [f"*{name}*" if entry.end else name, scored(entry)]
    for metric in metrics:
        value, standing = short(entry.rows.get(metric)), group.standings[metric]
        rank = standing.ranks.get(index) if standing.contested else None
        value = {1: f"**{value}**", 2: f"<ins>{value}</ins>"}.get(rank or 0, value)
        alike = index in standing.comparisons and standing.comparisons[index].alike
        limits = span(entry.rows.get(metric))
        cells.append(f"{value}{' ' + ALIKE if alike else ''}{f' ({limits})' if limits else ''}")
    return [*cells, parameters(entry)]


def _tests(group: Group) -> Iterator[list[str]]:
    for metric, standing in group.standings.items():
        for index, test in standing.comparisons.items():
            if standing.best is not None:
                unit = group.entries[index].rows[metric].unit
                words = [group.names[index], heading(metric), group.names[standing.best]]
                difference = decimals(test.difference, unit, metric)
                numbers = [difference, p_value(test.p) or test.note, p_value(test.adjusted)]
                yield [*map(escaped, [*words, *numbers]), str(test.clips)]


def _claims(dataset: str) -> Iterator[str]:
    found = claims.blocks(dataset)
    if found:
        yield f"## {escaped(dataset)} in papers: {claims.MARK}"
    for block in found:
        header = [escaped(block.title), "driven by", *map(escaped, block.columns)]
        rows = [[escaped(f"{row} ({claims.MARK})"), driving, *cells] for row, driving, cells in block.rows]
        yield _table(header, rows)
        if block.footnotes:
            yield escaped("; ".join(block.footnotes))


def _speeds(speeds: Sequence[speed_report.Line]) -> Iterator[str]:
    yield "## Speed of dubbing"
    whole = [line for line in speeds if line["part"] == speed_report.TOTAL]
    columns = ("ms", "ms_low", "ms_high", "fps", "memory_mib", "parameters", "multiply_adds")
    rows = [
        [escaped(line["model"]), escaped(f"{line['device']}, {line['precision']}"), *(line[name] for name in columns)]
        for line in whole
    ]
    yield _table(["method", "where", *map(escaped, columns)], rows)
    printed = [
        [escaped(f"{own.method} ({claims.MARK})"), own.table, own.part, *(_value(own, name) for name in ("ms", "fps"))]
        for own in speed_report.printed_speeds()
    ]
    yield _table(["in papers", "table", "part", "ms", "fps"], printed)


def _value(own: speed_report.Claimed, name: str) -> str:
    return f"{own.values[name]:g}" if name in own.values else ""


def _definitions(groups: Sequence[Group]) -> Iterator[str]:
    yield "## Definitions"
    shown = main_of(name for group in groups for name in group.metrics)
    told = {name: definition(name) for name in shown}
    yield "\n".join(
        f"- **{escaped(heading(name))}** ({unit}, {better}): {escaped(text)}"
        for name, (text, unit, better) in told.items()
    )
    yield DEFINITION
