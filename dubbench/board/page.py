"""A leaderboard as one HTML file that works from disk: no server, no network, nothing beside it but videos."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dubbench import __version__
from dubbench.board import claims, curves, words
from dubbench.board.curves import ClipCurves, clip_curves
from dubbench.board.entries import TIMING
from dubbench.board.plots import colours, speeds_of, spreads, tradeoffs
from dubbench.board.ranking import LEADING, Group
from dubbench.board.significance import DEFINITION
from dubbench.board.videos import ClipVideos, How, Shelf
from dubbench.core.files import write_text
from dubbench.core.pages import policy
from dubbench.metrics.catalogue import Better
from dubbench.results.numbers import ARROWS, decimals, millions, number, p_value
from dubbench.speed import report as speed_report

SCRIPTS = ("page.js", "player.js", "links.js")


@dataclass(frozen=True)
class Cell:
    """A metric of a row.

    Attributes:
        value: as text; empty for none.
        sort: with all digits, to sort by; empty for none.
        limits: the interval's two ends with "to" between them; empty for none.
        rank: 1 or 2 where it is marked as best or second best, else 0.
        test: what the comparison with the best says.
        alike: whether it cannot be told from the best.
        note: why there is no value.
    """

    value: str
    sort: str
    limits: str
    rank: int
    test: str
    alike: bool
    note: str


@dataclass(frozen=True)
class PageColumn:
    """A metric of a table.

    Attributes:
        metric: its name in files.
        name: its name for people.
        arrow: the good direction as an arrow.
        better: the good direction; empty where nothing is ranked.
        tip: its definition, in a sentence or two.
        main: whether it is shown before all metrics are asked for.
    """

    metric: str
    name: str
    arrow: str
    better: Better
    tip: str
    main: bool


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
        index: of the row in its group.
        name: of the row.
        end: whether it is an end of the scale.
        colour: of the row in plots.
        clips: scored of asked.
        lacks: whether clips failed.
        cells: one a column.
        parameters: in millions, as text.
        count: parameters as digits.
        checkpoint: sha256 of its weights.
        facts: version, seed and device of the run.
    """

    index: int
    name: str
    end: bool
    colour: str
    clips: str
    lacks: bool
    cells: tuple[Cell, ...]
    parameters: str
    count: str
    checkpoint: str
    facts: str


@dataclass(frozen=True)
class Section:
    """One group as the page shows it.

    Attributes:
        id: for links.
        group: what it shows.
        title: corpus, split and protocol.
        apart: why it is not ranked with another of its name.
        columns: metrics.
        lines: rows, those of the methods in the order of the first leading metric.
        order: that metric; empty where nothing is ranked.
        leading: how many of the columns keep their place longer than the count of parameters does.
        remarks: what a reader must know.
        lacking: metrics without any value, and the reason.
        absent: how many metrics these are.
        failures: row, clip, metric where it is one, and the reason.
        unshown: row, clip and why its video is there and cannot be shown.
        missing: clips that the protocol names and that were not scored, and why.
        tests: metric, row, best, difference, its unit, p, corrected p, clips and verdict.
        videos: clips to play.
        curves: of the mouths in these clips.
        unrecorded: rows that lack the curve of a clip.
        tradeoffs: plots of quality against speed.
        source: where its times come from.
        spreads: plots of clips.
    """

    id: str
    group: Group
    title: str
    apart: str
    columns: tuple[PageColumn, ...]
    lines: tuple[Line, ...]
    order: str
    leading: int
    remarks: tuple[str, ...]
    lacking: tuple[tuple[str, str], ...]
    absent: int
    failures: tuple[tuple[str, str, str, str], ...]
    unshown: tuple[tuple[str, str, str], ...]
    missing: tuple[tuple[str, str], ...]
    tests: tuple[tuple[str, ...], ...]
    videos: tuple[ClipVideos, ...]
    curves: tuple[ClipCurves, ...]
    unrecorded: tuple[str, ...]
    tradeoffs: tuple[Markup, ...]
    source: str
    spreads: tuple[Markup, ...]


