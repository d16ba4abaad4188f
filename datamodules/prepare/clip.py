"""One raw clip to one prepared clip, or the reason why not."""

import atexit
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from dubbench.core.files import inside, no_room, sha256, write_json
from dubbench.core.links import own
from dubbench.datamodules.clip import PARTS, ClipInfo, fingerprints
from dubbench.datamodules.prepare.outcomes import surprise
from dubbench.datamodules.prepare.track import Mesh, aligned, filled
from dubbench.datamodules.prepare.workers import Tell
from dubbench.datamodules.sources import RawClip
from dubbench.datamodules.track import TrackWriter
from dubbench.errors import DubbenchError
from dubbench.face.choice import FaceChoice
from dubbench.face.landmarks import FaceMesh, points_68
from dubbench.face.warp import warp
from dubbench.media.audio import write_speech
from dubbench.media.container import Image
from dubbench.media.flaws import Flaws
from dubbench.media.video import VideoWriter, probe, read_frames

PARTIAL = ".partial"
FILES = (*PARTS, "clip.json")
SHORTEST = 5
TELL_EVERY = 25


@dataclass(frozen=True)
class PrepareOptions:
    """What decides a prepared clip's bytes, beside its source.

    Attributes:
        dataset: corpus name.
        size: side of the aligned frames in pixels.
        align: a name of `ALIGNMENTS`.
        smooth: sigma in frames of the smoothing of the alignment, 0 for none.
        faces: ``one`` or ``largest``.
        versions: of what makes the clip.
    """

    dataset: str
    size: int
    align: str
    smooth: float
    faces: str
    versions: dict[str, str]


@dataclass(frozen=True)
class PrepareJob:
    """One clip to prepare: its raw clip, split, the corpus root, the prepared root, options, and a running number."""

    raw: RawClip
    split: str
    root: Path
    out: Path
    options: PrepareOptions
    number: int

    @property
    def source(self) -> str:
        """The video below the corpus root, as a posix path."""
        return self.raw.path.relative_to(self.root).as_posix()


@dataclass(frozen=True)
class PrepareOutcome:
    """What became of a clip.

    Attributes:
        info: of the prepared clip, None if it failed.
        fresh: whether it was made now rather than found finished.
        reason: why it failed.
        no_room: whether it failed because nothing more can be written, so that going on is pointless.
    """

    info: ClipInfo | None
    fresh: bool = True
    reason: str = ""
    no_room: bool = False


@lru_cache(maxsize=1)
def face_mesh() -> FaceMesh:
    """The landmark detector of this process; two faces, since a second one must be noticed."""
    mesh = FaceMesh(max_faces=2)
    # Its threads must end before the interpreter does, which else can abort.
    atexit.register(mesh.__exit__)
    return mesh


def prepare_clip(job: PrepareJob, tell: Tell) -> PrepareOutcome:
    """Prepare a clip unless it is finished already; its folder appears whole or not at all.

    Args:
        job: which clip, and how.
        tell: gets the number of frames done since it was told last.
    """
    partial = job.out / PARTIAL / str(job.number)
    try:
        own(job.out, f"{PARTIAL}/{job.number}")
        job.source.encode()
        digest = sha256(job.raw.path)
        info = _finished(job, digest)
        if info is not None:
            return PrepareOutcome(info, fresh=False)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        info = replace(_make(job, digest, partial, tell), files=fingerprints(partial))
        write_json(partial / "clip.json", info.as_dict())
        _publish(partial, own(job.out, job.raw.clip))
        return PrepareOutcome(info)
    except UnicodeEncodeError:
        return PrepareOutcome(None, reason="the file name is not valid UTF-8; rename the file")
    except DubbenchError as error:
        return PrepareOutcome(None, reason=str(error), no_room=no_room(error))
    except Exception as error:  # one clip's surprise must not end a run of days: it is listed with its place
        return PrepareOutcome(None, reason=surprise(error), no_room=no_room(error))
    finally:
        if not partial.parent.is_symlink():
            shutil.rmtree(partial, ignore_errors=True)


def existing(folder: Path) -> ClipInfo | None:
    """The prepared clip in a folder, None if there is none or it lacks a file or was made in another form."""
    if not all((folder / name).is_file() for name in FILES):
        return None
    try:
        return ClipInfo.read(folder / "clip.json")
    except DubbenchError:
        return None


