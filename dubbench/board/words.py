"""Numbers and notes of a leaderboard as words, the same on the screen, in Markdown and on the page."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from dubbench.board.entries import TIMING, Entry
from dubbench.board.ranking import LEADING, Group
from dubbench.board.significance import Comparison
from dubbench.metrics.catalogue import DEFINITIONS, Better
from dubbench.results.numbers import decimals, directed, millions, p_value
from dubbench.results.rows import INFORMATIVE, Row

# The order of columns where all metrics would not fit; any other that is not minor follows.
MAIN = (
    "psnr", "ssim", "ms_ssim", "psnr_mouth", "ssim_mouth", "lpips_alex", "fid", "csim", "lmd", "lmd_iod", "f_lmd",
    "sync_c", "sync_d", "sync_similarity", "style_sim",
)  # fmt: skip
BETTER = {"higher": "higher is better", "lower": "lower is better", "": "not ranked"}
INFORMED = {
    "lmd_floor": "lmd of the ground truth's own frames, encoded and detected again: what no method can be told below",
    "f_lmd_floor": "f_lmd of the ground truth's own frames, encoded and detected again",
    "sync_tracks": "face tracks that the sync network found",
    "frames_compared": "frames a clip that were compared, of the clips of which that is not all",
    "sync_windows": "windows that the sync network compared",
    TIMING: "seconds a frame that dubbing took in dubbench eval, on that machine; dubbench speed measures it with care",
}


def main_of(metrics: Iterable[str]) -> list[str]:
    """Those metrics that are shown where all would not fit, in the order of columns."""
    others = (name for name, each in DEFINITIONS.items() if name not in MAIN and not each.minor)
    asked = set(metrics)
    return [name for name in (*MAIN, *others, TIMING) if name in asked]


def by_weight(metrics: Iterable[str]) -> list[str]:
    """Metrics in the order in which they keep their place where not all fit: those that lead, times, others, minor."""
    asked = list(metrics)
    main = main_of(asked)
    first = [name for name in (*LEADING, TIMING) if name in main]
    rest = [name for name in main if name not in first]
    return [*first, *rest, *(name for name in asked if name not in main)]


def short(row: Row | None) -> str:
    """A value with the decimals that its unit deserves; nothing for none."""
    return "" if row is None else decimals(row.value, row.unit, row.metric)


def span(row: Row | None) -> str:
    """The interval's two ends; nothing where there is none, or no width."""
    if row is None or math.isnan(row.ci_low) or row.ci_low == row.ci_high:
        return ""
    return " to ".join(decimals(end, row.unit, row.metric) for end in (row.ci_low, row.ci_high))


def heading(metric: str) -> str:
    """A metric as a column's name."""
    return "s/frame" if metric == TIMING else metric.replace("_", " ")


def better(metric: str, entries: Sequence[Entry]) -> Better:
    """The good direction, as the first row that has the metric says."""
    return next(entry.rows[metric].better for entry in entries if metric in entry.rows)


def directed_heading(metric: str, entries: Sequence[Entry]) -> str:
    """A metric as a column's name, with the arrow of its good direction."""
    return directed(heading(metric), better(metric, entries))


def definition(metric: str) -> tuple[str, str, str]:
    """Definition, unit and good direction in words."""
    if metric in DEFINITIONS:
        known = DEFINITIONS[metric]
        return known.text, known.unit, BETTER[known.better]
    return INFORMED[metric], INFORMATIVE[metric], BETTER[""]


def verdict(test: Comparison, best: str) -> str:
    """What a comparison with the best says, in a sentence."""
    if test.note:
        return f"not tested against {best}: {test.note}"
    told = "not distinguishable from" if test.alike else "differs from"
    return f"{told} {best}, the best: p = {p_value(test.adjusted)} over {test.clips} clips".replace("= <", "<")


def parameters(entry: Entry) -> str:
    """A row's count of parameters; nothing where it is unknown or none."""
    count = entry.facts.get("parameters", "")
    return millions(int(count)) if count.isdigit() else ""


def scored(entry: Entry) -> str:
    """Clips with a value of those asked for."""
    return f"{entry.clips}/{entry.clips + entry.failures}"


def title(group: Group) -> str:
    """A group's corpus, split and protocol."""
    split = group.entries[0].facts.get("split", "")
    return f"{group.labels['dataset']}{f', {split}' if split else ''}: protocol {group.labels['protocol']}"


def apart(group: Group) -> str:
    """Why a group is not ranked with others of its name; nothing where there is no other."""
    return f"Not ranked with the other results of this name: {group.apart}" if group.apart else ""


def remarks(group: Group) -> list[str]:
    """What a reader must know to judge the numbers, beside what is absent."""
    entries, parts = group.entries, []
    floors = [entry.rows for entry in entries if "lmd_floor" in entry.rows]
    if floors:
        mouth, face = (short(floors[0].get(name)) for name in ("lmd_floor", "f_lmd_floor"))
        parts.append(f"noise floor (ground truth encoded and detected again): lmd {mouth}, f_lmd {face} px")
    if align := entries[0].choices.get("align"):
        parts.append(f"methods dub clips of --align {align}")
    left_out = {name: reason for entry in entries for name, reason in entry.left_out.items()}
    methods = {entry.method for entry in entries}
    parts += [f"no {name}: {reason}" for name, reason in left_out.items() if name not in methods]
    if missed := sum(entry.missed for entry in entries):
        parts.append(f"{missed} frames without a face have no landmark distance")
    pools = [entry.rows[name].count for entry in entries for name in ("fid", "kid") if name in entry.rows]
    if pools:
        parts.append(f"fid and kid over {min(pools)} frames")
    if styles := [entry.style for entry in entries if entry.style]:
        told = [
            f"{found['value']:.4f} {name.replace('_', ' ')} ({found['pairs']} pairs)"
            for name, found in styles[0].items()
            if found["value"] is not None
        ]
        parts.append(f"style sim of ground truth's clips: {', '.join(told) or 'one clip alone'}")
    parts += [f"{heading(metric)} {own.note}" for metric, own in group.standings.items() if own.note]
    return parts


def lacking(group: Group) -> list[tuple[str, str]]:
    """Metrics that could not be computed, those of one reason together, and the reason."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for name, reason in {name: reason for entry in group.entries for name, reason in entry.absent.items()}.items():
        reasons[reason].append(name)
    return [(", ".join(names), reason) for reason, names in reasons.items()]