def write_page(
    path: Path,
    groups: Sequence[Group],
    speeds: Sequence[speed_report.Line],
    how: How,
    count: int,
    roots: Sequence[Path] = (),
) -> None:
    """Write the page, and copies of its videos beside it.

    Args:
        path: the file.
        groups: what to show.
        speeds: lines of speed files.
        how: what becomes of the videos, see `dubbench.board.videos.Shelf`.
        count: clips to show of each group.
        roots: folders whose videos may be shown, beside those of the results.
    """
    shelf = Shelf(path, how, count, rows=sum(len(group.entries) for group in groups), roots=roots)
    shades = colours(groups)
    sections = [
        section(key, group, speeds=speeds, shelf=shelf, shades=shades)
        for key, group in zip(_keys(groups), groups, strict=True)
    ]
    corpora = {
        dataset: ([own for own in sections if own.group.labels["dataset"] == dataset], claims.blocks(dataset))
        for dataset in dict.fromkeys(group.labels["dataset"] for group in groups)
    }
    shown = dict.fromkeys(column.metric for own in sections for column in own.columns)
    style, script = _file("page.css"), f"(() => {{\n{''.join(map(_file, SCRIPTS))}\n}})();"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(_file("page.html")).render(
        corpora=corpora,
        sections=sections,
        definitions=[(metric, words.heading(metric), *words.definition(metric)) for metric in shown],
        opening=curves.DEFINITION,
        unit=curves.UNIT,
        unrecorded=curves.ABSENT,
        significance=DEFINITION,
        mark=claims.MARK,
        speeds=_speeds(speeds),
        clips=_clips,
        claimed=speed_report.printed_speeds() if speeds else [],
        version=__version__,
        policy=Markup(policy(script, style)),
        style=Markup(style),
        script=Markup(script),
    )  # fmt: skip
    write_text(path, text)
    shelf.sweep()


def _keys(groups: Sequence[Group]) -> list[str]:
    """Names of the tables in links: what a table is of, so that a link holds on a page with more results."""
    keys: list[str] = []
    for group in groups:
        key = re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(("table", *group.labels.values())))
        keys.append(key if key not in keys else f"{key}-{len(keys) + 1}")
    return keys


def _file(name: str) -> str:
    return (files("dubbench.board") / name).read_text(encoding="utf-8")


def section(
    key: str, group: Group, speeds: Sequence[speed_report.Line], shelf: Shelf, shades: Mapping[str, str]
) -> Section:
    """What the page shows of a group."""
    named = list(zip(group.names, group.entries, strict=True))
    order = group.leading[0] if group.leading else ""
    ranks = group.standings[order].ranks if order else {}
    indices = sorted(
        range(len(named)), key=lambda index: (not named[index][1].end, ranks.get(index, len(named)), index)
    )
    videos = shelf.fill(group)
    drawn = [clip_curves(group, shown.clip, driving=shown.driving, count=shelf.most) for shown in videos]
    failures = [(name, clip, "", reason) for name, entry in named for clip, reason in entry.failed.items()]
    failures += [
        (name, clip, words.heading(metric), reason)
        for name, entry in named
        for clip, reasons in entry.without.items()
        for metric, reason in reasons.items()
    ]
    return Section(
        id=key,
        group=group,
        title=words.title(group),
        apart=words.apart(group),
        columns=tuple(_column(group, metric) for metric in words.by_weight(group.metrics)),
        lines=tuple(_line(group, index, shades) for index in indices),
        order=order,
        leading=sum(metric in (*LEADING, TIMING) for metric in group.metrics),
        remarks=tuple(words.remarks(group)),
        lacking=tuple(words.lacking(group)),
        absent=len({metric for entry in group.entries for metric in entry.absent}),
        failures=tuple(failures),
        unshown=tuple(
            (group.names[index], shown.clip, why) for shown in videos for index, why in shown.unshown.items()
        ),
        missing=tuple({clip: why for entry in group.entries for clip, why in entry.missing.items()}.items()),
        tests=tuple(_tests(group)),
        videos=tuple(videos),
        curves=tuple(drawn),
        unrecorded=tuple(_unrecorded(group, videos, drawn)),
        tradeoffs=tuple(tradeoffs(group, speeds, shades)),
        source=f"Times from {speeds_of(group, speeds)[1]}",
        spreads=tuple(spreads(group, shades)),
    )