def _finished(job: PrepareJob, digest: str) -> ClipInfo | None:
    """The clip as it lies in the prepared folder, if this run would make it with the same bytes."""
    folder = inside(job.out, job.raw.clip)
    info = existing(folder)
    if info is None:
        return None
    options = job.options
    made = (info.source_sha256, info.dataset, info.size, info.align, info.smooth, info.versions)
    if made != (digest, options.dataset, options.size, options.align, options.smooth, options.versions):
        return None
    # Both policies follow the same face; what passed the strict one passes the other.
    if info.faces != options.faces and options.faces != "largest":
        return None
    files = fingerprints(folder)
    if info.files not in ({}, files):  # changed since it was made; clips of older versions do not say
        return None
    current = replace(
        info,
        split=job.split,
        speaker=job.raw.speaker,
        source=job.source,
        faces=options.faces,
        files=files,
    )
    if current != info:
        write_json(own(job.out, f"{job.raw.clip}/clip.json"), current.as_dict())
    return current


def _make(job: PrepareJob, digest: str, folder: Path, tell: Tell) -> ClipInfo:
    """Write video, track and audio into ``folder`` in one pass over the pictures and one over the sound."""
    path, options = job.raw.path, job.options
    about = probe(path)
    sound = path if about.has_audio else job.raw.audio
    if sound is None:
        raise DubbenchError("no audio track")
    choice, flaws = FaceChoice(options.faces), Flaws()

    def judge() -> None:
        if choice.frames < SHORTEST:
            raise DubbenchError(f"too short: {choice.frames} of at least {SHORTEST} frames at 25 fps")
        choice.verdict()

    faces = faces_of(path, face_mesh(), choice, tell, flaws=flaws)
    frames = write_aligned(
        path, faces, folder=folder, size=options.size, align=options.align, smooth=options.smooth, judge=judge
    )
    write_speech(sound, folder / "audio.wav", frames, apart=sound != path, flaws=flaws)
    return ClipInfo(
        clip=job.raw.clip,
        speaker=job.raw.speaker,
        dataset=options.dataset,
        split=job.split,
        source=job.source,
        source_sha256=digest,
        frames=frames,
        size=options.size,
        source_width=about.width,
        source_height=about.height,
        detected=round(choice.detected / choice.frames, 6),
        faces=options.faces,
        align=options.align,
        smooth=options.smooth,
        versions=options.versions,
        face=choice.size,
        remarks=tuple(flaws.sentences()),
    )


def write_aligned(
    path: Path,
    faces: Iterable[tuple[Image, Mesh | None]],
    folder: Path,
    size: int,
    align: str,
    smooth: float,
    judge: Callable[[], None],
) -> int:
    """Write ``video.mp4`` and ``track.npz`` of a clip in one pass, streaming.

    Args:
        path: the source video, whose beginning is read again if it shows no face.
        faces: its frames as `faces_of` gives them.
        folder: for both files.
        size: side of the aligned frames in pixels.
        align: a name of `ALIGNMENTS`.
        smooth: sigma in frames of the smoothing of the alignment.
        judge: called after the last frame; raises `DubbenchError` if the clip will not do.

    Returns:
        The number of frames.
    """
    rows = filled(faces, lambda: read_frames(path))
    with (
        TrackWriter(folder / "track.npz") as track,
        VideoWriter(folder / "video.mp4", size, size, intra=True) as video,
    ):
        for row, transform in aligned(rows, size, align, smooth):
            video.write(warp(row.rgb, transform, size, border="reflect"))
            track.append(mesh=row.mesh, points=points_68(row.mesh), transform=transform, detected=row.detected)
        # Judged before the video closes: without any face it has no frame to close with.
        judge()
    return track.rows


def faces_of(
    path: Path,
    mesh: FaceMesh,
    choice: FaceChoice,
    tell: Tell,
    *,
    limit: int | None = None,
    flaws: Flaws | None = None,
) -> Iterator[tuple[Image, Mesh | None]]:
    """Decode, detect and choose, frame by frame.

    Args:
        path: the video.
        mesh: the detector.
        choice: of the face.
        tell: gets the number of frames done since it was told last.
        limit: how many frames at most; None for all.
        flaws: takes what is damaged.
    """
    mesh.reset(choice.place)
    for number, rgb in enumerate(islice(read_frames(path, flaws=flaws), limit), 1):
        yield rgb, choice.choose(mesh.detect(rgb), rgb)
        if number % TELL_EVERY == 0:
            tell(TELL_EVERY)


def _publish(partial: Path, final: Path) -> None:
    """Move a whole folder to its name; an older one makes way."""
    if final.exists():
        shutil.rmtree(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(final)
