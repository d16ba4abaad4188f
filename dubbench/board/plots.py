"""Plots as inline SVG: quality against speed, and how a metric spreads over clips."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from dubbench.board.entries import ENDS, TIMING
from dubbench.board.ranking import Group
from dubbench.board.words import BETTER, better, directed_heading, heading, short
from dubbench.results.numbers import decimals
from dubbench.results.rows import COPY_REFERENCE, is_pooled
from dubbench.speed import report as speed_report

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 40
COLOURS = 8
STRIPS = 40
STRIP = 34
DOTS, DOTS_A_STRIP = 30_000, 200
PLOTTED = 6
LETTERS, LETTER = 44, 12
LABELLED = 12
WHISKER = 1.5
# Below this ratio of a logarithmic scale's ends 1, 2, 5 would be too few ticks.
FEW = 12


@dataclass(frozen=True)
class Scale:
    """Values to pixels, linear or logarithmic.

    Attributes:
        low: smallest value shown.
        high: largest.
        start: pixel of ``low``.
        end: pixel of ``high``.
        log: whether equal ratios are equal distances.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, log: bool = False) -> "Scale":
        """A scale with some room around ``values``, which are finite."""
        low, high = min(values), max(values)
        if log:
            return cls(low=low / 1.6, high=high * 1.6, start=start, end=end, log=log)
        room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """A few round values within."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            digits = range(1, 10) if self.high / self.low < FEW else (1, 2, 5)
            found = [digit * 10.0**power for power in powers for digit in digits]
        else:
            rough = (self.high - self.low) / 4
            unit = 10.0 ** math.floor(math.log10(rough))
            step = min((unit * digit for digit in (1, 2, 5, 10)), key=lambda size: abs(size - rough))
            first = math.ceil(self.low / step)
            found = [round(index * step, 10) for index in range(first, first + 12)]
        return [tick for tick in found if self.low <= tick <= self.high]


def speeds_of(group: Group, lines: Sequence[speed_report.Line]) -> tuple[dict[int, float], str]:
    """Milliseconds a frame by index of the row, and where they come from.

    A model that was timed on several devices counts with the first. Where ``dubbench speed`` timed fewer than two
    rows of the group, there is nothing to compare, and what ``dubbench eval`` took is plotted.
    """
    timed: dict[str, speed_report.Line] = {}
    for line in lines:
        if line["part"] == speed_report.TOTAL and line["ms"]:
            timed.setdefault(line["model"], line)
    methods = {index: entry for index, entry in enumerate(group.entries) if not entry.end}
    found = {index: timed[entry.method] for index, entry in methods.items() if entry.method in timed}
    if len(found) > 1:
        devices = dict.fromkeys(f"{line['device']}, {line['precision']}" for line in found.values())
        return {index: float(line["ms"]) for index, line in found.items()}, f"dubbench speed on {'; '.join(devices)}"
    rows = {index: entry.rows[TIMING].value for index, entry in methods.items() if TIMING in entry.rows}
    return {index: 1000 * value for index, value in rows.items() if value > 0}, "dubbench eval, paste-back not included"


def tradeoffs(group: Group, lines: Sequence[speed_report.Line], shades: Mapping[str, str]) -> list[Markup]:
    """Quality against speed, a plot for each leading metric; none for fewer than two speeds."""
    times, source = speeds_of(group, lines)
    plots = (
        [_tradeoff(group, metric, times=times, source=source, shades=shades) for metric in group.leading[:PLOTTED]]
        if len(times) > 1
        else []
    )
    return [plot for plot in plots if plot]


def _tradeoff(group: Group, metric: str, times: Mapping[int, float], source: str, shades: Mapping[str, str]) -> Markup:
    rows = {index: group.entries[index].rows.get(metric) for index in times}
    found = {index: row for index, row in rows.items() if row is not None and math.isfinite(row.value)}
    if not found:
        return Markup("")
    ends = [end for row in found.values() for end in (row.ci_low, row.value, row.ci_high) if math.isfinite(end)]
    x = Scale.over([times[index] for index in found], LEFT, WIDTH - RIGHT, log=True)
    y = Scale.over(ends, HEIGHT - BOTTOM, TOP)
    parts = [_across(x, HEIGHT - BOTTOM, TOP), _up(y)]
    at = {index: (x(times[index]), y(row.value)) for index, row in found.items()}
    named = _named(group, metric, at)
    for index, row in found.items():
        across, up = at[index]
        bar = Markup("")
        if math.isfinite(row.ci_low) and math.isfinite(row.ci_high):
            bar = Markup('<path class="bar" d="M{:.1f} {:.1f}V{:.1f}"/>').format(across, y(row.ci_low), y(row.ci_high))
        mark = Markup('<g class="c{}"><title>{}</title>{}<circle cx="{:.1f}" cy="{:.1f}" r="4.5"/>{}</g>')
        name = group.names[index]
        told = f"{name}: {times[index]:.3g} ms a frame, {heading(metric)} {short(row)}"
        parts.append(mark.format(shades[name], told, bar, across, up, named.get(index, "")))
    down = directed_heading(metric, group.entries)
    parts.append(Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">ms a frame ← faster</text>').format(
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6))  # fmt: skip
    told = "; ".join(f"{group.names[index]} {short(row)} at {times[index]:.3g} ms" for index, row in found.items())
    return _figure(f"{down} against speed", f"Times from {source}. {told}.", parts, HEIGHT)


def _named(group: Group, metric: str, at: Mapping[int, tuple[float, float]]) -> dict[int, Markup]:
    """Names beside the best rows' points, on the side with more room, none over another."""
    ranks, found = group.standings[metric].ranks, {}
    lowest = {"start": 0.0, "end": 0.0}
    text = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    for index in sorted(sorted(at, key=lambda index: ranks[index])[:LABELLED], key=lambda index: at[index][1]):
        across, up = at[index]
        anchor, gap = ("end", -8) if across > WIDTH * 0.6 else ("start", 8)
        lowest[anchor] = max(up - 6, lowest[anchor] + LETTER, TOP)
        found[index] = text.format(across + gap, lowest[anchor], anchor, _cut(group.names[index]))
    return found


