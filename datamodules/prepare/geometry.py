"""Face geometry for a prepared folder: one face model for all its clips, then each clip's coefficients."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.assets import store
from dubbench.core.files import no_room, sweep, write_text
from dubbench.core.links import own
from dubbench.core.tables import as_csv
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.geometry import ClipGeometry, geometry_name, model_path, read_geometry, write_geometry
from dubbench.datamodules.prepare.guess import FirstGuess, record_guess, settled_guess
from dubbench.datamodules.prepare.outcomes import ClipFailure, full, in_one_line, surprise
from dubbench.datamodules.prepare.progress import shown
from dubbench.datamodules.prepare.workers import Tell, spread
from dubbench.errors import DubbenchError
from dubbench.face3d.d3dfr import ReconNet, load_d3dfr, network_guess
from dubbench.face3d.first_guess import Coefficients
from dubbench.face3d.fitting import Fit, fit
from dubbench.face3d.head import head_motion, in_square
from dubbench.face3d.model import POSE_SIZE, SOURCES, LinearFaceModel
from dubbench.face3d.sources import learn_mesh, load_bfm, load_ict

FAILURES = "geometry_failures.csv"
ICT_FILES = ("ict_facekit_face9409.npz", "ict_vertex_indices.json")
BFM_FILE = "BFM_model_front.mat"
# Frames that a mesh model is learnt from: their meshes take 100 MB in memory, many times what 144 components need.
LEARNT_FROM = 8000
# So many of a clip at least: one alone tells how a face looks, only several how it moves.
OF_A_CLIP = 8


@dataclass(frozen=True)
class GeometryReport:
    """What a run did.

    Attributes:
        done: clips fitted now.
        skipped: clips fitted before.
        failures: clips that could not be, as the failures file lists them.
        guess: what the fit starts from, where there is a choice.
    """

    done: int
    skipped: int
    failures: tuple[ClipFailure, ...]
    guess: str = ""


@dataclass(frozen=True)
class GeometryJob:
    """A clip to fit: the prepared root, its id, the face model's file with its hash, and where the fit starts."""

    root: Path
    clip: str
    model: Path
    model_hash: str
    guess: FirstGuess


@dataclass(frozen=True)
class GeometryOutcome:
    """What became of a clip.

    Attributes:
        fresh: whether it was fitted now rather than found fitted.
        reason: why it could not be.
        no_room: whether that is because nothing more can be written, so that going on is pointless.
    """

    fresh: bool = True
    reason: str = ""
    no_room: bool = False


def prepare_geometry(root: Path | str, source: str, workers: int = 1, file: Path | None = None) -> GeometryReport:
    """Fit every clip of a prepared folder that is not fitted yet.

    The face model is made once and kept as ``face_<source>.npz``; what is written depends on it, the first guess and
    the clips only, not on ``workers``. The guess is settled with the face model, see `settled_guess`, and a clip of
    another one is fitted anew. Nobody else may write to the folder meanwhile. Progress goes to stderr.

    Args:
        root: prepared folder.
        source: ``mesh``, ``ict`` or ``bfm``.
        workers: processes; more than one are spawned.
        file: of the face model, see `given_model`.

    Raises:
        DubbenchError: if the folder is not prepared, the face model or the first guess's network is absent or damaged
            or the folder has another, or the disk is full.
    """
    root = Path(root).resolve()
    if workers < 1:
        raise DubbenchError(f"--workers {workers} is too small; give 1 or more")
    manifest = read_manifest(root)
    given, guess = given_model(root, source, file), settled_guess(root, source, file)
    record_guess(root, source, guess)
    model = settled_model(root, manifest, source, given)
    jobs = [
        GeometryJob(root=root, clip=str(clip), model=model_path(root, source), model_hash=model.hash(), guess=guess)
        for clip in manifest["clip"]
    ]
    done = skipped = 0
    failures = []
    for job, outcome in _run(jobs, workers):
        if outcome.reason:
            failures.append(ClipFailure(job.clip, in_one_line(outcome.reason, root)))
        done += outcome.fresh and not outcome.reason
        skipped += not outcome.fresh
    failures.sort(key=lambda failure: failure.clip)
    listed = as_csv(("clip", "reason"), [(failure.clip, failure.reason) for failure in failures])
    write_text(own(root, FAILURES), listed)
    return GeometryReport(done, skipped, tuple(failures), guess.words)


