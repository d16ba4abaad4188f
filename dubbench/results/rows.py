"""Results as files: what one clip got, tidy tables over clips, and intervals."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from math import isclose, isfinite
from pathlib import Path
from typing import Any

from dubbench.core.files import write_json, write_text
from dubbench.core.foreign import read_json
from dubbench.core.tables import as_csv, read_csv
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS, Better
from dubbench.results.numbers import number

GROUND_TRUTH = "ground_truth"
COPY_REFERENCE = "copy_reference"
# Curves of a clip: of the row's own mouth, and beside the ground truth's of the clip whose speech drives it.
OPENING, DRIVER = "opening", "driver"
DIGEST, TIME = "sha256", "seconds_per_frame"
RESAMPLES = 2000
CONFIDENCE = 0.95
BLOCK = 100
DIGITS = 2e-5
CLIP_COLUMNS = ("method", "clip", "metric", "value")
SUMMARY_COLUMNS = (
    "method", "dataset", "protocol", "metric", "value", "std", "ci_low", "ci_high", "count", "missed", "failed",
    "unit", "better", "protocol_hash", "split_hash",
)  # fmt: skip
# Measured beside the protocol's metrics; nothing is ranked or compared by them. How many frames were compared stands
# with the clips of which that is not all.
INFORMATIVE = {
    "lmd_floor": "px@256",
    "f_lmd_floor": "px@256",
    "sync_tracks": "1",
    "sync_windows": "1",
    TIME: "s",
    "frames_compared": "frames",
}


@dataclass(frozen=True)
class Pooled:
    """What metrics over all frames of a split gave one method.

    Attributes:
        values: by metric.
        notes: by metric without a value, why.
        frames: how many of the method's frames went in.
    """

    values: dict[str, float]
    notes: dict[str, str]
    frames: int


@dataclass(frozen=True)
class ClipResult:
    """What one method got on one clip.

    Attributes:
        method: name of the row.
        clip: clip id.
        fingerprint: of everything the values depend on; empty where that is not known.
        frames: frames scored.
        shown: frames of the clip or of the candidate's video, whichever has more; 0 where it was not written down.
        several: frames that show another face beside the one that is scored.
        face: longer side of that face's box in pixels, as `dubbench.datamodules.clip.ClipInfo.face`.
        missed: frames without a face in the prediction or the ground truth: they have no landmark metrics.
        values: mean over frames by metric; a metric without any frame is absent.
        failure: why the clip could not be scored, else empty; then there are no values.
        notes: by metric, why it has no value.
        remarks: sentences on what was wrong with the files that were compared and could be made good.
        curves: by `OPENING` and `DRIVER`, a number a frame as `dubbench.face.opening` defines it, None without a face.
            The driver's stands with the ground truth's, where another clip's speech drives this one. Nothing is
            ranked by them, and results of earlier versions have none.
    """

    method: str
    clip: str
    fingerprint: str
    frames: int = 0
    missed: int = 0
    values: dict[str, float] = field(default_factory=dict)
    failure: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    curves: dict[str, list[float | None]] = field(default_factory=dict)
    shown: int = 0
    several: int = 0
    face: float = 0.0

    def write(self, path: Path) -> None:
        """Write atomically as JSON, with a digest of the rest; infinity is the text ``inf``."""
        values = {key: value if isfinite(value) else number(value) for key, value in self.values.items()}
        fields = {key: value for key, value in asdict(self).items() if key != "remarks" or value} | {"values": values}
        write_json(path, {**fields, DIGEST: _digest(fields)})

    @classmethod
    def read(cls, path: Path) -> "ClipResult | None":
        """Read what `write` wrote; None if it is absent or of another form. Earlier versions wrote no digest.

        Raises:
            DubbenchError: if its digest is not that of what it holds.
        """
        try:
            fields = read_json(path)
            digest = fields.pop(DIGEST, None)
            if digest is not None and digest != _digest(fields):
                raise DubbenchError(f"{path} was changed after dubbench eval wrote it")
            fields["values"] = {key: float(value) for key, value in fields["values"].items()}
            fields["curves"] = {
                key: [None if value is None else float(value) for value in curve]
                for key, curve in fields.get("curves", {}).items()
            }
            return cls(**fields)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def _digest(fields: Mapping[str, Any]) -> str:
    """Of all that is equal when the same clip is scored again, which its time is not."""
    values = {name: value for name, value in fields["values"].items() if name != TIME}
    return sha256(json.dumps({**fields, "values": values}, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Row:
    """One line of ``summary.csv``: a metric of a method over the clips of a split.

    Attributes:
        method: name of the row.
        dataset: corpus.
        protocol: name.
        metric: name.
        value: mean over clips, or the one value of a metric that pools a split's frames; NaN where there is none.
        std: sample deviation over clips; NaN below two clips, with infinite values, and for pooled metrics.
        ci_low: lower end of the 95 % bootstrap interval of the mean; NaN for pooled metrics.
        ci_high: upper end.
        count: clips with a value; frames for pooled metrics.
        missed: frames without a value, in all clips.
        failed: clips that could not be scored.
        unit: of the value.
        better: ``higher``, ``lower``, or empty for what is not compared.
        protocol_hash: of the protocol's choices.
        split_hash: of the clip ids asked for.
    """

    method: str
    dataset: str
    protocol: str
    metric: str
    value: float
    std: float
    ci_low: float
    ci_high: float
    count: int
    missed: int
    failed: int
    unit: str
    better: Better
    protocol_hash: str
    split_hash: str


def interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """Percentile bootstrap of the mean over clips: 2000 resamples, 95 %.

    The ends are order statistics of the resampled means, so infinite values give infinite ends and never NaN.

    Args:
        values: one a clip.
        seed: of the resampling.

    Returns:
        Lower and upper end; NaN for no values.
    """
    if not len(values):
        return float("nan"), float("nan")
    import numpy as np

    data, generator = np.asarray(values, np.float64), np.random.default_rng(seed)
    draws = (generator.integers(len(data), size=(BLOCK, len(data))) for _ in range(RESAMPLES // BLOCK))
    means = np.sort(np.concatenate([data[draw].mean(axis=1) for draw in draws]))
    tail = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return float(means[tail]), float(means[-1 - tail])


def summarise(
    results: Iterable[ClipResult],
    metrics: Iterable[str],
    labels: Mapping[str, str],
    seed: int,
    pooled: Mapping[str, Pooled] | None = None,
) -> list[Row]:
    """Rows over clips, methods in the order of their first result.

    Args:
        results: of every method and clip.
        metrics: the protocol's; `INFORMATIVE` ones follow where a method has them.
        labels: ``dataset``, ``protocol``, ``protocol_hash`` and ``split_hash``.
        seed: of the intervals.
        pooled: by method, what the metrics over all frames gave.
    """
    methods: dict[str, list[ClipResult]] = {}
    for result in results:
        methods.setdefault(result.method, []).append(result)
    rows, wanted = [], list(metrics)
    for method, clips in methods.items():
        extra = [name for name in INFORMATIVE if any(name in clip.values for clip in clips)]
        for name in [*wanted, *extra]:
            row = _row(method, name, clips=clips, labels=labels, seed=seed)
            if is_pooled(name):
                pool = (pooled or {}).get(method, Pooled({}, {}, 0))
                row = replace(row, value=pool.values.get(name, float("nan")), count=pool.frames)
            rows.append(row)
    return rows


def is_pooled(metric: str) -> bool:
    """Whether a metric has one value over all frames of a split and none a clip."""
    return metric in DEFINITIONS and DEFINITIONS[metric].needs == "pool"


def _row(method: str, metric: str, clips: list[ClipResult], labels: Mapping[str, str], seed: int) -> Row:
    import numpy as np

    values = [clip.values[metric] for clip in clips if metric in clip.values]
    definition = DEFINITIONS.get(metric)
    landmarks = definition is not None and definition.needs == "landmarks"
    low, high = interval(values, seed)
    return Row(
        method=method,
        metric=metric,
        value=float(np.mean(values)) if values else float("nan"),
        std=float(np.std(values, ddof=1)) if len(values) > 1 and np.isfinite(values).all() else float("nan"),
        ci_low=low,
        ci_high=high,
        count=len(values),
        missed=sum(clip.missed for clip in clips) if landmarks else 0,
        failed=sum(bool(clip.failure) for clip in clips),
        unit=definition.unit if definition else INFORMATIVE[metric],
        better=definition.better if definition else "",
        **labels,
    )


def write_clips(path: Path, results: Iterable[ClipResult], metrics: Sequence[str]) -> None:
    """Write ``clips.csv``: method, clip, metric, value; the value is empty where there is none.

    Metrics that pool a split's frames have no line.
    """
    lines = []
    for result in results:
        of_clips = [metric for metric in metrics if not is_pooled(metric)]
        for metric in [*of_clips, *(name for name in INFORMATIVE if name in result.values)]:
            lines.append((result.method, result.clip, metric, number(result.values.get(metric, float("nan")))))
    write_text(path, as_csv(("method", "clip", "metric", "value"), lines))


def write_summary(path: Path, rows: Iterable[Row]) -> None:
    """Write ``summary.csv`` with `SUMMARY_COLUMNS`."""
    lines = [[_cell(getattr(row, column)) for column in SUMMARY_COLUMNS] for row in rows]
    write_text(path, as_csv(SUMMARY_COLUMNS, lines))


def _cell(value: float | int | str) -> str:
    return number(value) if isinstance(value, float) else str(value)


def summary_path(folder: Path) -> Path:
    """The ``summary.csv`` of a results folder, or the file itself.

    Raises:
        DubbenchError: if there is none.
    """
    path = folder / "summary.csv" if folder.is_dir() else folder
    if not path.is_file():
        raise DubbenchError(f"{folder} holds no results (no summary.csv); `dubbench eval --out {folder}` makes them")
    return path


def results_folders(folders: Iterable[Path]) -> list[Path]:
    """Results folders and files as they are; a folder of results folders, as several protocols give, as those in it."""
    found = []
    for folder in folders:
        inner = (
            [] if (folder / "summary.csv").is_file() else sorted(path.parent for path in folder.glob("*/summary.csv"))
        )
        found += inner or [folder]
    return found


def read_summary(folder: Path) -> list[Row]:
    """Read the rows of a results folder or a ``summary.csv``.

    Raises:
        DubbenchError: if there is none, it has another form, or its means are not those of the ``clips.csv`` beside it.
    """
    path = summary_path(folder)
    rows = [_parse(line, path) for line in read_csv(path, SUMMARY_COLUMNS)]
    clips = path.with_name("clips.csv")
    if clips.is_file():
        _compare(rows, clip_values(clips), path)
    return rows


def clip_values(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    """What ``clips.csv`` says: by method and metric the value of each clip that has one.

    Raises:
        DubbenchError: if it is unreadable, has another form or holds what is no number.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for line in read_csv(path, CLIP_COLUMNS):
        try:
            value = float(line["value"] or "nan")
        except ValueError as error:
            raise DubbenchError(f"{path} holds {line['value']!r} for a number; run dubbench eval again") from error
        if value == value:
            found.setdefault((line["method"], line["metric"]), {})[line["clip"]] = value
    return found


