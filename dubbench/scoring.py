"""One clip: candidates in lockstep with the source, cropped, scored and written, frame by frame."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.candidates import Candidate, Image, Job, Take
from dubbench.errors import DubbenchError
from dubbench.face.landmarks import FaceMesh
from dubbench.face.warp import warp
from dubbench.files import inside
from dubbench.geometry import Geometry, aligned_faces, nearest_face
from dubbench.media.video import VideoWriter, read_frames
from dubbench.metrics import Frames, lmd, score
from dubbench.results import GROUND_TRUTH, ClipResult

CHUNK = 16
NO_FACE = "no frame shows a face in both the video and its ground truth"


@dataclass
class Tally:
    """Running means of metrics over frames."""

    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add values of some frames."""
        for name, frames in values.items():
            self.sums[name] += float(frames.sum())
            self.counts[name] += len(frames)

    def means(self) -> dict[str, float]:
        """Mean a frame of every metric that has frames."""
        return {name: self.sums[name] / count for name, count in self.counts.items() if count}


class Lane:
    """One candidate's way through one clip; what goes wrong in it stops only itself."""

    def __init__(self, candidate: Candidate, job: Job, mesh: FaceMesh, out: Path) -> None:
        """Name the parts; its video goes below ``out``, if it writes one."""
        self.candidate, self.job, self.mesh = candidate, job, mesh
        self.video = inside(out / candidate.name, f"{job.clip.info.clip}.mp4")
        self.failure = ""
        self.tally = Tally()
        self.frames = self.missed = 0
        self._stack = ExitStack()
        self._take = Take()
        self._writer: VideoWriter | None = None
        self._crops: list[Image] = []
        self._points: list[NDArray[np.float64] | None] = []

    def __enter__(self) -> "Lane":
        """Start the candidate."""
        self.mesh.reset()
        try:
            with ExitStack() as stack:
                self._take = stack.enter_context(closing(self.candidate.start(self.job)))
                if self.candidate.writes:
                    self._writer = stack.enter_context(self._open())
                self._stack = stack.pop_all()
        except DubbenchError as error:
            self.failure = str(error)
        return self

    def _open(self) -> VideoWriter:
        info = self.job.clip.info
        speech = self.candidate.sound(self.job)
        crf = self.job.rules.result_crf
        return VideoWriter(self.video, info.source_width, info.source_height, crf=crf, speech=speech)

    def step(self, truth: Image, geometry: Geometry, k: int) -> None:
        """Take the candidate's next frame, the ``k``-th of ``geometry``."""
        if self.failure:
            return
        try:
            image = self._take.frame(truth, geometry.aligned[k])
            if image is None:
                return
            if self._writer is not None:
                self._writer.write(image)
            self._crops.append(warp(image, geometry.crop[k], self.job.rules.size, self.job.rules.border))
            self._points.append(nearest_face(self.mesh, image, geometry.source_points[k]))
        except DubbenchError as error:
            self.fail(error)

    def flush(self, truths: Sequence[Image], geometry: Geometry, device: str) -> None:
        """Score the frames since the last flush against the crops ``truths`` of the same chunk."""
        if self._crops and not self.failure:
            rows = slice(len(self._crops))
            pred, found = aligned_faces(self._points, geometry)
            frames = Frames(
                pred=_images(self._crops, device),
                target=_images(truths[rows], device),
                mouth=torch.from_numpy(geometry.mouth[rows]),
                pred_points=torch.from_numpy(pred),
                target_points=torch.from_numpy(geometry.points[rows]),
                found=torch.from_numpy(found),
            )
            self.tally.add(score(frames, self.job.rules.metrics))
            self.frames += len(self._crops)
            self.missed += int((~found).sum())
        self._crops.clear()
        self._points.clear()

    def fail(self, error: DubbenchError) -> None:
        """Drop the clip for this candidate; an unfinished video disappears."""
        self.failure = str(error)
        self._stack.__exit__(type(error), error, error.__traceback__)
        self._stack = ExitStack()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the clip: check the candidate's length and bring its video under its name."""
        try:
            if error is None and not self.failure:
                self._take.finish()
        except DubbenchError as wrong:
            self.fail(wrong)
        self._stack.__exit__(kind, error, trace)

    def result(self, fingerprint: str, extra: Mapping[str, float]) -> ClipResult:
        """What the candidate got, with ``extra`` values beside the protocol's metrics."""
        clip = self.job.clip.info.clip
        if self.failure:
            return ClipResult(self.candidate.name, clip, fingerprint, failure=self.failure)
        values = {**self.tally.means(), **extra}
        if self._take.seconds is not None:
            values["seconds_per_frame"] = self._take.seconds / self.frames
        notes = {name: NO_FACE for name in self.job.rules.metrics if name not in values}
        return ClipResult(self.candidate.name, clip, fingerprint, self.frames, self.missed, values, notes=notes)


