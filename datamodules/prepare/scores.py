"""The quality of one prepared clip: computed from some of its frames, and kept in its folder."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dubbench.core.devices import device
from dubbench.core.files import no_room, sweep, write_json
from dubbench.core.foreign import read_json
from dubbench.core.links import own
from dubbench.datamodules.clip import PreparedClip, fingerprints
from dubbench.datamodules.prepare.outcomes import surprise
from dubbench.datamodules.prepare.workers import Tell
from dubbench.datamodules.quality import PARTS, QUALITY
from dubbench.errors import DubbenchError
from dubbench.face.quality import SIDE, combined, exposure, face_area, face_size, luma, measured, sharpness

if TYPE_CHECKING:
    from dubbench.metrics.networks.hyperiqa import HyperIQA

OWN, HYPERIQA = "own", "hyperiqa"
# Of what a score means, and of how its frames are chosen.
VERSIONS = {OWN: 1, HYPERIQA: 1}
# Frames of a clip that are looked at. One costs HyperIQA hundreds of times what it costs us.
FRAMES = {OWN: 16, HYPERIQA: 3}
COLUMNS = {OWN: (QUALITY, *PARTS), HYPERIQA: (QUALITY,)}
DIGITS = {QUALITY: 2, "sharpness": 4, "exposure": 4, "face_size": 1}
# What a score was made of, beside the network.
LOOKED_AT = ("video.mp4", "track.npz")

Values = Mapping[str, float]


@dataclass(frozen=True)
class QualityJob:
    """A clip to score.

    Attributes:
        root: prepared folder.
        clip: its id.
        name: ``own`` or ``hyperiqa``.
        weights: file of HyperIQA's network.
        digest: sha256 of that file.
    """

    root: Path
    clip: str
    name: str
    weights: Path | None = None
    digest: str = ""


@dataclass(frozen=True)
class QualityOutcome:
    """What became of a clip.

    Attributes:
        values: by column, what was found; none if it has no score.
        fresh: whether it was scored now rather than found scored.
        reason: why it has no score.
        no_room: whether that is because nothing more can be written, so that going on is pointless.
    """

    values: Values = field(default_factory=dict)
    fresh: bool = True
    reason: str = ""
    no_room: bool = False


def score_clip(job: QualityJob, tell: Tell) -> QualityOutcome:
    """Score a clip unless it is scored already; its file appears whole or not at all.

    Args:
        job: which clip, by what.
        tell: gets the number of frames that were looked at.
    """
    try:
        clip = PreparedClip(job.root, job.clip)
        place = own(job.root, f"{job.clip}/{score_name(job.name)}")
        sweep(clip.folder, place.name)
        if kept := read_score(clip, job.name, job.digest):
            return QualityOutcome(kept, fresh=False)
        chosen = evenly(np.flatnonzero(clip.detected()), FRAMES[job.name])
        if not len(chosen):
            raise DubbenchError("no frame of the clip shows a face to judge")
        found = own_quality(clip, chosen) if job.weights is None else _hyperiqa(clip, chosen, job)
        values = {name: round(value, DIGITS[name]) for name, value in found.items()}
        for former in clip.folder.glob(f"{QUALITY}.{job.name}.*.json"):
            former.unlink()
        write_json(place, {**values, "network": job.digest, "of": _digests(clip)})
        tell(len(chosen))
        return QualityOutcome(values)
    except DubbenchError as error:
        return QualityOutcome(reason=str(error), no_room=no_room(error))
    except Exception as error:  # one clip's surprise must not end a run of days: it is listed with its place
        return QualityOutcome(reason=surprise(error), no_room=no_room(error))


def score_name(name: str) -> str:
    """Name of the file in a clip's folder that holds its score."""
    return f"{QUALITY}.{name}.{VERSIONS[name]}.json"


def read_score(clip: PreparedClip, name: str, digest: str) -> Values:
    """The score that a clip has; empty if it has none, or one of another network, other pictures or other landmarks."""
    try:
        held = read_json(clip.folder / score_name(name))
        values = {column: float(held[column]) for column in COLUMNS[name]}
        fits = held["network"] == digest and held["of"] == _digests(clip)
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return values if fits and all(map(math.isfinite, values.values())) else {}


def own_quality(clip: PreparedClip, chosen: NDArray[np.int64]) -> dict[str, float]:
    """Sharpness, exposure and face size of a clip, and the one number that they are combined into.

    Args:
        clip: to be scored.
        chosen: numbers of the frames that are looked at; the face's size is that of all frames with a face.

    Returns:
        ``sharpness`` and ``exposure`` in [0, 1] and ``face_size`` in source pixels, each the median over the frames,
        and ``quality`` in [0, 100]; see `dubbench.face.quality`.

    Raises:
        DubbenchError: if the landmarks enclose nothing of the frames.
    """
    outlines = clip.aligned_mesh(chosen.tolist(), SIDE)[..., :2]
    found = []
    for frame, outline in zip(clip.frames(chosen.tolist()), outlines, strict=True):
        picture, area = measured(frame), face_area(outline)
        if area.any():
            found.append((sharpness(luma(picture), area), exposure(picture, area)))
    if not found:
        raise DubbenchError("the landmarks enclose nothing of the aligned frames; prepare the clip anew")
    sharp, exposed = np.median(found, axis=0).tolist()
    sizes = face_size(clip.transforms(np.flatnonzero(clip.detected()).tolist()), clip.info.size)
    size = float(np.median(sizes))
    return {QUALITY: combined(sharp, exposed, size), "sharpness": sharp, "exposure": exposed, "face_size": size}


def evenly(frames: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The middle ones of ``most`` equal parts of ``frames``; all of them if there are no more."""
    if len(frames) <= most:
        return frames
    return frames[((np.arange(most) + 0.5) * len(frames) / most).astype(np.int64)]


def _hyperiqa(clip: PreparedClip, chosen: NDArray[np.int64], job: QualityJob) -> dict[str, float]:
    import torch  # takes seconds, and our own measures do without

    from dubbench.metrics.networks.hyperiqa import hyperiqa

    assert job.weights is not None
    frames = torch.from_numpy(clip.frames(chosen.tolist())).permute(0, 3, 1, 2)
    threads = torch.get_num_threads()
    # Sums in another number of threads differ in their last bits, and the bytes must not depend on workers.
    torch.set_num_threads(1)
    try:
        return {QUALITY: float(hyperiqa(_network(job.weights, job.digest), frames).mean())}
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _network(path: Path, digest: str) -> "HyperIQA":
    """HyperIQA's network of this process, on its GPU if it has one."""
    from dubbench.metrics.networks.hyperiqa import load_hyperiqa

    return load_hyperiqa(path).to(device("auto"))


def _digests(clip: PreparedClip) -> dict[str, str]:
    files = clip.info.files or fingerprints(clip.folder)
    return {name: str(files[name]["sha256"]) for name in LOOKED_AT}
