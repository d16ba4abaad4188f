"""A corpus to a folder of prepared clips: resumable, in any number of processes, with every failure listed."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from dubbench import __version__
from dubbench.core.files import atomic, inside, write_json, write_text
from dubbench.core.links import own
from dubbench.core.locks import claimed
from dubbench.core.tables import as_csv
from dubbench.datamodules import sources, splits
from dubbench.datamodules.clip import MANIFEST_COLUMNS, ClipInfo, read_dataset
from dubbench.datamodules.prepare.clip import (
    PARTIAL,
    PrepareJob,
    PrepareOptions,
    PrepareOutcome,
    existing,
    face_mesh,
    prepare_clip,
)
from dubbench.datamodules.prepare.outcomes import full, in_one_line
from dubbench.datamodules.prepare.progress import shown
from dubbench.datamodules.prepare.quality import with_quality
from dubbench.datamodules.prepare.workers import spread
from dubbench.datamodules.quality import QUALITY
from dubbench.errors import DubbenchError
from dubbench.face.alignment import ALIGNMENTS, SMOOTH_BY_DEFAULT

FACES = ("one", "largest")


@dataclass(frozen=True)
class Failure:
    """A clip that could not be prepared: its id, its video below the corpus root, and why."""

    clip: str
    source: str
    reason: str


@dataclass(frozen=True)
class PrepareReport:
    """What a run did.

    Attributes:
        done: clips prepared now.
        skipped: clips that were finished before.
        failed: clips that could not be prepared.
        failures: each of those with its reason, as ``failures.csv`` lists them.
        remarks: by prepared clip, what was wrong with it and could be made good, as the manifest has it.
        ignored: files of the corpus folder that are no clips, counted by reason.
    """

    done: int
    skipped: int
    failed: int
    failures: tuple[Failure, ...]
    remarks: dict[str, tuple[str, ...]]
    ignored: Mapping[str, int] = field(default_factory=dict)


def prepare(
    dataset: str,
    root: Path | str,
    out: Path | str,
    *,
    size: int = 512,
    align: str = "ffhq",
    workers: int = 1,
    smooth: float | None = None,
    faces: str = "one",
    split: str = "auto",
    limit: int | None = None,
) -> PrepareReport:
    """Prepare every clip of a corpus that is not prepared yet.

    The bytes written depend on the clips and the options only, not on ``workers`` nor on how often a run was
    interrupted. Progress goes to stderr.

    Args:
        dataset: corpus name, see `sources.MODULES`.
        root: corpus folder.
        out: folder to fill; holds one corpus with one ``size``, ``align`` and ``smooth``.
        size: side of the aligned frames in pixels.
        align: where the square hangs: ``ffhq``, or ``upper``, which the mouth does not move.
        workers: processes; more than one are spawned.
        smooth: sigma in frames of a Gaussian over the alignment, 0 for none; by default `SMOOTH_BY_DEFAULT`.
        faces: ``one`` fails clips with a second face in over a tenth of the frames, ``largest`` follows the larger.
        split: rule for `splits.assign`.
        limit: take only the first so many clips.

    Raises:
        DubbenchError: on bad arguments, if ``out`` was made otherwise or is in use, or if the disk is full.
    """
    root, out = Path(root).resolve(), Path(out).resolve()
    if align not in ALIGNMENTS:
        raise DubbenchError(f"--align {align} is not known; give {' or '.join(ALIGNMENTS)}")
    smooth = SMOOTH_BY_DEFAULT[align] if smooth is None else float(smooth)
    _check(size=size, workers=workers, smooth=smooth, faces=faces, limit=limit)
    clips = [clip for clip in sources.find(dataset, root) if not clip.path.is_relative_to(out)]
    split_of = splits.assign(dataset, clips, split)
    versions = {"dubbench": __version__, "mesh": face_mesh().backend, "av": version("av")}
    options = PrepareOptions(dataset=dataset, size=size, align=align, smooth=smooth, faces=faces, versions=versions)
    with claimed(out, "prepare"), _without_partial(out):
        _describe(out, root, options, split)
        jobs = [
            PrepareJob(raw=clip, split=split_of[clip.clip], root=root, out=out, options=options, number=n)
            for n, clip in enumerate(clips)
        ]
        made: dict[str, PrepareOutcome] = {}
        try:
            for job, outcome in _run(jobs[:limit], workers):
                made[job.raw.clip] = outcome
        except KeyboardInterrupt:
            _write_tables(out, jobs, made)
            raise
        failures = _write_tables(out, jobs, made)
    fresh = sum(outcome.info is not None and outcome.fresh for outcome in made.values())
    remarks = {clip: outcome.info.remarks for clip, outcome in made.items() if outcome.info and outcome.info.remarks}
    ignored = sources.ignored(dataset, clips, root, out)
    return PrepareReport(
        done=fresh,
        skipped=len(made) - fresh - len(failures),
        failed=len(failures),
        failures=failures,
        remarks=remarks,
        ignored=ignored,
    )


def _check(*, size: int, workers: int, smooth: float, faces: str, limit: int | None) -> None:
    for name, value, least in (("size", size, 16), ("workers", workers, 1), ("smooth", smooth, 0), ("limit", limit, 1)):
        if value is not None and not value >= least:
            raise DubbenchError(f"--{name} {value} is too small; give {least} or more")
    if faces not in FACES:
        raise DubbenchError(f"--faces {faces} is not known; give {' or '.join(FACES)}")


@contextmanager
def _without_partial(out: Path) -> Iterator[None]:
    """Clear clips that were left unfinished, before and after."""
    shutil.rmtree(own(out, PARTIAL), ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(out / PARTIAL, ignore_errors=True)  # which leaves a link alone


def _describe(out: Path, root: Path, options: PrepareOptions, split: str) -> None:
    """Write ``dataset.json``, unless the folder holds clips that were made otherwise.

    Split and faces may change from run to run: finished clips then get their new split, and stay as they are. Which
    quality they were scored by stays, too.
    """
    kept: dict[str, object] = {}
    mine = {"dataset": options.dataset, "size": options.size, "align": options.align, "smooth": options.smooth}
    if (out / "dataset.json").is_file():
        before = {"align": "ffhq", **read_dataset(out)}
        kept = {name: before[name] for name in (QUALITY,) if name in before}
        differing = [f"{name} {before.get(name)}" for name, value in mine.items() if before.get(name) != value]
        if differing:
            raise DubbenchError(
                f"{out} was prepared with {', '.join(differing)}; give the same again, or another folder with --out"
            )
    write_json(
        own(out, "dataset.json"),
        {**mine, **kept, "root": str(root), "faces": options.faces, "split": split, "versions": options.versions},
    )


def _run(jobs: list[PrepareJob], workers: int) -> Iterator[tuple[PrepareJob, PrepareOutcome]]:
    """Do the jobs and show how they go.

    Raises:
        DubbenchError: when the disk is full.
    """
    with shown("prepare", len(jobs)) as progress:
        for end in spread(prepare_clip, iter(jobs), min(workers, len(jobs)), progress.tell):
            outcome = end.result or PrepareOutcome(None, reason=f"{end.died} while preparing it")
            if outcome.no_room:
                raise full(end.job.out, outcome.reason, "finished")
            if outcome.info is None:
                progress.fail(end.job.raw.clip, outcome.reason)
            elif outcome.fresh:
                progress.remark(end.job.raw.clip, outcome.info.remarks)
            yield end.job, outcome
            progress.advance()


def _write_tables(out: Path, jobs: list[PrepareJob], made: dict[str, PrepareOutcome]) -> tuple[Failure, ...]:
    """Write ``manifest.parquet`` and ``failures.csv``; clips that this run left alone count if they are finished."""
    rows: list[ClipInfo] = []
    failures: list[Failure] = []
    for job in jobs:
        outcome = made.get(job.raw.clip)
        if outcome is None:
            info = existing(inside(out, job.raw.clip))
            rows += [info] if info else []
        elif outcome.info is None:
            reason = in_one_line(outcome.reason, job.root)
            failures.append(Failure(*map(_printable, (job.raw.clip, job.source, reason))))
        else:
            rows.append(outcome.info)
    cells = [{**vars(row), "remarks": "; ".join(row.remarks)} for row in rows]
    table = pd.DataFrame([[row[name] for name in MANIFEST_COLUMNS] for row in cells], columns=MANIFEST_COLUMNS)
    with atomic(own(out, "manifest.parquet")) as temporary:
        with_quality(out, table).to_parquet(temporary, index=False)
    listed = as_csv([each.name for each in fields(Failure)], [astuple(failure) for failure in failures])
    write_text(own(out, "failures.csv"), listed)
    return tuple(failures)


def _printable(name: str) -> str:
    """File names are bytes; those that are no UTF-8 get question marks."""
    return name.encode(errors="replace").decode()
