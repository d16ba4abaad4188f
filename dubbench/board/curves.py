"""How far mouths are open over a clip, as lines that a page draws under its videos."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from math import ceil, isfinite

from dubbench.board.entries import Entry
from dubbench.board.ranking import Group
from dubbench.core.files import inside
from dubbench.errors import DubbenchError
from dubbench.media import FPS
from dubbench.results.rows import DRIVER, GROUND_TRUTH, OPENING, ClipResult

DEFINITION = (
    "distance between the middles of the inner lips (landmarks 62 and 66 of the 68) in a frame, over the ground "
    "truth's distance of the outer eye corners in the same frame; drawn over time under every video"
)
UNIT = "% of the distance of the outer eye corners"
ABSENT = "their results are older than these curves, or incomplete; dubbench eval into a new folder records them"
# What is recorded has four decimals, so nothing is rounded here.
SCALE = 10_000
PERCENT = SCALE // 100
# The highest line is at a multiple of this, and never below it: a still mouth looks still.
STEP = 5 * PERCENT
# Frames that one line shows one by one; of longer clips, and on crowded pages, neighbours are averaged.
MOST, LEAST, ALL = 1000, 60, 250_000
# Upright lines of the grid at most.
SECONDS = 12

Curve = Sequence[float | None]


@dataclass(frozen=True)
class ClipCurves:
    """Lines of one clip in SVG's path language: a frame is 1 across, a ten-thousandth of the eyes' distance 1 up.

    Attributes:
        width: from the first frame to the last.
        top: height of the tallest line's next multiple of five per cent.
        grid: lines at seconds and at tens of per cent.
        speaker: outline of the area under the opening of whoever speaks; empty where it is not recorded.
        source: the source's own mouth, where another clip's speech drives it; else empty.
        rows: by index of the row in its group; empty where nothing is recorded.
        told: by index of the row, what is shown, in words.
    """

    width: int
    top: int
    grid: str
    speaker: str
    source: str
    rows: tuple[str, ...]
    told: tuple[str, ...]


def clip_curves(group: Group, clip: str, driving: str, count: int) -> ClipCurves:
    """The curves of all rows of a group on a clip.

    Args:
        group: the rows.
        clip: id.
        driving: id of the clip whose speech drives it; empty where it is its own.
        count: of the lines that the page has to hold.
    """
    found = [_recorded(entry, clip) for entry in group.entries]
    rows = [curves.get(OPENING, ()) for curves in found]
    truth = _truth(group, clip)
    source: Curve = truth.get(OPENING, ()) if driving else ()
    speaker: Curve = truth.get(DRIVER if driving else OPENING, ())
    every = [*rows, source, speaker]
    frames = max(map(len, every))
    most = max(LEAST, min(MOST, ALL // max(1, count)))
    highest = max((value for curve in every for value in curve if value is not None), default=0.0)
    who = f"{driving or 'the source'}, who speaks"
    width, top = max(1, frames - 1), max(1, ceil(highest * SCALE / STEP)) * STEP
    return ClipCurves(
        width=width,
        top=top,
        grid=_grid(width, top),
        speaker=path(speaker, most, area=True),
        source=path(source, most),
        rows=tuple(path(curve, most) for curve in rows),
        told=tuple(
            f"{_words(name, curve)}; {_words(who, speaker)}" for name, curve in zip(group.names, rows, strict=True)
        ),
    )


def widest(group: Group, clip: str, driving: str, most: int) -> int | None:
    """The frame, among the first ``most``, where the mouth of whoever speaks is open widest.

    Args:
        group: the rows.
        clip: id.
        driving: id of the clip whose speech drives it; empty where it is its own.
        most: frames to look at.

    Returns:
        Its number; None where nothing is recorded.
    """
    curve = _truth(group, clip).get(DRIVER if driving else OPENING, ())[:most]
    known = [(value, -frame) for frame, value in enumerate(curve) if value is not None]
    return -max(known)[1] if known else None


def path(curve: Curve, most: int, *, area: bool = False) -> str:
    """A curve in SVG's path language; frames without a face are gaps.

    Args:
        curve: an opening a frame.
        most: points of the line; where there are more frames, equal runs of neighbours become their mean.
        area: outline the area between the curve and zero instead.
    """
    points = enumerate(None if value is None else round(value * SCALE) for value in curve)
    runs = groupby(_thinned(list(points), most), key=lambda point: point[1] is not None)
    parts = []
    for seen, found in runs:
        if not seen:
            continue
        run = list(found)
        line = " ".join(f"{across} {up}" for across, up in run)
        if area:
            parts.append(f"M{run[0][0]} 0 {line} {run[-1][0]} 0z")
        else:
            parts.append(f"M{line}" if len(run) > 1 else f"M{line}h0")  # a lone frame is a dot
    return "".join(parts)


def _grid(width: int, top: int) -> str:
    seconds = FPS * ceil(width / FPS / SECONDS)
    upright = "".join(f"M{across} 0V{top}" for across in range(seconds, width, seconds))
    return upright + "".join(f"M0 {up}H{width}" for up in range(2 * STEP, top, 2 * STEP))


def _thinned(points: list[tuple[int, int | None]], most: int) -> list[tuple[int, int | None]]:
    size = ceil(len(points) / most)
    if size <= 1:
        return points
    thinned: list[tuple[int, int | None]] = []
    for start in range(0, len(points), size):
        run = points[start : start + size]
        known = [up for _, up in run if up is not None]
        thinned.append((run[len(run) // 2][0], round(sum(known) / len(known)) if known else None))
    return thinned


def _truth(group: Group, clip: str) -> Mapping[str, Curve]:
    found = (_recorded(entry, clip) for entry in group.entries if entry.method == GROUND_TRUTH)
    return next((curves for curves in found if curves), {})


def _recorded(entry: Entry, clip: str) -> Mapping[str, Curve]:
    """What ``dubbench eval`` left of a row's clip; nothing from versions that did not."""
    for folder in entry.folders:
        path = None
        with suppress(DubbenchError):  # a name that points out of the results is no row's of theirs
            path = inside(folder, f"parts/{entry.method}/{clip}.json")
        part = ClipResult.read(path) if path else None
        if part and part.curves:
            return {
                name: [value if value is not None and isfinite(value) else None for value in curve]
                for name, curve in part.curves.items()
            }
    return {}


def _words(name: str, curve: Curve) -> str:
    known = [value for value in curve if value is not None]
    if not known:
        return f"{name}: nothing recorded" if not curve else f"{name}: no face in any frame"
    gaps = f", {len(curve) - len(known)} frames without a face" if len(known) < len(curve) else ""
    return f"{name}: {100 * min(known):.0f} to {100 * max(known):.0f} {UNIT}{gaps}"
