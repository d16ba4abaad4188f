"""Finished videos of any method as a candidate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dubbench.core.files import sha256
from dubbench.datamodules import tree
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import Candidate, CandidateFrames, ScoringJob
from dubbench.media.container import Image
from dubbench.media.flaws import Flaws
from dubbench.media.video import read_frames
from dubbench.results.videos import below, match

LENGTH_SLACK = 1


class Videos(Candidate):
    """Finished videos of a folder, matched as `dubbench.results.videos` does, any container."""

    writes = False

    def __init__(self, name: str, folder: Path, clips: Sequence[str]) -> None:
        """Find the videos of ``clips``.

        Raises:
            DubbenchError: if the folder holds none of them.
        """
        self.name, self.folder = name, folder
        if not folder.is_dir():
            raise DubbenchError(f"{folder} is not a folder; --videos takes the folder that holds the videos")
        names, self._ignored = below(folder)
        self._matches = match(clips, names)
        if clips and len(self._matches.missing) == len(clips):
            there = f" ({told})" if (told := tree.told(self._ignored)) else ""
            raise DubbenchError(
                f"{folder} holds no video of the {len(clips)} clips{there}; name them by clip id, as {clips[0]}.mp4 or "
                f"{clips[0].replace('/', '__')}.mp4"
            )

    def fingerprint(self, clip: str) -> str:
        """Hash of the clip's video; empty where there is none."""
        name = self._matches.found.get(clip)
        return sha256(self.folder / name) if name else ""

    def describe(self) -> dict[str, Any]:
        """See `Candidate`."""
        unmatched = list(self._matches.strangers)
        return {"kind": "videos", "folder": str(self.folder), "unmatched": unmatched, "ignored": self._ignored}

    def sound(self, job: ScoringJob) -> NDArray[np.float32] | None:
        """The driving speech: a video's own sound track may be absent, or encoded with a shift."""
        return job.speech

    def start(self, job: ScoringJob) -> CandidateFrames:
        """See `Candidate`."""
        clip = job.footage.name
        refusal = self._matches.refusal(clip)
        if refusal:
            raise DubbenchError(refusal)
        return Video(self.folder / self._matches.found[clip], job)


class Video(CandidateFrames):
    """A finished video beside a clip's frames."""

    def __init__(self, path: Path, job: ScoringJob, flaws: Flaws | None = None) -> None:
        """Open the video ``path`` of the clip ``job``; ``flaws`` may hold what is known of it already."""
        self.flaws = Flaws() if flaws is None else flaws
        self._frames = read_frames(path, flaws=self.flaws)
        self._job, self._given = job, 0

    def frame(self, truth: Image, transform: NDArray[np.float64]) -> Image | None:
        """See `CandidateFrames`."""
        image = next(self._frames, None)
        if image is None:
            return None
        self._given += 1
        height, width = truth.shape[:2]
        # Encoders with even sides only repeat an odd last row or column, as our own writer does.
        if image.shape[:2] == (height + height % 2, width + width % 2):
            image = image[:height, :width]
        if image.shape != truth.shape:
            raise DubbenchError(
                f"the video is {image.shape[1]} x {image.shape[0]} pixels and its clip {width} x {height}; "
                "give full frames of the source's size"
            )
        return np.ascontiguousarray(image)

    def finish(self) -> None:
        """See `CandidateFrames`."""
        if self._job.rules.length == "prefix":
            return
        self.beyond = sum(1 for _ in self._frames)
        self._given += self.beyond
        wanted = self._job.footage.frames
        if wanted is not None and abs(self._given - wanted) > LENGTH_SLACK:
            raise DubbenchError(
                f"the video has {self._given} frames at 25 fps and its clip {wanted}; "
                f"at most {LENGTH_SLACK} may be missing or left over"
            )
