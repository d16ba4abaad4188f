"""Results as files: what one clip got, tidy tables over clips, and intervals."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from dubbench.core.files import write_json, write_text
from dubbench.core.tables import as_csv, read_csv
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS, Better
from dubbench.results.numbers import number

GROUND_TRUTH = "ground_truth"
COPY_REFERENCE = "copy_reference"
# Curves of a clip: of the row's own mouth, and beside the ground truth's of the clip whose speech drives it.
OPENING, DRIVER = "opening", "driver"
RESAMPLES = 2000
CONFIDENCE = 0.95
BLOCK = 100
SUMMARY_COLUMNS = (
    "method", "dataset", "protocol", "metric", "value", "std", "ci_low", "ci_high", "count", "missed", "failed",
    "unit", "better", "protocol_hash", "split_hash",
)  # fmt: skip
# Measured beside the protocol's metrics; nothing is ranked or compared by them.
INFORMATIVE = {
    "lmd_floor": "px@256",
    "f_lmd_floor": "px@256",
    "sync_tracks": "1",
    "sync_windows": "1",
    "seconds_per_frame": "s",
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

    def write(self, path: Path) -> None:
        """Write atomically as JSON; infinity is the text ``inf``."""
        values = {key: value if isfinite(value) else number(value) for key, value in self.values.items()}
        fields = {key: value for key, value in asdict(self).items() if key != "remarks" or value}
        write_json(path, {**fields, "values": values})

    @classmethod
    def read(cls, path: Path) -> "ClipResult | None":
        """Read what `write` wrote; None if it is absent or of another form."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            fields["values"] = {key: float(value) for key, value in fields["values"].items()}
            fields["curves"] = {
                key: [None if value is None else float(value) for value in curve]
                for key, curve in fields.get("curves", {}).items()
            }
            return cls(**fields)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


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
        DubbenchError: if there is none, or it has another form.
    """
    path = summary_path(folder)
    return [_parse(line, path) for line in read_csv(path, SUMMARY_COLUMNS)]


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
