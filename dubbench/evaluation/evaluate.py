"""Scoring of methods on the clips of a split under a protocol: resumable, streaming, with failures counted."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench import __version__
from dubbench.core.console import quiet, say
from dubbench.core.files import atomic, sweep_abandoned, write_json, write_text
from dubbench.core.links import own
from dubbench.core.progress import tracked
from dubbench.core.tables import as_csv
from dubbench.datamodules.batch import SAMPLES_PER_FRAME
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import Candidate, CopyReference, Dubbed, Dubber, ScoringJob, first_with_face
from dubbench.evaluation.crops import measured_points
from dubbench.evaluation.finished_videos import Videos
from dubbench.evaluation.footage import SourceFootage, check_followed
from dubbench.evaluation.plan import Run, plan, refuse_other
from dubbench.evaluation.score_clip import FEATURES, score_clip
from dubbench.face.choice import Faces, most_faces
from dubbench.face.landmarks import FaceMesh
from dubbench.metrics.suite import Suite
from dubbench.models.base import DubbingModel
from dubbench.protocols.protocol import Protocol, load
from dubbench.results.record import definitions, versions
from dubbench.results.rows import (
    COPY_REFERENCE,
    GROUND_TRUTH,
    ClipResult,
    Pooled,
    summarise,
    write_clips,
    write_summary,
)

FILES = ("clips.csv", "summary.csv", "run.json", "pairing.csv")
FOLDERS = ("videos", "parts")
NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*")


def evaluate(
    root: Path | str,
    methods: Mapping[str, Dubber],
    *,
    out: Path | str,
    protocol: str | Path | Protocol = "first_frame",
    split: str = "test",
    videos: Mapping[str, Path] | None = None,
    checkpoints: Mapping[str, Path] | None = None,
    source_root: Path | str | None = None,
    seed: int = 0,
    limit: int | None = None,
    clips: Sequence[str] | None = None,
    device: str = "cpu",
    networks: Mapping[str, Any] | None = None,
    tally: Counter[str] | None = None,
    faces: Faces = "largest",
    reuse: Sequence[Path] = (),
) -> Path:
    """Score methods, finished videos, the ground truth and copy-the-reference, and write the results.

    ``out`` gets ``summary.csv`` (a row a method and metric), ``clips.csv`` (a row a method, clip and metric),
    ``run.json`` (everything the numbers depend on, and what failed why), ``pairing.csv`` under a cross protocol,
    ``videos/<method>/<clip>.mp4`` with the driving speech, and ``parts/``, from which a run that was stopped goes on:
    ``parts/<method>/<clip>.json`` has the clip's values and how far the mouth is open in each frame, see
    `dubbench.results.rows.ClipResult`.
    Metrics whose pretrained file is not here have no row; ``run.json`` says why. Nor has copy-the-reference where clips
    are aligned otherwise than the protocol says: finished videos do not depend on that, whatever is dubbed here does.
    Only timings differ between two runs.

    Args:
        root: folder of prepared clips.
        methods: models by row name, in eval mode on the device they shall run on.
        out: folder of the results.
        protocol: as read, or its short name or file.
        split: ``train``, ``val`` or ``test``.
        videos: folders of finished videos by row name.
        checkpoints: files that the models' weights came from, by row name.
        source_root: where the corpus lies, if it moved since it was prepared.
        seed: of the bootstrap intervals and of the draws of native references.
        limit: score only the first clips of the split.
        clips: score only these clips of the split.
        device: where metrics are computed.
        networks: of metrics, by the keys of `dubbench.metrics.suite.Suite`, instead of the pretrained files.
        tally: gets how many results of a row on a clip were ``scored`` now, and how many ``kept`` from before.
        faces: whose face is scored, see `dubbench.face.choice`: the prepared clip's own, with ``one`` only where it is
            alone, with a box only where it lies in that.
        reuse: other folders of results, whose rows of the same name are taken over, clip by clip, where they come of
            all the same, as those of the ground truth and of copy-the-reference do; one that is not there has none.

    Returns:
        ``out``.

    Raises:
        DubbenchError: on wrong arguments; if there are methods and the clips are aligned otherwise than the protocol
            says; if ``out`` holds results of another protocol, split or corpus; or if not a single clip could be scored
            (the reasons are in ``run.json``).
    """
    root, out = Path(root), Path(out)
    rules = protocol if isinstance(protocol, Protocol) else load(protocol)
    suite = Suite(
        rules.metrics,
        device=device,
        sync=rules.sync,
        embedder=rules.embedder,
        pool_minimum=rules.pool_minimum,
        networks=networks,
    )
    run = plan(
        root,
        rules,
        split=split,
        seed=seed,
        limit=limit,
        only=clips,
        source_root=Path(source_root) if source_root else None,
        suite=suite,
    )
    rows = _candidates(methods, checkpoints or {}, videos or {}, run)
    refuse_other(out, run)
    for name in (*FILES, *FOLDERS):
        own(out, name)
    sweep_abandoned(out)
    with ExitStack() as stack:
        meshes = {row.name: stack.enter_context(FaceMesh(most_faces(faces))) for row in rows}
        backend = meshes[GROUND_TRUTH].backend
        tally = Counter() if tally is None else tally
        parts = {
            clip: _clip(clip, run, rows=rows, meshes=meshes, out=out, tally=tally, faces=faces, reuse=reuse)
            for clip in tracked(run.clips, "scoring")
        }
    _tell_of_old(run)
    results = [parts[clip][row.name] for row in rows for clip in run.clips]
    pooled = {row.name: _pooled(row, results, run, out) for row in rows} if suite.wants("pool") else {}
    write_clips(own(out, "clips.csv"), results, suite.metrics)
    summary = summarise(results, suite.metrics, labels=run.labels, seed=seed, pooled=pooled)
    write_summary(own(out, "summary.csv"), summary)
    if run.driving:
        pairs = [(clip, run.driving[clip]) for clip in run.clips]
        write_text(own(out, "pairing.csv"), as_csv(("clip", "driving"), pairs))
    record = _record(run, rows, results=results, pooled=pooled, backend=backend, faces=faces)
    write_json(own(out, "run.json"), record | suite.ground_truth(lambda: _landmarks(run)))
    failures = [result for result in results if result.failure]
    if len(failures) == len(results):
        raise DubbenchError(
            f"none of the {len(run.clips)} clips could be scored, the first because {failures[0].failure}; "
            f"all reasons are in {out / 'run.json'}"
        )
    return out


def _landmarks(run: Run) -> Iterator[tuple[str, Tensor]]:
    """Speaker and landmarks of the ground truth's clips in FFHQ's squares, frames without a face left out."""
    for name in run.clips:
        clip = PreparedClip(run.root, name)
        yield clip.info.speaker, torch.from_numpy(measured_points(clip).astype(np.float32))


def _candidates(
    methods: Mapping[str, Dubber], checkpoints: Mapping[str, Path], videos: Mapping[str, Path], run: Run
) -> list[Candidate]:
    """Both ends of the scale, then models, then folders of videos."""
    names = [GROUND_TRUTH, COPY_REFERENCE, *methods, *videos]
    for name in names:
        if names.count(name) > 1:
            raise DubbenchError(f"two rows are called {name!r}; give another name with --method")
        if not NAME.fullmatch(name):
            raise DubbenchError(f"{name!r} cannot name a row; use letters, digits and . _ + -, not a dot in front")
    if methods and run.misaligned:
        raise DubbenchError(run.misaligned)
    for dubber in methods.values():
        if isinstance(dubber, DubbingModel):
            dubber.check_alignment(run.align, f"{run.root} was prepared")
    if run.misaligned:
        say(f"{COPY_REFERENCE} is left out: {run.misaligned}")
    dubbed = {**({} if run.misaligned else {COPY_REFERENCE: CopyReference(run.size)}), **methods}
    rows = [Candidate(), *(Dubbed(name, dubber, checkpoints.get(name)) for name, dubber in dubbed.items())]
    return rows + [Videos(name, Path(folder), run.clips) for name, folder in videos.items()]


def _clip(
    name: str,
    run: Run,
    rows: Sequence[Candidate],
    meshes: Mapping[str, FaceMesh],
    out: Path,
    tally: Counter[str],
    faces: Faces,
    reuse: Sequence[Path],
) -> dict[str, ClipResult]:
    """Results of all rows on one clip: kept ones where nothing changed, new ones otherwise."""
    try:
        job, stamp = _job(name, run, meshes[GROUND_TRUTH].backend, faces)
    except DubbenchError as error:
        return {row.name: ClipResult(row.name, name, "", failure=str(error)) for row in rows}
    paths = {row.name: own(out, f"parts/{row.name}/{name}.json") for row in rows}
    finished = {row.name: own(out, f"videos/{row.name}/{name}.mp4") for row in rows}
    prints = {row: _fingerprint(stamp, row, name) for row in rows}
    results: dict[str, ClipResult] = {}
    for row, fingerprint in prints.items():
        if fingerprint and not paths[row.name].is_file():
            _take_over(row, name, fingerprint, out=out, others=reuse, run=run)
        kept = _kept(paths[row.name]) if fingerprint else None
        video = not row.writes or finished[row.name].is_file()
        features = not run.suite.wants("pool") or _features(out, row.name, name).is_file()
        if kept and kept.fingerprint == fingerprint and not kept.failure and video and features:
            results[row.name] = kept
    tally["kept"] += len(results)
    wanted = {row: fingerprint for row, fingerprint in prints.items() if row.name not in results}
    for row in wanted:
        finished[row.name].unlink(missing_ok=True)
    if wanted:
        for result in _scored(job, wanted, suite=run.suite, meshes=meshes, out=out):
            result.write(own(out, f"parts/{result.method}/{name}.json"))  # a link may have been put there meanwhile
            results[result.method] = result
            tally["scored"] += 1
    return results


def _kept(path: Path) -> ClipResult | None:
    """What was scored before; values that somebody changed since are told, and scored again."""
    try:
        return ClipResult.read(path)
    except DubbenchError as error:
        say(f"{error}; the clip is scored again")
        return None


def _take_over(row: Candidate, name: str, fingerprint: str, *, out: Path, others: Sequence[Path], run: Run) -> None:
    """Copy what another folder has of a row on a clip, if it comes of all the same and nothing is missing there."""
    files = [f"videos/{row.name}/{name}.mp4"] * row.writes
    files += [f"parts/{row.name}/{name}{FEATURES}"] * run.suite.wants("pool")
    for other in others:
        there = _kept(own(other, f"parts/{row.name}/{name}.json"))
        same = there is not None and there.fingerprint == fingerprint and not there.failure
        if there is None or not same or not all(own(other, file).is_file() for file in files):
            continue
        for file in files:
            with atomic(own(out, file)) as temporary:
                shutil.copyfile(own(other, file), temporary)
        there.write(own(out, f"parts/{row.name}/{name}.json"))
        return


def _tell_of_old(run: Run) -> None:
    """Say once how many clips are of versions that did not record what they are made of."""
    used = sorted({*run.clips, *run.driving.values()})
    old = []
    for name in used:
        with suppress(DubbenchError):  # its failure is listed with its reason
            old += [] if PreparedClip(run.root, name).info.files else [name]
    if old and not quiet():
        say(
            f"{len(old)} of {len(used)} clips of {run.root} do not say what their files should hold, so that changes "
            "go unnoticed; run dubbench prepare again to record it"
        )


def _scored(
    job: ScoringJob, wanted: Mapping[Candidate, str], suite: Suite, meshes: Mapping[str, FaceMesh], out: Path
) -> Iterator[ClipResult]:
    try:
        yield from score_clip(job, wanted, suite=suite, meshes=meshes, videos=out / "videos", features=out / "parts")
    except DubbenchError as error:
        for row, fingerprint in wanted.items():
            yield ClipResult(row.name, job.footage.name, fingerprint, failure=str(error))


def _features(out: Path, method: str, clip: str) -> Path:
    return own(out, f"parts/{method}/{clip}{FEATURES}")


def _pooled(row: Candidate, results: Sequence[ClipResult], run: Run, out: Path) -> Pooled:
    """Compare a row's frames with the ground truth of the same clips."""
    clips = [result.clip for result in results if result.method == row.name and not result.failure]
    whole = [clip for clip in clips if _features(out, GROUND_TRUTH, clip).is_file()]
    pred, truth = ([_features(out, side, clip) for clip in whole] for side in (row.name, GROUND_TRUTH))
    return Pooled(*run.suite.pooled(pred, truth))


