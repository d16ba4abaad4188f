"""Groups of rows that may be ranked, their ranks by each metric, and why a group stands apart from another."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dubbench.board.entries import ClipValues, Entry, metrics_of, names_of, read_clips
from dubbench.board.significance import Comparison, compare
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.results.rows import is_pooled

# Metrics that lead a page, the first of them orders its rows: lips decide, a still face has a good PSNR for nothing.
LEADING = ("lmd", "sync_c", "sync_similarity", "psnr", "ssim", "lpips_alex", "fid", "csim", "style_sim")


@dataclass(frozen=True)
class Standing:
    """How the methods of a group stand by one metric.

    Attributes:
        ranks: by index of the row in its group, 1 the best; equal values share a rank. Empty where nothing is ranked.
        comparisons: by index, with the best.
        best: index of the best; None where nothing is ranked.
        note: why rows with values are not ranked.
    """

    ranks: dict[int, int] = field(default_factory=dict)
    comparisons: dict[int, Comparison] = field(default_factory=dict)
    best: int | None = None
    note: str = ""

    @property
    def contested(self) -> bool:
        """Whether there are two methods to tell apart, without which best and second best mean nothing."""
        return len(self.ranks) > 1


@dataclass
class Group:
    """Rows of one corpus, protocol, protocol hash and split hash: nothing else is ranked together.

    Attributes:
        entries: both ends of the scale first.
        apart: why it is not ranked with another group of the same corpus and protocol name; empty if there is none.
    """

    entries: list[Entry]
    apart: str = ""

    @cached_property
    def names(self) -> list[str]:
        """Of the rows, each once."""
        return names_of(self.entries)

    @property
    def labels(self) -> dict[str, str]:
        """dataset, protocol, protocol_hash and split_hash."""
        return {key: value for key, value in self.entries[0].labels.items() if key != "method"}

    @property
    def key(self) -> str:
        """One text for the four."""
        return "/".join(self.labels.values())

    @cached_property
    def metrics(self) -> list[str]:
        """Those that any row has, in the catalogue's order."""
        return metrics_of(self.entries)

    @cached_property
    def clips(self) -> list[dict[str, Mapping[str, float]]]:
        """For each row, by metric, the values of its clips; nothing where no ``clips.csv`` lies beside."""
        read = {folder: read_clips(folder) for folder in {folder for entry in self.entries for folder in entry.folders}}
        return [
            next((found for folder in entry.folders if (found := _own(read[folder], entry.method))), {})
            for entry in self.entries
        ]

    @cached_property
    def standings(self) -> dict[str, Standing]:
        """By metric."""
        return {metric: self._standing(metric) for metric in self.metrics}

    @property
    def leading(self) -> list[str]:
        """Metrics that lead, of those that have a rank."""
        return [metric for metric in LEADING if metric in self.standings and self.standings[metric].ranks]

    def _standing(self, metric: str) -> Standing:
        ranked = {
            index: entry.rows[metric].value
            for index, entry in enumerate(self.entries)
            if not entry.end and metric in entry.rows and entry.rows[metric].value == entry.rows[metric].value
        }
        better = {self.entries[index].rows[metric].better for index in ranked}
        if not ranked or "" in better:
            return Standing()
        if len(better) > 1:
            return Standing(note="not ranked: the rows disagree about which direction is better")
        if len({_network(self.entries[index], metric) for index in ranked}) > 1:
            return Standing(note="not ranked: the rows were scored by different networks")
        sign = -1 if better == {"higher"} else 1
        ordered = sorted(ranked, key=lambda index: (sign * ranked[index], index))
        values = sorted(sign * value for value in ranked.values())
        ranks = {index: 1 + values.index(sign * ranked[index]) for index in ordered}
        others = [] if is_pooled(metric) else ordered[1:]
        found = compare(*_sides(self.clips, metric, ordered[0], others)) if others else []
        return Standing(ranks, dict(zip(others, found, strict=True)), ordered[0])


def _own(values: ClipValues, method: str) -> dict[str, Mapping[str, float]]:
    return {metric: of_clips for (name, metric), of_clips in values.items() if name == method}


def _sides(
    clips: Sequence[Mapping[str, Mapping[str, float]]], metric: str, best: int, others: Iterable[int]
) -> tuple[Mapping[str, float], list[Mapping[str, float]]]:
    return clips[best].get(metric, {}), [clips[index].get(metric, {}) for index in others]


def _network(entry: Entry, metric: str) -> str:
    """What the metric's network was, by everything that is known of it but its file's name."""
    needed = DEFINITIONS[metric].network if metric in DEFINITIONS else ""
    known = entry.networks.get(needed, {}) if needed else {}
    return json.dumps({key: value for key, value in known.items() if key != "checkpoint"}, sort_keys=True)


def grouped(entries: Iterable[Entry]) -> list[Group]:
    """Put rows that may be ranked together into groups, each with why it stands apart."""
    groups: dict[tuple[str, ...], Group] = {}
    for entry in entries:
        groups.setdefault(entry.group, Group([])).entries.append(entry)
    found = list(groups.values())
    for group in found:
        others = [other for other in found if other is not group and _named(other) == _named(group)]
        group.apart = "; ".join(_difference(group, other) for other in others)
    return found


def _named(group: Group) -> tuple[str, str]:
    return group.labels["dataset"], group.labels["protocol"]


def _difference(group: Group, other: Group) -> str:
    """What keeps two groups of the same name apart."""
    parts = []
    own, its = (side.labels["protocol_hash"] for side in (group, other))
    if own != its:
        parts.append(f"protocol {own} here, {its} there{_choices(group.entries[0].choices, other.entries[0].choices)}")
    own, its = (side.labels["split_hash"] for side in (group, other))
    if own != its:
        clips = [max(entry.clips + entry.failures for entry in side.entries) for side in (group, other)]
        parts.append(f"clips {own} ({clips[0]}) here, {its} ({clips[1]}) there")
    return ", ".join(parts)


def _choices(own: Mapping[str, Any], its: Mapping[str, Any]) -> str:
    """The choices that differ, where both protocols are known."""
    if not own or not its:
        return ""
    here, there = _flat(own), _flat(its)
    told = [f"{key} {here[key]} here, {there[key]} there" for key in here if here[key] != there.get(key, here[key])]
    for side, other, where in ((here, there, "here"), (there, here, "there")):
        if alone := [key.removeprefix("metrics.") for key in side if key not in other]:
            told.append(f"only {where}: {', '.join(alone)}")
    return f" ({'; '.join(told)})" if told else ""


def _flat(choices: Mapping[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in choices.items():
        nested = isinstance(value, Mapping)
        found.update(_flat(value, f"{above}{key}.") if nested else {f"{above}{key}": str(value)})
    return found