def _column(group: Group, metric: str) -> PageColumn:
    text, unit, better = words.definition(metric)
    direction = words.better(metric, group.entries)
    tip = f"{text[:1].upper()}{text[1:]}. Unit: {unit}; {better}."
    return PageColumn(
        metric=metric,
        name=words.heading(metric),
        arrow=ARROWS[direction],
        better=direction,
        tip=tip,
        main=bool(words.main_of([metric])),
    )


def _line(group: Group, index: int, shades: Mapping[str, str]) -> Line:
    entry = group.entries[index]
    facts = (entry.facts.get(name, "") for name in ("version", "seed", "device"))
    return Line(
        index=index,
        name=group.names[index],
        end=entry.end,
        colour=shades[group.names[index]],
        clips=words.scored(entry),
        lacks=bool(entry.failures),
        cells=tuple(_cell(group, index, metric) for metric in words.by_weight(group.metrics)),
        parameters=words.parameters(entry),
        count=entry.facts.get("parameters", ""),
        checkpoint=entry.facts.get("checkpoint_sha256", ""),
        facts=", ".join(f"{name} {fact}" for name, fact in zip(("dubbench", "seed", "on"), facts, strict=True) if fact),
    )


def _cell(group: Group, index: int, metric: str) -> Cell:
    entry, standing = group.entries[index], group.standings[metric]
    row, test = entry.rows.get(metric), standing.comparisons.get(index)
    rank = standing.ranks.get(index, 0) if standing.contested else 0
    value = words.short(row)
    told = words.verdict(test, group.names[standing.best]) if test and standing.best is not None else ""
    return Cell(
        value=value,
        sort="" if row is None or math.isnan(row.value) else repr(row.value).replace("inf", "Infinity"),
        limits=words.span(row),
        rank=rank if rank <= 2 else 0,
        test=told,
        alike=test is not None and test.alike,
        note="" if value else entry.absent.get(metric, "no value"),
    )


def _tests(group: Group) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for metric, standing in group.standings.items():
        for index, test in standing.comparisons.items():
            best = group.names[standing.best or 0]
            unit = group.entries[index].rows[metric].unit
            numbers = (decimals(test.difference, unit, metric), p_value(test.p), p_value(test.adjusted))
            verdict = test.note or ("not distinguishable" if test.alike else "different")
            found.append((words.heading(metric), group.names[index], best, *numbers, str(test.clips), verdict))
    return found


def _unrecorded(group: Group, videos: Sequence[ClipVideos], drawn: Sequence[ClipCurves]) -> list[str]:
    """Rows without a curve on a clip that they were scored on."""
    pairs = list(zip(videos, drawn, strict=True))
    return [
        name
        for index, (name, entry) in enumerate(zip(group.names, group.entries, strict=True))
        if any(not curves.rows[index] and shown.clip not in entry.failed for shown, curves in pairs)
    ]


def _clips(section: Section) -> list[dict[str, object]]:
    """What the player shows of each clip, in the order of the lines."""
    order = [line.index for line in section.lines]
    return [
        {
            "clip": shown.clip,
            "ratio": round(shown.ratio, 4),
            **{name: [getattr(shown, name)[index] for index in order] for name in ("urls", "notes", "posters")},
            **{name: getattr(drawn, name) for name in ("width", "top", "grid", "speaker", "source")},
            **{name: [getattr(drawn, name)[index] for index in order] for name in ("rows", "told")},
        }
        for shown, drawn in zip(section.videos, section.curves, strict=True)
    ]


def _speeds(lines: Sequence[speed_report.Line]) -> list[dict[str, str]]:
    """Lines with numbers that people read."""
    return [
        {
            **line,
            "where": ", ".join([line["device"], line["precision"], *(["compiled"] if line["compile"] else [])]),
            "millions": millions(float(line["parameters"] or 0)),
            "macs": millions(float(line["multiply_adds"] or 0), 1),
            **{name: decimals(float(line[name] or "nan"), "ms") for name in ("ms", "ms_low", "ms_high")},
            "fps": decimals(float(line["fps"] or "nan"), "frames/s"),
            "memory": f"{float(line['memory_mib']):.0f} MiB" if line["memory_mib"] else "",
            "fps_sort": number(float(line["fps"] or "nan")),
        }
        for line in lines
    ]
