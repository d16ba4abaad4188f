"""Numbers that papers print for a corpus, as blocks of their own: never ranked, never in a column with ours."""

from collections.abc import Sequence
from dataclasses import dataclass

from dubbench import papers

MARK = "printed in a paper, not measured here"
OTHER = "†"
FOOTNOTE = f"{OTHER} another definition or unit than the metric of a like name here"


@dataclass(frozen=True)
class Block:
    """One table of a paper, as far as it is about a corpus.

    Attributes:
        title: the paper and its table.
        columns: as printed, with `OTHER` where the definition or unit is another than ours, or we have none.
        rows: the method's name, what drove it, and a cell a column as printed; empty where nothing is.
        footnotes: what the mark means, what is known of a column's definition, and of the paper's method beside ours.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    footnotes: tuple[str, ...]


def blocks(dataset: str) -> list[Block]:
    """What papers print for a corpus, a block a table, in the papers' order."""
    tables: dict[tuple[str, str], list[papers.Claim]] = {}
    for claim in papers.claims(dataset):
        tables.setdefault((claim.paper, claim.table), []).append(claim)
    return [_block(paper, table, own) for (paper, table), own in tables.items()]


def _block(paper: str, table: str, own: Sequence[papers.Claim]) -> Block:
    # What has a column for each driving audio in print has a row for each here: one name, one column.
    columns = {claim.measure: claim for claim in own}
    rows = dict.fromkeys((claim.row, _driving(claim, own)) for claim in own)
    values = {(claim.row, _driving(claim, own), claim.measure): claim.text for claim in own}
    names = {claim.row: claim.method for claim in own}
    notes = [f"{name}: {claim.note}" for name, claim in columns.items() if claim.note]
    return Block(
        f"{papers.TITLES[paper]}, Table {table}",
        tuple(name if claim.alike else f"{name} {OTHER}" for name, claim in columns.items()),
        tuple((names[row], by, tuple(values.get((row, by, name), "") for name in columns)) for row, by in rows),
        (*([] if all(claim.alike for claim in own) else [FOOTNOTE]), *notes, *papers.remarks(paper, table)),
    )


def _driving(claim: papers.Claim, table: Sequence[papers.Claim]) -> str:
    """What drove a row; a value that no audio changes, such as a time, joins the only one that the row has."""
    others = {other.driving for other in table if other.row == claim.row and other.driving}
    return others.pop() if not claim.driving and len(others) == 1 else claim.driving