def given_model(root: Path | None, source: str, file: Path | None) -> LinearFaceModel | None:
    """The face model that the user has as a file; None if the prepared folder has or will learn its own.

    Args:
        root: prepared folder; None or one that is not there yet has no model.
        source: ``mesh``, ``ict`` or ``bfm``.
        file: ``mesh``: the ``face_mesh.npz`` of another prepared folder; ``ict``: the npz, its vertex indices beside
            it, or their folder; ``bfm``: ``BFM_model_front.mat`` or its folder. By default the places of assets.

    Raises:
        DubbenchError: if the source is unknown, or its file absent or damaged.
    """
    if source not in SOURCES:
        raise DubbenchError(f"--geometry {source} is not known; give {', '.join(SOURCES[:-1])} or {SOURCES[-1]}")
    if file is None and (source == "mesh" or (root is not None and model_path(root, source).is_file())):
        return None
    if file is not None and not file.exists():
        raise DubbenchError(f"--geometry_file {file} is not there")
    if source == "mesh" and file is not None:
        model = LinearFaceModel.load(file)
        if model.source != source:
            raise DubbenchError(f"{file} holds a face model of {model.source}; give --geometry {model.source}")
        return model
    if source == "bfm":
        return load_bfm(file or _own_copy(BFM_FILE))
    folder = None if file is None else file if file.is_dir() else file.parent
    npz, indices = (folder / name if folder else _own_copy(name) for name in ICT_FILES)
    return load_ict(file if file is not None and file.is_file() else npz, indices)


def settled_model(root: Path, manifest: pd.DataFrame, source: str, given: LinearFaceModel | None) -> LinearFaceModel:
    """The face model that a prepared folder has; else the given one, else one learnt from its meshes, is made its own.

    Raises:
        DubbenchError: if the folder's file is damaged, it has another than the given one, or there are no meshes.
    """
    path = model_path(root, source)
    if path.is_file():
        model = LinearFaceModel.load(path)
        if given is not None and given.hash() != model.hash():
            raise DubbenchError(
                f"{path} is another face model than the one given; leave --geometry_file out to go on with it, or "
                f"remove it to fit all clips anew"
            )
        return model
    model = given or learn_mesh(_meshes(root, manifest))
    model.save(path)
    return model


def fit_clip(job: GeometryJob, tell: Tell) -> GeometryOutcome:
    """Fit a clip unless it is fitted already; its file appears whole or not at all.

    Args:
        job: which clip, with which face model and first guess.
        tell: gets the number of frames when they are done.
    """
    threads = torch.get_num_threads()
    try:
        clip = PreparedClip(job.root, job.clip)
        sweep(clip.folder, geometry_name(job.model_hash))
        if _finished(clip, job):
            return GeometryOutcome(fresh=False)
        # Sums in another number of threads differ in their last bits, and the bytes must not depend on workers.
        torch.set_num_threads(1)
        found = fit_frames(clip, _model(job.model, job.model_hash), job.guess)
        shape, expression, pose, error = (
            field.numpy() for field in (found.shape, found.expression, found.pose, found.error)
        )
        write_geometry(
            clip,
            job.model_hash,
            ClipGeometry(shape=shape, expression=expression, pose=pose, error=error, guess=job.guess.digest),
        )
        tell(len(clip))
        return GeometryOutcome()
    except DubbenchError as error:
        return GeometryOutcome(reason=str(error), no_room=no_room(error))
    except Exception as error:  # one clip's surprise must not end a run of days: it is listed with its place
        return GeometryOutcome(reason=surprise(error), no_room=no_room(error))
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _model(path: Path, model_hash: str) -> LinearFaceModel:
    """The face model of this process."""
    return LinearFaceModel.load(path)


@lru_cache(maxsize=1)
def _network(path: Path, digest: str) -> ReconNet:
    """D3DFR's network of this process."""
    return load_d3dfr(path)