def score_clip(
    job: Job, candidates: Mapping[Candidate, str], meshes: Mapping[str, FaceMesh], out: Path, device: str
) -> list[ClipResult]:
    """Score candidates on one clip; the source is decoded once for all, and memory does not grow with its length.

    Args:
        job: the clip.
        candidates: with the fingerprint that each one's result will carry.
        meshes: a landmark detector for each candidate's name.
        out: folder of the videos, below which each candidate has its own.
        device: where pixel metrics are computed.

    Returns:
        One result a candidate; what a candidate does wrong is its result's ``failure``.

    Raises:
        DubbenchError: if the source video cannot be read or is not as it was prepared.
    """
    with ExitStack() as stack:
        lanes = [stack.enter_context(Lane(each, job, meshes[each.name], out)) for each in candidates]
        for indices, truth in _chunks(job):
            geometry = Geometry.read(job, indices)
            crops = []
            for k, image in enumerate(truth):
                crops.append(warp(image, geometry.crop[k], job.rules.size, job.rules.border))
                for lane in lanes:
                    lane.step(image, geometry, k)
            for lane in lanes:
                lane.flush(crops, geometry, device)
    return [
        lane.result(fingerprint, _extra(lane)) for lane, fingerprint in zip(lanes, candidates.values(), strict=True)
    ]


def _chunks(job: Job) -> Iterator[tuple[range, Iterator[Image]]]:
    """Frame numbers and source frames, some at a time; the frames must be taken before the next chunk."""
    total, source = job.clip.info.frames, read_frames(job.source)
    changed = f"{job.source} does not have the {total} frames it was prepared with; run dubbench prepare again"
    for start in range(0, total, CHUNK):
        indices = range(start, min(start + CHUNK, total))
        yield indices, _exactly(source, len(indices), changed)
    if next(source, None) is not None:
        raise DubbenchError(changed)


def _exactly(frames: Iterator[Image], count: int, otherwise: str) -> Iterator[Image]:
    for _ in range(count):
        image = next(frames, None)
        if image is None:
            raise DubbenchError(otherwise)
        yield image


def _extra(lane: Lane) -> dict[str, float]:
    """For the ground truth, the landmark distances that nothing but encoding and detecting again makes."""
    if lane.candidate.name != GROUND_TRUTH or lane.failure:
        return {}
    lane.mesh.reset()
    info, tally, frames = lane.job.clip.info, Tally(), read_frames(lane.video)
    for start in range(0, info.frames, CHUNK):
        geometry = Geometry.read(lane.job, range(start, min(start + CHUNK, info.frames)))
        again = [
            nearest_face(lane.mesh, image[: info.source_height, : info.source_width], truth)
            for truth, image in zip(geometry.source_points, frames, strict=False)  # this order drops no frame
        ]
        points, found = aligned_faces(again, geometry)
        pair = torch.from_numpy(points[found]), torch.from_numpy(geometry.points[found])
        tally.add({"lmd_floor": lmd(*pair), "f_lmd_floor": lmd(*pair, region="face")})
    return tally.means()


def _images(crops: Sequence[Image], device: str) -> Tensor:
    """[N, 3, H, W] of N crops [H, W, 3]."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous().to(device)
