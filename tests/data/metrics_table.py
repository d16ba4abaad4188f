"""The tables of docs/metrics.md, from the definitions in the metrics' files.

python -m tests.data.metrics_table
"""

from collections.abc import Iterable, Iterator

from dubbench.metrics.catalogue import DEFINITIONS, Needs
from tests import ROOT

PAGE = ROOT / "docs" / "metrics.md"
BEGIN = "<!-- from the files of metrics/ by python -m tests.data.metrics_table -->"
END = "<!-- so far -->"
NEEDS: dict[Needs, str] = {
    "pixels": "crop",
    "crops": "crop",
    "landmarks": "landmarks",
    "faces": "face",
    "speech": "face and speech, a value a clip",
    "motion": "landmarks, a value a clip",
    "driver": "landmarks of three clips, a value a clip",
    "pool": "all crops, a value a split",
}


def page() -> str:
    """The page with its tables as they should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return "\n".join([f"{before}{BEGIN}\n", *_definitions(), "", *_references(), "", END]) + rest.split(END)[1]


def _definitions() -> Iterator[str]:
    yield from _table(
        ("metric", "result name", "definition", "unit", "better", "version", "computed on"),
        (
            (d.title or d.name, f"`{d.name}`", d.text, d.unit, d.better or "-", str(d.version), NEEDS[d.needs])
            for d in DEFINITIONS.values()
        ),
    )


def _references() -> Iterator[str]:
    yield from _table(
        ("result name", "held against", "deviation", "reached (tested)"),
        ((f"`{d.name}`", d.reference, d.deviation, d.reached) for d in DEFINITIONS.values() if d.reference),
    )


def _table(header: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for cells in (header, ("---",) * len(header), *lines):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