def fit_frames(
    clip: PreparedClip, model: LinearFaceModel, guess: FirstGuess, frames: range | None = None, *, filled: bool = False
) -> Fit:
    """Fit consecutive frames of a clip together.

    Args:
        clip: to be fitted.
        model: the face model.
        guess: where the fit starts.
        frames: numbers; None for all.
        filled: frames that show no face may stand for one, with what was filled in for them, if none of them does.

    Raises:
        DubbenchError: if none of them shows a face.
    """
    arrays = clip.aligned_points(frames, POSE_SIZE), clip.aligned_mesh(frames, POSE_SIZE), clip.detected(frames)
    points, mesh, detected = (torch.from_numpy(array) for array in arrays)
    if filled and not bool(detected.any()):
        detected = torch.ones_like(detected)
    return fit(
        model,
        points,
        detected,
        head=_head(clip, frames, detected),
        mesh=mesh,
        guess=_guess(guess, model, clip=clip, points=points, detected=detected, frames=frames),
    )


def _head(clip: PreparedClip, frames: range | None, detected: Tensor) -> Tensor:
    """Poses of the head in the aligned square, [T, 6]; smoothed in the source, where a head moves as it does."""
    motion = head_motion(torch.from_numpy(clip.mesh(frames)), detected)
    return in_square(motion, clip.transforms(frames), clip.info.size).float()


def _guess(
    guess: FirstGuess,
    model: LinearFaceModel,
    clip: PreparedClip,
    points: Tensor,
    detected: Tensor,
    frames: range | None,
) -> Coefficients | None:
    """The network's coefficients of frames; None where the fit is to make its own, or to say that there is no face."""
    if guess.weights is None or not bool(detected.any()):
        return None
    network = _network(guess.weights, guess.digest)
    pictures = clip.stream() if frames is None else (clip.frames([number])[0] for number in frames)
    return network_guess(network, model, frames=pictures, points=points, detected=detected)


def _finished(clip: PreparedClip, job: GeometryJob) -> bool:
    try:
        return read_geometry(clip, job.model_hash).guess == job.guess.digest
    except DubbenchError:
        return False


def _own_copy(name: str) -> Path:
    for folder in store.folders():
        if (folder / name).is_file():
            return folder / name
    raise DubbenchError(
        f"{name} is not here; put your copy into {store.folders()[-1]}, name the folder that holds it in "
        "DUBBENCH_ASSETS, or give --geometry_file"
    )


def _meshes(root: Path, manifest: pd.DataFrame) -> Iterator[tuple[str, NDArray[Any]]]:
    """Speaker and some meshes of clips, from the training clips, or from all where there are none.

    Where there are more clips than frames to go round, there are fewer of them, not fewer frames of each: one of every
    speaker before a second of anybody.
    """
    training: pd.DataFrame = manifest[manifest["split"] == "train"]
    chosen = _by_turns(manifest if training.empty else training)
    wanted = max(min(len(chosen), LEARNT_FROM // OF_A_CLIP), 1)
    each = LEARNT_FROM // wanted
    for name, speaker in chosen:
        try:
            clip = PreparedClip(root, name)
            seen = np.flatnonzero(clip.detected())
            meshes = clip.aligned_mesh(seen[_evenly(len(seen), each)].tolist())
        except DubbenchError:
            continue  # the fit of this clip will list it
        if len(meshes):
            yield speaker, meshes
            wanted -= 1
        if not wanted:
            return


def _by_turns(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Clips and speakers, any first part of them spread evenly over speakers and, since digests order, no corner."""
    digests = {
        name: sha256(name.encode()).digest() for column in ("clip", "speaker") for name in map(str, rows[column])
    }
    pairs = zip(map(str, rows["clip"]), map(str, rows["speaker"]), strict=True)
    turns: Counter[str] = Counter()
    order = []
    for clip, speaker in sorted(pairs, key=lambda pair: digests[pair[0]]):
        order.append((turns[speaker], digests[speaker], clip, speaker))
        turns[speaker] += 1
    return [(clip, speaker) for _, _, clip, speaker in sorted(order)]


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` of the numbers below ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else np.arange(0)


def _run(jobs: list[GeometryJob], workers: int) -> Iterator[tuple[GeometryJob, GeometryOutcome]]:
    """Do the jobs and show how they go.

    Raises:
        DubbenchError: when the disk is full.
    """
    with shown("geometry", len(jobs)) as progress:
        for end in spread(fit_clip, iter(jobs), max(min(workers, len(jobs)), 1), progress.tell):
            outcome = end.result or GeometryOutcome(reason=f"{end.died} while fitting it")
            if outcome.no_room:
                raise full(end.job.root, outcome.reason, "fitted")
            if outcome.reason:
                progress.fail(end.job.clip, outcome.reason)
            yield end.job, outcome
            progress.advance()