def _compare(rows: Iterable[Row], clips: Mapping[tuple[str, str], Mapping[str, float]], path: Path) -> None:
    """See that each mean over clips is that of the clips."""
    for row in rows:
        values = list(clips.get((row.method, row.metric), {}).values())
        if is_pooled(row.metric) or (not values and not row.count):
            continue
        mean = sum(values) / len(values) if values else float("nan")
        # Both files hold six digits; a mean near zero has fewer that count than its clips do.
        slack = DIGITS * max(map(abs, values), default=0.0) if all(map(isfinite, values)) else 0.0
        same = mean == row.value or isclose(mean, row.value, rel_tol=DIGITS, abs_tol=slack)
        if len(values) != row.count or not same:
            raise DubbenchError(
                f"{path} gives {row.method} a {row.metric} of {number(row.value)} over {row.count} clips, the "
                f"clips.csv beside it {number(mean) or 'none'} over {len(values)}; one of them was changed, run "
                "dubbench eval again"
            )


def _parse(line: Mapping[str, str], path: Path) -> Row:
    cells: dict[str, Any] = dict(line)
    try:
        for column in ("value", "std", "ci_low", "ci_high"):
            cells[column] = float(cells[column] or "nan")
        for column in ("count", "missed", "failed"):
            cells[column] = int(cells[column])
    except ValueError as error:
        raise DubbenchError(f"{path} holds a cell that is no number ({error}); write it again with eval") from error
    if cells["better"] not in ("higher", "lower", ""):
        raise DubbenchError(f"{path}: better is {cells['better']!r}; it can be higher, lower or empty")
    return Row(**{column: cells[column] for column in SUMMARY_COLUMNS})
