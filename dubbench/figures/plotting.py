"""What all figures share: matplotlib where it is here, cells for pictures, PNG files that are whole or absent."""

from collections.abc import Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from dubbench.core.files import atomic
from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
CELL = 1.5  # inches
LABEL = 1.5


def library(name: str) -> Any:  # noqa: ANN401
    """Import a library that only figures need.

    Raises:
        DubbenchError: if it is absent.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = {"matplotlib": "matplotlib", "sklearn": "scikit-learn", "PIL": "pillow"}[name.partition(".")[0]]
        raise DubbenchError(f"figures need {package}, which is not installed: pip install {package}") from error


def sheet(width: float, height: float) -> "Figure":
    """An empty figure of so many inches."""
    figure: Figure = library("matplotlib.figure").Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure


def grid(rows: int, columns: int, aspect: float = 1.0, foot: float = 0.0) -> "tuple[Figure, list[list[Axes]]]":
    """Cells for pictures, without ticks; labels of rows stand left of them.

    Args:
        rows: of cells.
        columns: of cells.
        aspect: height of a cell over its width.
        foot: inches below the cells, for text.
    """
    figure = sheet(LABEL + columns * CELL, rows * (CELL * aspect + 0.06) + 0.35 + foot)
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    cells = figure.subplots(rows, columns, squeeze=False)
    for cell in cells.flat:
        cell.set(xticks=[], yticks=[])
        for spine in cell.spines.values():
            spine.set_visible(False)
    return figure, [list(row) for row in cells]


def name_row(cell: "Axes", text: str) -> None:
    """Write a row's label left of its first cell."""
    cell.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=8, labelpad=4)


def show(cell: "Axes", picture: NDArray[Any], title: str = "") -> None:
    """Put a picture [h, w, 3] into a cell."""
    cell.imshow(picture, interpolation="antialiased")
    if title:
        cell.set_title(title, fontsize=8, pad=3)


def save(figure: "Figure", path: Path, colours: int | None = None) -> None:
    """Write a PNG, the same bytes for the same figure; where it is of lines, few ``colours`` make it small."""
    with atomic(path) as temporary:
        if colours is None:
            figure.savefig(temporary, metadata={"Software": None})
            return
        drawn = BytesIO()
        figure.savefig(drawn, metadata={"Software": None})
        # Pillow comes with matplotlib.
        with library("PIL.Image").open(drawn) as picture:
            picture.convert("RGB").quantize(colours).save(temporary, optimize=True)


def numbers(text: str, what: str, limit: int) -> list[int]:
    """Frame numbers as ``0,20,40``, each below ``limit``.

    Raises:
        DubbenchError: if they are none.
    """
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise DubbenchError(f"{what} {text!r} is no list of frame numbers; write it as 0,20,40") from error
    return [within(number, what, limit) for number in found]


def within(number: int, what: str, limit: int) -> int:
    """A frame number of a clip of ``limit`` frames.

    Raises:
        DubbenchError: if the clip has no such frame.
    """
    if not 0 <= number < limit:
        raise DubbenchError(f"{what} {number} is not in the clip; it has frames 0 to {limit - 1}")
    return number


def refuse(reason: str | bool) -> None:
    """Raise `DubbenchError` with the reason, where there is one."""
    if reason:
        raise DubbenchError(str(reason))


def lettering(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table as text of one width a letter, the first column flush left."""
    table = [columns, *lines]
    widths = [max(len(row[k]) for row in table) for k in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )
