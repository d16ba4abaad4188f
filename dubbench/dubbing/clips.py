"""The prepared clip that a method dubs: the face that is followed, its geometry, and the length of the result."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dubbench.core.arrays import read_arrays, write_arrays
from dubbench.core.files import write_json
from dubbench.datamodules.clip import ClipInfo, PreparedClip
from dubbench.datamodules.geometry import ClipGeometry, geometry_name, model_path, write_geometry
from dubbench.datamodules.prepare.clip import faces_of, write_aligned
from dubbench.datamodules.prepare.geometry import fit_frames
from dubbench.datamodules.prepare.guess import record_guess, settled_guess
from dubbench.datamodules.track import MEMBERS, Track, TrackWriter
from dubbench.dubbing.work import WorkFolder
from dubbench.errors import DubbenchError
from dubbench.face.choice import Box, FaceChoice, choice_of
from dubbench.face.landmarks import FaceMesh
from dubbench.face3d.model import LinearFaceModel
from dubbench.media import FPS
from dubbench.media.flaws import Flaws
from dubbench.media.segments import reorder
from dubbench.media.video import probe
from dubbench.models.layers.overlap import overlapping
from dubbench.results.record import versions

# So little more speech than pictures, as encoders leave it, is not worth going back for.
NEARLY = 2
TOGETHER = 250  # frames whose coefficients are fitted together
Tell = Callable[[int], None]


@dataclass(frozen=True)
class Span:
    """How many frames the result has, and which of the video's they are.

    Attributes:
        rule: whose length counts.
        sound: length of the speech in frames.
    """

    RULES: ClassVar[dict[str, Callable[[int, int], int]]] = {
        "longer": max,
        "shorter": min,
        "video": lambda video, speech: video,
        "speech": lambda video, speech: speech,
    }

    rule: str
    sound: int

    @classmethod
    def of(cls, rule: str, sound: int) -> "Span":
        """See that there is such a rule.

        Raises:
            DubbenchError: if there is not.
        """
        if rule not in cls.RULES:
            raise DubbenchError(f"--length {rule} is not known; give {', '.join(cls.RULES)}")
        return cls(rule, sound)

    @property
    def limit(self) -> int | None:
        """How many of the video's frames can be needed; None for all."""
        return self.sound if self.rule in ("shorter", "speech") else None

    def order(self, frames: int) -> list[int]:
        """The video's frame that each frame of the result shows: forwards, and then backwards and forwards.

        Args:
            frames: of the video, as far as `limit` lets it be read.
        """
        total = self.RULES[self.rule](frames, self.sound)
        total = frames if frames < total <= frames + NEARLY else total
        period = max(2 * (frames - 1), 1)
        return [min(k % period, period - k % period) if frames > 1 else 0 for k in range(total)]


