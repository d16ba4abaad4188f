"""A quality score for every clip of a prepared folder: computed here, by HyperIQA, or somebody's own."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dubbench.assets import store
from dubbench.core.files import atomic, sha256, write_json, write_text
from dubbench.core.folders import composed
from dubbench.core.links import own
from dubbench.core.tables import as_csv, read_csv
from dubbench.datamodules.clip import PreparedClip, read_dataset, read_manifest
from dubbench.datamodules.prepare.outcomes import ClipFailure, full, in_one_line
from dubbench.datamodules.prepare.progress import shown
from dubbench.datamodules.prepare.scores import (
    COLUMNS,
    HYPERIQA,
    OWN,
    VERSIONS,
    QualityJob,
    QualityOutcome,
    Values,
    read_score,
    score_clip,
)
from dubbench.datamodules.prepare.workers import spread
from dubbench.datamodules.quality import PARTS, QUALITY, quality_record
from dubbench.errors import DubbenchError

FAILURES = "quality_failures.csv"
CSV = "csv"


@dataclass(frozen=True)
class Quality:
    """Which quality clips get.

    Attributes:
        name: ``own``, ``hyperiqa`` or ``csv``.
        weights: file of HyperIQA's network.
        digest: sha256 of what decides it beside the clip: HyperIQA's file, or the CSV file.
        file: name of the CSV file.
        scores: by clip, what the CSV file says.
    """

    name: str
    weights: Path | None = None
    digest: str = ""
    file: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """What ``dataset.json`` says of it."""
        told = {"name": self.name, "version": VERSIONS.get(self.name, 1), "sha256": self.digest, "file": self.file}
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class QualityReport:
    """What a run did.

    Attributes:
        name: of the quality.
        done: clips scored now.
        skipped: clips scored before.
        failures: clips that have no score, as the failures file lists them.
        strangers: clips of the CSV file that the folder does not have.
        tenths: the scores that one, five and nine tenths of the clips do not exceed; empty where none has one.
    """

    name: str
    done: int
    skipped: int
    failures: tuple[ClipFailure, ...]
    strangers: int = 0
    tenths: tuple[float, ...] = ()


def settled_quality(word: str) -> Quality:
    """The quality that ``--quality`` names, with everything that it needs looked at.

    Args:
        word: ``own``, ``hyperiqa``, or a CSV file with the columns clip and quality.

    Raises:
        DubbenchError: if it is none of these, HyperIQA's file is not here or damaged, or the CSV file cannot be used.
    """
    if word == OWN:
        return Quality(OWN)
    if word == HYPERIQA:
        from dubbench.metrics.networks.hyperiqa import FILE, load_hyperiqa

        path = store.find(FILE)
        load_hyperiqa(path)  # what is wrong with it is said now, once, and not by every clip
        return Quality(HYPERIQA, path, sha256(path))
    path = Path(word)
    if not path.is_file():
        raise DubbenchError(
            f"--quality {word} is not known; give {OWN}, {HYPERIQA} or a CSV file with the columns clip,quality"
        )
    return Quality(CSV, digest=sha256(path), file=path.name, scores=_given(path))


def prepare_quality(root: Path | str, quality: Quality, workers: int = 1) -> QualityReport:
    """Score every clip of a prepared folder that has no score of this quality yet, and write them into the manifest.

    What is written depends on the quality and the clips only, not on ``workers``. In the manifest, another quality's
    scores make way. Nobody else may write to the folder meanwhile. Progress goes to stderr.

    - ``own``: sharpness, exposure and size of the face in 16 frames, evenly spread, and ``quality`` from 0 to 100 made
      of them, see `dubbench.datamodules.prepare.scores.own_quality`; a column each.
    - ``hyperiqa``: ``quality`` is the mean of HyperIQA's score of 3 aligned frames, evenly spread, from 0 to 100, see
      `dubbench.metrics.networks.hyperiqa`; on a GPU where there is one.
    - ``csv``: ``quality`` is what the file says, in its own unit.

    Frames without a found face are not looked at.

    Raises:
        DubbenchError: if the folder is not prepared, or the disk is full.
    """
    root = Path(root).resolve()
    if workers < 1:
        raise DubbenchError(f"--workers {workers} is too small; give 1 or more")
    manifest = read_manifest(root)
    clips = [str(clip) for clip in manifest["clip"]]
    made = _look_up(root, manifest, quality) if quality.name == CSV else dict(_run(root, clips, quality, workers))
    table = _with_columns(manifest, {clip: outcome.values for clip, outcome in made.items()}, quality.name)
    failures = sorted((clip, outcome.reason) for clip, outcome in made.items() if outcome.reason)
    _write(root, table, quality.record)
    write_text(own(root, FAILURES), as_csv(("clip", "reason"), failures))
    scores = table[QUALITY].dropna().to_numpy(np.float64)
    return QualityReport(
        name=quality.name,
        done=sum(outcome.fresh and not outcome.reason for outcome in made.values()),
        skipped=sum(not outcome.fresh for outcome in made.values()),
        failures=tuple(ClipFailure(*failure) for failure in failures),
        strangers=len(quality.scores.keys() - set(clips)),
        tenths=tuple(np.percentile(scores, (10, 50, 90)).round(2).tolist()) if len(scores) else (),
    )


def with_quality(root: Path, table: pd.DataFrame) -> pd.DataFrame:
    """A manifest that is about to be written, with the scores that its clips have in the folder already.

    A clip that was made anew has none: scores that were computed lie in the clips' folders, and go with them; a CSV
    file's stay with a clip as long as its source is the same.
    """
    record = quality_record(root)
    if record is None:
        return table
    if record["name"] == CSV:
        return _with_columns(table, _listed(root, table), CSV)
    values = {
        clip: read_score(PreparedClip(root, clip), record["name"], record.get("sha256", ""))
        for clip in map(str, table["clip"])
    }
    return _with_columns(table, values, record["name"])


def _with_columns(table: pd.DataFrame, values: Mapping[str, Values], name: str) -> pd.DataFrame:
    """A manifest with a quality's columns and no other's; NaN where a clip has no score."""
    table = table.drop(columns=[QUALITY, *PARTS], errors="ignore")
    for column in COLUMNS.get(name, (QUALITY,)):
        found = [values.get(clip, {}).get(column, math.nan) for clip in map(str, table["clip"])]
        table[column] = np.array(found, np.float64)
    return table


def _write(root: Path, table: pd.DataFrame, record: dict[str, Any]) -> None:
    """Put scores into the manifest and say in ``dataset.json`` whose they are."""
    about = read_dataset(root)
    if about.pop(QUALITY, record) != record:
        # Whoever is killed here leaves a folder without scores, not one whose scores are called another's.
        write_json(own(root, "dataset.json"), about)
    with atomic(own(root, "manifest.parquet")) as temporary:
        table.to_parquet(temporary, index=False)
    write_json(own(root, "dataset.json"), {**about, QUALITY: record})


def _given(path: Path) -> dict[str, float]:
    """Scores by clip of a CSV file; clips whose cell is empty have none.

    Raises:
        DubbenchError: if it is no such table, lists a clip twice, or has a score that is no finite number.
    """
    scores: dict[str, float] = {}
    seen = set()
    for line in read_csv(path, ("clip", "quality")):
        clip, cell = composed(line["clip"]), line["quality"].strip()
        if clip in seen:
            raise DubbenchError(f"{path} lists {clip} twice; leave one")
        seen.add(clip)
        try:
            score = float(cell or 0)
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise DubbenchError(f"{path} gives {clip} the quality {cell!r}; give a finite number, or leave it empty")
        if cell:
            scores[clip] = score
    if not scores:
        raise DubbenchError(f"{path} gives no clip a quality; give lines of clip,quality")
    return scores


def _look_up(root: Path, manifest: pd.DataFrame, quality: Quality) -> dict[str, QualityOutcome]:
    """What a CSV file says of each clip, and what it does not."""
    before = _listed(root, manifest) if quality_record(root) == quality.record else {}
    made = {}
    for clip in map(str, manifest["clip"]):
        if clip in quality.scores:
            values = {QUALITY: quality.scores[clip]}
            made[clip] = QualityOutcome(values, fresh=before.get(clip) != values)
        else:
            made[clip] = QualityOutcome(reason=f"{quality.file} gives it no quality")
    return made


def _listed(root: Path, table: pd.DataFrame) -> dict[str, Values]:
    """Scores that the folder's manifest has for clips of a table with the same source."""
    if not (root / "manifest.parquet").is_file() or QUALITY not in (before := read_manifest(root)):
        return {}
    sources = dict(zip(table["clip"], table["source_sha256"], strict=True))
    rows = zip(before["clip"], before["source_sha256"], before[QUALITY], strict=True)
    return {
        str(clip): {QUALITY: float(score)}
        for clip, source, score in rows
        if sources.get(clip) == source and not math.isnan(score)
    }


def _run(root: Path, clips: list[str], quality: Quality, workers: int) -> Iterator[tuple[str, QualityOutcome]]:
    """Score clips and show how it goes.

    Raises:
        DubbenchError: when the disk is full.
    """
    jobs = (QualityJob(root, clip, quality.name, weights=quality.weights, digest=quality.digest) for clip in clips)
    with shown("quality", len(clips)) as progress:
        for end in spread(score_clip, jobs, max(min(workers, len(clips)), 1), progress.tell):
            outcome = end.result or QualityOutcome(reason=f"{end.died} while scoring it")
            if outcome.no_room:
                raise full(root, outcome.reason, "scored")
            if outcome.reason:
                outcome = QualityOutcome(reason=in_one_line(outcome.reason, root))
                progress.fail(end.job.clip, outcome.reason)
            yield end.job.clip, outcome
            progress.advance()
