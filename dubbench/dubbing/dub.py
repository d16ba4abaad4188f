"""A video of any length and size gets other speech: prepared, dubbed in finished segments, and joined."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from dubbench import __version__
from dubbench.core.files import sha256
from dubbench.dubbing.clips import Span, followed, lengthened, with_geometry
from dubbench.dubbing.render import SegmentWriter, drawn_text, mirrored
from dubbench.dubbing.work import WorkFolder
from dubbench.errors import DubbenchError
from dubbench.face.alignment import SMOOTH_BY_DEFAULT
from dubbench.face.choice import BOXED_FACES, Box
from dubbench.face.landmarks import FaceMesh
from dubbench.media import FPS
from dubbench.media.audio import write_sound, write_speech
from dubbench.media.flaws import Flaws
from dubbench.media.planes import layout_of
from dubbench.media.segments import CONTAINERS, join
from dubbench.media.video import probe
from dubbench.models.base import DubbingModel, class_path
from dubbench.results.record import versions

SOUND = "sound.mka"
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class DubOptions:
    """How a video is dubbed.

    Attributes:
        face: left, top, width and height in pixels of the face in the first frame with any; None for the largest.
        length: whose length the result has, one of `Span.RULES`.
        size: side of the aligned frames in pixels; None for the method's own.
        crf: constant rate factor of x264, 0 for lossless.
        mark: text that is drawn into every frame, or None.
        precision: of autocast, or None.
        keep: leave the work folder.
    """

    face: Box | None = None
    length: str = "longer"
    size: int | None = None
    crf: int = 17
    mark: str | None = None
    precision: torch.dtype | None = None
    keep: bool = False


@dataclass(frozen=True)
class DubSummary:
    """What came of it: frames, those without the face, its size in pixels, and seconds that this run took."""

    frames: int
    faceless: int
    face: float
    seconds: float


def dub(
    model: DubbingModel,
    checkpoint: Path,
    video: Path,
    audio: Path,
    out: Path,
    options: DubOptions,
    progress: Progress,
    say: Say,
) -> DubSummary:
    """Dub a video; killed at any moment, the same call goes on and ends with the same bytes.

    Memory does not grow with the length, but for some hundred numbers a frame.

    Args:
        model: of ``checkpoint``, on its device.
        checkpoint: file.
        video: whose face shall speak.
        audio: speech, any file with sound; of a video, the sound from its first picture on.
        out: file to write; its suffix is one of `CONTAINERS`. The work lies in a folder beside it meanwhile.
        options: how.
        progress: gives, for a step and its number of frames, what is told about frames that are done.
        say: told in one sentence what the user may want to know.

    Raises:
        DubbenchError: if one of these cannot be used.
    """
    started = perf_counter()
    _check(model, checkpoint, video, audio, out=out, options=options)
    layout, about = layout_of(video), probe(video)
    mark = None if options.mark is None else drawn_text(options.mark, layout.width, layout.height)
    side = model.aligned_size
    digests = {"video": sha256(video), "audio": sha256(audio), "checkpoint": sha256(checkpoint)}
    with FaceMesh(max_faces=BOXED_FACES) as mesh:
        identity: dict[str, Any] = {
            **digests,
            **{name: getattr(options, name) for name in ("face", "length", "crf", "mark")},
            "size": options.size or side,
            "precision": str(options.precision),
            "device": model.device.type,
            "versions": versions(mesh.backend),
        }
        with WorkFolder(out, identity, say) as work:
            length, remarks = _sound(audio, work)
            for sentence in remarks:
                say(f"{audio}: {sentence}")
            span = Span.of(options.length, length)
            with progress("faces", span.limit or about.frame_count_estimate) as tell:
                clip = followed(
                    video,
                    digests["video"],
                    mesh,
                    box=options.face,
                    size=options.size or side,
                    align=model.align,
                    smooth=SMOOTH_BY_DEFAULT[model.align],
                    span=span,
                    work=work,
                    tell=tell,
                    say=say,
                )
            for sentence in clip.info.remarks:
                say(f"{video}: {sentence}")
            if model.face_model is not None:
                with progress("geometry", len(clip)) as tell:
                    with_geometry(clip, model.face_model, tell)
            order = span.order(len(clip))
            _explain(about.average_fps, len(clip), sound=length, total=len(order), say=say)
            stored = mirrored(video, layout, order, frames=len(clip), work=work)
            clip = lengthened(clip, order, work)
            if not (clip.folder / "audio.wav").is_file():
                write_speech(work.path(SOUND), clip.folder / "audio.wav", len(clip), apart=True)
            writer = SegmentWriter(
                model,
                clip,
                video,
                layout=layout,
                stored=stored,
                crf=options.crf,
                mark=mark,
                precision=options.precision,
            )
            with progress("dub", len(clip)) as tell:
                segments = writer.write(work, tell)
            join(segments, work.path(SOUND), out, _provenance(model, digests["checkpoint"]))
            faceless = int((~clip.detected()).sum())
            if not options.keep:
                work.remove()
    return DubSummary(len(order), faceless, clip.info.face, perf_counter() - started)


def _check(model: DubbingModel, checkpoint: Path, video: Path, audio: Path, *, out: Path, options: DubOptions) -> None:
    """Find out before hours of work whether it can end well."""
    if not 0 <= options.crf <= 51:
        raise DubbenchError(f"--crf {options.crf} is none of x264's; give 0 to 51")
    if options.size is not None and options.size < 16:
        raise DubbenchError(f"--size {options.size} is too small; give 16 or more")
    if out.suffix.lower() not in CONTAINERS:
        raise DubbenchError(f"{out} names no container that can be written; end it with {', '.join(CONTAINERS)}")
    if out.is_dir():
        raise DubbenchError(f"{out} is a folder; name a file")
    for name, path in (("--video", video), ("--audio", audio)):
        if not path.is_file():
            raise DubbenchError(f"{name} {path} is not there; check the path")
    for path in (video, audio, checkpoint):
        if out.exists() and out.samefile(path):
            raise DubbenchError(f"{out} would be written over what it is made from; give another --out")
    if not model.generates_frames:
        raise DubbenchError(f"{checkpoint} holds a {type(model).__name__}, which generates no frames; name a method's")
    model.check_trained()


def _sound(audio: Path, work: WorkFolder) -> tuple[int, list[str]]:
    """Write the sound into the work folder; returns its length in frames, one at least, and what was wrong with it."""

    def make() -> str:
        flaws = Flaws()
        seconds = write_sound(audio, work.path(SOUND), flaws)
        return json.dumps([str(seconds), flaws.sentences()])

    seconds, remarks = json.loads(work.once("speech", SOUND, make))
    return max(round(Fraction(seconds) * FPS), 1), remarks


def _explain(fps: float, frames: int, *, sound: int, total: int, say: Say) -> None:
    """Tell what is done about rates and lengths that differ."""
    if fps and abs(fps - FPS) > 0.01:
        say(f"the video has {fps:.4g} frames a second; the methods work at {FPS}, and so has the result")
    if total > frames:
        say(f"the speech is {(total - frames) / FPS:.1f} s longer than the video, which goes back and forth")
    elif sound > total + 1:
        say(f"the speech is {(sound - total) / FPS:.1f} s longer than the video and is cut")
    elif sound < total - 1:
        say(f"the speech is {(total - sound) / FPS:.1f} s shorter than the video; silence follows")


def _provenance(model: DubbingModel, digest: str) -> dict[str, str]:
    return {
        "title": "Synthetic: lips generated from speech",
        "comment": (
            f"Synthetic speech-driven face, made by dubbench {__version__} with {class_path(type(model))}, "
            f"checkpoint sha256 {digest[:12]}: the lip movements are generated and are not the speaker's own."
        ),
    }