def spreads(group: Group, shades: Mapping[str, str]) -> list[Markup]:
    """How leading metrics spread over clips: a strip of dots with a box for each row."""
    metrics = [metric for metric in group.leading if not is_pooled(metric)][:PLOTTED]
    shown = {metric: _shown(group, metric) for metric in metrics}
    strips = sum(map(len, shown.values()))
    dots = min(DOTS_A_STRIP, DOTS // strips) if strips else 0
    return [_spread(group, metric, shown=own, dots=dots, shades=shades) for metric, own in shown.items() if own]


def _shown(group: Group, metric: str) -> dict[int, list[float]]:
    """Finite values of the rows to draw: copy_reference, and the methods from the best on."""
    ranks = group.standings[metric].ranks
    ends = [index for index, entry in enumerate(group.entries) if entry.method == COPY_REFERENCE]
    chosen = [*ends, *sorted(ranks, key=lambda index: (ranks[index], index))[:STRIPS]]
    found = {index: group.clips[index].get(metric, {}).values() for index in chosen}
    finite = {index: [value for value in values if math.isfinite(value)] for index, values in found.items()}
    return {index: values for index, values in finite.items() if values}


def _spread(
    group: Group, metric: str, shown: Mapping[int, Sequence[float]], dots: int, shades: Mapping[str, str]
) -> Markup:
    unit = next(row.unit for entry in group.entries if (row := entry.rows.get(metric)))
    x = Scale.over([value for values in shown.values() for value in values], 12, WIDTH - 12)
    bottom = TOP + STRIP * len(shown)
    parts, told = [_across(x, bottom, TOP)], []
    for line, (index, values) in enumerate(shown.items()):
        name, top = group.names[index], TOP + STRIP * line
        parts.append(_strip(x, name, shade=shades[name], top=top, values=values, dots=dots))
        told.append(f"{name} median {decimals(float(np.median(values)), unit, metric)} of {len(values)} clips")
    more = len(group.standings[metric].ranks) - sum(not group.entries[index].end for index in shown)
    left = f" {more} more methods are not drawn." if more > 0 else ""
    name = f"{directed_heading(metric, group.entries)} clip by clip"
    told_all = f"{BETTER[better(metric, group.entries)].capitalize()}. {'; '.join(told)}.{left}"
    return _figure(name, told_all, parts, bottom + 20)


def _strip(x: Scale, name: str, shade: str, top: float, values: Sequence[float], dots: int) -> Markup:
    """A box from quartile to quartile with its median, whiskers, and a dot a clip."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    near = [value for value in values if low - WHISKER * (high - low) <= value <= high + WHISKER * (high - low)]
    step = max(1, math.ceil(len(values) / dots)) if dots else len(values) + 1
    at = top + 23
    # A fixed jitter: neighbours in order of value never share a height.
    marks = [
        f"M{x(value):.1f} {at + (index * 0.618 % 1 - 0.5) * 12:.1f}h0"
        for index, value in enumerate(sorted(values)[::step])
    ]
    return Markup(
        '<g class="c{}"><title>{}</title><text x="12" y="{}">{}</text><path class="bar" d="M{:.1f} {}H{:.1f}"/>'
        '<rect x="{:.1f}" y="{}" width="{:.1f}" height="14"/><path class="dots" d="{}"/>'
        '<path class="median" d="M{:.1f} {}v18"/></g>'
    ).format(
        shade, name, top + 11, _cut(name), x(min(near)), at, x(max(near)),
        x(low), at - 7, max(1.0, x(high) - x(low)), "".join(marks), x(middle), at - 9,
    )  # fmt: skip


def colours(groups: Sequence[Group]) -> dict[str, str]:
    """A colour of the palette for each row's name: everywhere the same, two of them for the ends of the scale."""
    named = [pair for group in groups for pair in zip(group.names, group.entries, strict=True)]
    methods = sorted({name for name, entry in named if not entry.end})
    free = COLOURS - len(ENDS)
    found = {name: str(len(ENDS) + index % free) for index, name in enumerate(methods)}
    return {**{name: str(ENDS[entry.method]) for name, entry in named if entry.end}, **found}


def _across(x: Scale, bottom: float, top: float) -> Markup:
    line = Markup('<path class="grid" d="M{0:.1f} {1}V{2}"/>')
    text = Markup('<text class="tick" x="{0:.1f}" y="{1}" text-anchor="middle">{2:g}</text>')
    ticks = [line.format(x(tick), bottom, top) + text.format(x(tick), bottom + 14, tick) for tick in x.ticks()]
    return Markup("").join(ticks)


def _up(y: Scale) -> Markup:
    line = Markup('<path class="grid" d="M{0} {1:.1f}H{2}"/>')
    text = Markup('<text class="tick" x="{0}" y="{1:.1f}" text-anchor="end">{2:g}</text>')
    ticks = [line.format(LEFT, y(tick), WIDTH - RIGHT) + text.format(LEFT - 5, y(tick) + 4, tick) for tick in y.ticks()]
    return Markup("").join(ticks)


def _figure(name: str, told: str, parts: Sequence[Markup], height: float) -> Markup:
    """An SVG that says in words what it shows, with a caption that all can read."""
    return Markup(
        '<figure class="plot"><figcaption>{0}</figcaption><svg viewBox="0 0 {1} {2:.0f}" role="img" '
        'aria-label="{0}. {3}">{4}</svg></figure>'
    ).format(name, WIDTH, height, told, Markup("").join(parts))


def _cut(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