def _job(name: str, run: Run, backend: str, faces: Faces) -> tuple[ScoringJob, dict[str, Any]]:
    """The clip with what drives it, and all that results depend on beside the row."""
    clip = PreparedClip(run.root, name)
    check_followed(clip, faces)
    footage = SourceFootage.find(clip, run.source_root)
    driver = PreparedClip(run.root, run.driving[name]) if run.driving else clip
    job = ScoringJob(
        footage=footage,
        speech=_fitted(driver, clip.info.frames),
        rules=run.protocol,
        seed=run.seed,
        prepared=clip,
        driver=driver if run.driving else None,
        faces=faces,
    )
    stamp = {
        "clip": _described(clip),
        "driving": _described(driver),
        "protocol": run.protocol.hash,
        "seed": run.seed if run.protocol.references == "native" else None,  # else it only draws the intervals
        "device": str(run.suite.device),
        "suite": run.suite.describe(),
        "version": __version__,
        "landmarks": backend,
        "faces": faces,
    }
    return job, stamp


def _described(clip: PreparedClip) -> dict[str, Any]:
    """What a prepared clip says of itself, with the digests of the files as they lie there."""
    return clip.info.as_dict() | {"files": clip.verified()}


def _fitted(driver: PreparedClip, frames: int) -> NDArray[np.float32]:
    """Speech of a clip, cut or followed by silence to the length of ``frames``."""
    speech = driver.speech(0, min(frames, driver.info.frames))
    return np.pad(speech, (0, frames * SAMPLES_PER_FRAME - len(speech)))


