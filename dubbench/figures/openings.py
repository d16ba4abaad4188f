"""Whom a dubbed mouth follows: its opening over time beside the driver's and the source's own, a panel a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dubbench.core.files import inside
from dubbench.core.foreign import read_json
from dubbench.core.tables import read_csv
from dubbench.errors import DubbenchError
from dubbench.figures import plotting
from dubbench.figures.shown import ENDS
from dubbench.media import FPS
from dubbench.results.rows import DRIVER, GROUND_TRUTH, OPENING, ClipResult, results_folders

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

WIDTH, PANEL, FOOT = 7.0, 1.25, 0.75  # inches
PERCENT = 100
COLOURS = 64
MEASURES = ("drive", "ghost")

Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Followed:
    """How far mouths are open on one clip, NaN where there is no face, as shares of the eyes' distance.

    Attributes:
        driving: id of the clip whose speech drives it.
        source: [T], the clip's own mouth as it was filmed.
        driver: [T], of the driving clip.
        rows: by method, the dubbed mouth [T] and its values of `MEASURES`.
    """

    driving: str
    source: Curve
    driver: Curve
    rows: Mapping[str, tuple[Curve, Mapping[str, float]]]


def read(folders: Sequence[Path], clip: str, methods: Sequence[str] | None = None) -> Followed:
    """Read what ``dubbench eval`` recorded of a clip; a row that several folders have is the first one's.

    Raises:
        DubbenchError: if a folder holds no results, the clip is in none of them or not driven by another one, or a
            method that is asked for is in none.
    """
    found: dict[str, ClipResult] = {}
    driving: dict[str, str] = {}
    for folder in results_folders(folders):
        for method in _methods(folder):
            part = ClipResult.read(inside(folder, f"parts/{method}/{clip}.json"))
            if part is not None and part.curves:
                found.setdefault(method, part)
        pairs = folder / "pairing.csv"
        if pairs.is_file():
            driving |= {line["clip"]: line["driving"] for line in read_csv(pairs, ("clip", "driving"))}
    truth = found.get(GROUND_TRUTH)
    plotting.refuse(truth is None and f"no results here recorded {clip}; check the id, or score it with dubbench eval")
    if truth is None or DRIVER not in truth.curves:
        raise DubbenchError(f"{clip} is driven by its own speech here; score it under a cross protocol, as fair_cross")
    for name in methods or ():
        plotting.refuse(name not in found and f"no {name} of {clip} is in these results; there are {', '.join(found)}")
    ends_first = sorted(found, key=lambda name: ENDS.index(name) if name in ENDS else len(ENDS))
    chosen = {name: found[name] for name in methods or ends_first}
    return Followed(
        driving=driving.get(clip, "driver"),
        source=_curve(truth, OPENING),
        driver=_curve(truth, DRIVER),
        rows={
            name: (_curve(part, OPENING), {key: part.values[key] for key in MEASURES if key in part.values})
            for name, part in chosen.items()
        },
    )


def _methods(folder: Path) -> list[str]:
    try:
        return list(read_json(folder / "run.json")["methods"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DubbenchError(f"{folder} holds no results (no run.json that can be read); make them anew") from error


def _curve(part: ClipResult, name: str) -> Curve:
    return np.array(part.curves[name], np.float64)


def draw(followed: Followed, clip: str, out: Path) -> None:
    """Write the figure."""
    figure = plotting.sheet(WIDTH, FOOT + PANEL * len(followed.rows))
    panels = figure.subplots(len(followed.rows), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, (name, (curve, values)) in zip(panels, followed.rows.items(), strict=True):
        lines = [
            _line(axes, followed.source, color="0.6", linewidth=2.5),
            _line(axes, followed.driver, color="tab:orange", linewidth=2.5),
            _line(axes, curve, color="black", linewidth=1.0),
        ]
        told = "".join(f", {measure} {value:.2f}" for measure, value in values.items())
        axes.set_title(f"{name.replace('_', ' ')}{told}", fontsize=8, loc="left", pad=2)
        axes.tick_params(labelsize=7)
        for spine in ("top", "right"):
            axes.spines[spine].set_visible(False)
    panels[-1].set_xlabel("seconds", fontsize=8)
    figure.supylabel("opening, % of the eyes' distance", fontsize=8)
    labels = (f"{clip}, as it was filmed", f"{followed.driving}, who speaks", "dubbed")
    figure.legend(lines, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    plotting.save(figure, out, colours=COLOURS)


def _line(axes: "Axes", curve: Curve, color: str, linewidth: float) -> "Line2D":
    (line,) = axes.plot(np.arange(len(curve)) / FPS, PERCENT * curve, color=color, linewidth=linewidth)
    return line


def make(*, results: Sequence[Path], clip: str, methods: Sequence[str] | None, out: Path) -> None:
    """Write the figure of one clip.

    Args:
        results: folders that dubbench eval wrote under a cross protocol.
        clip: id of a clip in them.
        methods: only these rows, in this order; None for all, the ends of the scale first.
        out: PNG.

    Raises:
        DubbenchError: as `read`.
    """
    draw(read(results, clip, methods), clip, out)