def followed(
    video: Path,
    digest: str,
    mesh: FaceMesh,
    *,
    box: Box | None,
    size: int,
    align: str,
    smooth: float,
    span: Span,
    work: WorkFolder,
    tell: Tell,
    say: Callable[[str], None],
) -> PreparedClip:
    """The video as a prepared clip in the work folder, made unless it is there.

    Args:
        video: the source.
        digest: its sha256.
        mesh: the detector.
        box: of the face that is followed; None for the largest.
        size: side of the aligned frames.
        align: a name of `dubbench.face.alignment.ALIGNMENTS`.
        smooth: sigma in frames of its smoothing, 0 for none.
        span: how much of it is needed.
        work: the folder.
        tell: gets the number of frames done since it was told last.
        say: told in one sentence whom the result is about, where there is a choice.

    Raises:
        DubbenchError: if no frame shows a face, or none the one in the box.
    """
    folder = work.path("faces")
    if (folder / "clip.json").is_file():
        return PreparedClip(work.folder, folder.name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    choice, flaws = choice_of(box or "largest"), Flaws()

    def judge() -> None:
        if not choice.detected:
            raise DubbenchError(f"{video} shows no face in any of its {choice.frames} frames; give a video of a face")

    frames = write_aligned(
        video,
        faces_of(video, mesh, choice, tell, limit=span.limit, flaws=flaws),
        folder,
        size=size,
        align=align,
        smooth=smooth,
        judge=judge,
    )
    _explain(choice, boxed=box is not None, say=say)
    about = probe(video)
    info = ClipInfo(
        clip=folder.name,
        speaker="",
        dataset="dub",
        split="test",
        source=video.name,
        source_sha256=digest,
        frames=frames,
        size=size,
        source_width=about.width,
        source_height=about.height,
        detected=round(choice.detected / choice.frames, 6),
        faces=choice.faces,
        align=align,
        smooth=smooth,
        versions=versions(mesh.backend),
        face=choice.size,
        remarks=tuple(flaws.sentences()),
    )
    write_json(folder / "clip.json", info.as_dict())
    return PreparedClip(work.folder, folder.name)


def _explain(choice: FaceChoice, *, boxed: bool, say: Callable[[str], None]) -> None:
    """Tell where another face could have been meant, or took the place of the one that was."""
    if choice.several and not boxed:
        say(
            f"{choice.several} of {choice.frames} frames show more than one face; the one that was largest at first is "
            "dubbed, --face X,Y,W,H names another"
        )
    if choice.lost is not None:
        say(
            f"from frame {choice.lost} ({choice.lost / FPS:.1f} s) on another face is in the place of the chosen one, "
            "and is left as it is"
        )


def with_geometry(clip: PreparedClip, face: LinearFaceModel, tell: Tell) -> None:
    """Fit a method's own face model to a clip, unless it is done.

    Fitted together a long clip takes gigabytes, so its coefficients come from stretches that overlap by half and fade
    into one another.

    Raises:
        DubbenchError: if it cannot be fitted.
    """
    digest = face.hash()
    if (clip.folder / geometry_name(digest)).is_file():
        return
    guess = settled_guess(clip.root, face.source)
    record_guess(clip.root, face.source, guess)
    face.save(model_path(clip.root, face.source))
    model = LinearFaceModel.load(model_path(clip.root, face.source))

    def fitted(start: int, stop: int) -> Tensor:
        found = fit_frames(clip, model, guess, range(start, stop), filled=len(clip) > TOGETHER)
        tell(min(TOGETHER // 2, stop - start))
        return torch.cat([found.shape, found.expression, found.pose, found.error[:, None]], 1)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another number of threads differ in their last bits
    try:
        together = len(clip) <= TOGETHER
        rows = fitted(0, len(clip)) if together else torch.cat(list(overlapping(fitted, len(clip), TOGETHER)))
    finally:
        torch.set_num_threads(threads)
    _, shapes, expressions = model.sizes
    shape, expression, pose, error = (part.numpy() for part in torch.split(rows, [shapes, expressions, 6, 1], 1))
    write_geometry(clip, digest, ClipGeometry(shape, expression, pose, error[:, 0], guess=guess.digest))


def lengthened(clip: PreparedClip, order: Sequence[int], work: WorkFolder) -> PreparedClip:
    """The clip with its frames in an order, some of them several times; itself if they are just its own."""
    if len(order) == len(clip):
        return clip
    folder = work.path("clip")
    if (folder / "clip.json").is_file():
        return PreparedClip(work.folder, folder.name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    reorder(clip.folder / "video.mp4", order, folder / "video.mp4")
    track = Track(clip.folder / "track.npz")
    with TrackWriter(folder / "track.npz") as writer:
        for number in order:
            writer.append(**{name: track.rows(name, [number])[0] for name in MEMBERS})
    for path in clip.folder.glob(geometry_name("*")):
        rows = {name: v[np.asarray(order)] if v.ndim else v for name, v in read_arrays(path).items()}
        write_arrays(folder / path.name, rows)
    info = replace(clip.info, clip=folder.name, frames=len(order), files={})
    write_json(folder / "clip.json", info.as_dict())
    return PreparedClip(work.folder, folder.name)