def _fingerprint(stamp: Mapping[str, Any], row: Candidate, clip: str) -> str:
    own = row.fingerprint(clip)
    return sha256(json.dumps([stamp, own], sort_keys=True).encode()).hexdigest() if own else ""


def _record(
    run: Run,
    rows: Sequence[Candidate],
    results: Sequence[ClipResult],
    pooled: Mapping[str, Pooled],
    backend: str,
    faces: Faces,
) -> dict[str, Any]:
    """Contents of ``run.json``."""
    methods = {}
    for row in rows:
        own = [result for result in results if result.method == row.name]
        methods[row.name] = {
            **row.describe(),
            "scored": sum(not result.failure for result in own),
            "failed": {result.clip: result.failure for result in own if result.failure},
            "more_faces": {result.clip: result.several for result in own if result.several},
            "without_value": {result.clip: result.notes for result in own if result.notes},
            "remarks": {result.clip: result.remarks for result in own if result.remarks},
            "pooled_without_value": pooled[row.name].notes if row.name in pooled else {},
        }
    return {
        **run.labels,
        "protocol_choices": asdict(run.protocol),
        "split": run.split,
        "clips": len(run.clips),
        "missing": run.missing,
        "clips_short": run.short,
        "faces": faces,
        "first_frames": {clip: frame for clip in run.clips if (frame := first_with_face(PreparedClip(run.root, clip)))},
        "seed": run.seed,
        "device": str(run.suite.device),
        "methods": methods,
        "left_out": {COPY_REFERENCE: run.misaligned} if run.misaligned else {},
        "not_computed": run.suite.absent,
        "networks": run.suite.describe()["networks"],
        "metrics": definitions(run.suite.metrics),
        "versions": versions(backend),
    }
