"""One clip: candidates in lockstep with the ground truth, cropped, scored and written, frame by frame."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.core.links import own
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import Candidate, CandidateFrames, ScoringJob
from dubbench.evaluation.crops import Geometry, aligned_faces, nearest_face
from dubbench.evaluation.footage import CHUNK, Seen
from dubbench.face.choice import has_others, refuse_several
from dubbench.face.landmarks import Face, FaceMesh
from dubbench.face.opening import mouth_opening
from dubbench.face.warp import warp
from dubbench.media import MediaError
from dubbench.media.container import Image
from dubbench.media.video import VideoWriter, read_frames
from dubbench.metrics import lmd
from dubbench.metrics.common.frames import Frames, Truth
from dubbench.metrics.csim import face_crop, five_points
from dubbench.metrics.hearing import Openings
from dubbench.metrics.suite import Suite
from dubbench.metrics.suite.clip_pass import ClipPass
from dubbench.results.rows import DRIVER, GROUND_TRUTH, INFORMATIVE, OPENING, ClipResult

FEATURES = ".inception"


class CandidateScorer:
    """One candidate's way through one clip; what goes wrong in it stops only itself."""

    def __init__(
        self,
        candidate: Candidate,
        job: ScoringJob,
        suite: Suite,
        mesh: FaceMesh,
        videos: Path | None,
        features: Path | None,
    ) -> None:
        """Name the parts; see `score_clip`."""
        self.candidate, self.job, self.suite, self.mesh = candidate, job, suite, mesh
        name = job.footage.name
        self.video = own(videos, f"{candidate.name}/{name}.mp4") if videos and candidate.writes else None
        self._features = own(features, f"{candidate.name}/{name}{FEATURES}") if features else None
        self.failure = ""
        self._remarks: list[str] = []
        self.frames = self.missed = self.several = 0
        self._stack = ExitStack()
        self._candidate_frames = CandidateFrames()
        self._pass: ClipPass | None = None
        self._writer: VideoWriter | None = None
        self._crops: list[Image] = []
        self._faces: list[Image] = []
        self._own: list[Face | None] = []
        self._opening: list[float | None] = []

    def __enter__(self) -> "CandidateScorer":
        """Start the candidate."""
        self.mesh.reset()
        try:
            with ExitStack() as stack:
                self._candidate_frames = stack.enter_context(closing(self.candidate.start(self.job)))
                speech = self._speech()
                self._pass = stack.enter_context(self.suite.clip(_int16(speech), self._features))
                if self.video is not None:
                    self._writer = stack.enter_context(self._open(self.video, speech))
                self._stack = stack.pop_all()
        except DubbenchError as error:
            self.failure = str(error)
        return self

    def _speech(self) -> NDArray[np.float32] | None:
        """What the lips shall fit, where something asks for it."""
        if self.video is None and not self.suite.wants("speech"):
            return None
        try:
            return self.candidate.sound(self.job)
        except MediaError as error:  # silent videos have all other metrics
            self._remarks.append(str(error))
            return None

    def _open(self, path: Path, speech: NDArray[np.float32] | None) -> VideoWriter:
        footage = self.job.footage
        return VideoWriter(path, footage.width, footage.height, crf=self.job.rules.result_crf, speech=speech)

    def step(self, truth: Image, geometry: Geometry, k: int, five: NDArray[np.float64] | None, known: Seen) -> None:
        """Take the candidate's next frame, the ``k``-th of ``geometry``.

        ``five`` points align its face; ``known`` are the faces in the ground truth's frame.
        """
        if self.failure or self._pass is None:
            return
        try:
            image = self._candidate_frames.frame(truth, geometry.aligned[k])
            if image is None:
                return
            if self._writer is not None:
                self._writer.write(image)
            if known is None or self.candidate.name != GROUND_TRUTH:
                place = _place(geometry.source_points[k]) if geometry.detected[k] else None
                known = [Face.of(mesh) for mesh in self.mesh.detect(image, place)]
            own = self._followed(known, geometry, k)
            self.several += own is not None and has_others(known, own)
            self._pass.look(image, [own.box.astype(np.float64)] if own else [], geometry.to_256[k])
            self._own.append(own)
            self._crops.append(warp(image, geometry.crop[k], self.job.rules.size, self.job.rules.border))
            if five is not None:
                self._faces.append(face_crop(image, five))
        except DubbenchError as error:
            self.fail(error)

    def _followed(self, faces: Sequence[Face], geometry: Geometry, k: int) -> Face | None:
        """Of a frame's faces, the one where the ground truth's is; none where a chosen one is not shown."""
        chosen = not isinstance(self.job.faces, str)
        return None if chosen and not geometry.detected[k] else nearest_face(faces, geometry.source_points[k])

    def flush(self, truth: Truth, geometry: Geometry) -> None:
        """Score the frames since the last flush beside the ground truth of the same chunk."""
        if self._crops and self._pass is not None and not self.failure:
            points, found = aligned_faces(self._own, geometry)
            frames = Frames(
                truth=truth.first(len(self._crops)),
                crops=images(self._crops, self.suite.device),
                points=torch.from_numpy(points),
                found=torch.from_numpy(found),
                faces=images(self._faces, "cpu") if self._faces else None,
            )
            try:
                self._pass.add(frames)
            except DubbenchError as error:
                self.fail(error)
            self.frames += len(self._crops)
            self.missed += int((~found).sum())
            self._opening += mouth_opening(points, geometry.points[: len(points)], found)
        for kept in (self._crops, self._faces, self._own):
            kept.clear()

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
                self._candidate_frames.finish()
                if self.job.faces == "one":
                    refuse_several(self.several, self.frames)
        except DubbenchError as wrong:
            self.fail(wrong)
        self._stack.__exit__(kind, error, trace)

    def result(self, fingerprint: str) -> ClipResult:
        """What the candidate got, after the clip has ended."""
        clip = self.job.footage.name
        if self.failure or self._pass is None:
            return ClipResult(self.candidate.name, clip, fingerprint, failure=self.failure)
        scores = self._pass.finish()
        if unknown := sorted(scores.beside.keys() - INFORMATIVE.keys()):
            raise DubbenchError(f"a metric gives a value {unknown[0]} that no definition names; add it to DEFINITIONS")
        hearing, silent = self.suite.driven(self._openings())
        values = {**scores.values, **scores.beside, **hearing}
        if self._candidate_frames.seconds is not None:
            values["seconds_per_frame"] = self._candidate_frames.seconds / self.frames
        values.update(self._floor())
        shown = max(self.frames + self._candidate_frames.beyond, self.job.footage.frames or 0)
        if self.frames < shown:
            values["frames_compared"] = self.frames
        return ClipResult(
            method=self.candidate.name,
            clip=clip,
            fingerprint=fingerprint,
            frames=self.frames,
            missed=self.missed,
            several=self.several,
            shown=shown,
            face=self.job.footage.face,
            values=values,
            notes={**scores.notes, **silent},
            remarks=self._found(),
            curves={OPENING: self._opening, **self._driver()},
        )

    def _found(self) -> list[str]:
        """What was wrong with the files that were read."""
        flaws = self._candidate_frames.flaws
        truth = self.job.footage.remarks if self.candidate.name == GROUND_TRUTH else []
        return [*self._remarks, *(flaws.sentences() if flaws else []), *truth]

    def _openings(self) -> Openings | None:
        """How far the mouths are open: of the candidate, of the clip as it was filmed, and of who drives it."""
        job = self.job
        if job.driver is None or job.prepared is None:
            return None
        curves = self._opening, job.source_opening[: self.frames], job.driver_opening[: self.frames]
        return Openings(*(np.array(curve, np.float64) for curve in curves))

    def _driver(self) -> dict[str, list[float | None]]:
        """For the ground truth, the opening of the mouth of whoever speaks, where that is another clip."""
        if self.candidate.name != GROUND_TRUTH or self.job.driver is None:
            return {}
        return {DRIVER: self.job.driver_opening[: self.frames]}

    def _floor(self) -> dict[str, float]:
        """For the ground truth's video, the landmark distances that nothing but encoding and detecting again makes."""
        if self.candidate.name != GROUND_TRUTH or self.video is None or self.job.prepared is None:
            return {}
        self.mesh.reset()
        info, frames = self.job.prepared.info, read_frames(self.video)
        height, width = info.source_height, info.source_width
        sums: dict[str, list[float]] = {"lmd_floor": [], "f_lmd_floor": []}
        for start in range(0, info.frames, CHUNK):
            indices = range(start, min(start + CHUNK, info.frames))
            geometry = Geometry.of_clip(self.job.prepared, indices, self.job.rules.size)
            again = [
                nearest_face([Face.of(mesh) for mesh in self.mesh.detect(image[:height, :width], _place(truth))], truth)
                for truth, image in zip(geometry.source_points, frames, strict=False)  # this order drops no frame
            ]
            points, found = aligned_faces(again, geometry)
            pair = torch.from_numpy(points[found]), torch.from_numpy(geometry.points[found])
            sums["lmd_floor"] += lmd(*pair).tolist()
            sums["f_lmd_floor"] += lmd(*pair, region="face").tolist()
        return {name: float(np.mean(values)) for name, values in sums.items() if values}


def _place(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Corners [2, 2] of the box around a face's landmarks [68, 2]."""
    return np.asarray([points.min(0), points.max(0)], np.float32)


def score_clip(
    job: ScoringJob,
    candidates: Mapping[Candidate, str],
    suite: Suite,
    meshes: Mapping[str, FaceMesh],
    videos: Path | None = None,
    features: Path | None = None,
) -> list[ClipResult]:
    """Score candidates on one clip; the ground truth is decoded once for all, and memory does not grow with length.

    Args:
        job: the clip.
        candidates: with the fingerprint that each one's result will carry.
        suite: the metrics.
        meshes: a landmark detector for each candidate's name; the ground truth's is not asked about what the landmark
            cache knows.
        videos: folder below which each candidate that writes has its videos; None writes none.
        features: folder below which each candidate leaves the features of pooled metrics; None leaves none.

    Returns:
        One result a candidate; what a candidate does wrong is its result's ``failure``.

    Raises:
        DubbenchError: if the ground truth cannot be read or is not as it was prepared.
    """
    rules = job.rules
    with ExitStack() as stack:
        scorers = [
            stack.enter_context(
                CandidateScorer(
                    candidate=each, job=job, suite=suite, mesh=meshes[each.name], videos=videos, features=features
                )
            )
            for each in candidates
        ]
        detector = meshes[GROUND_TRUTH] if any(each.name == GROUND_TRUTH for each in candidates) else None
        for truth, geometry, known in job.footage.chunks(rules.size, detector):
            fives = five_points(torch.from_numpy(geometry.source_points)).numpy() if suite.wants("faces") else None
            crops, faces = [], []
            for k, image in enumerate(truth):
                crops.append(warp(image, geometry.crop[k], rules.size, rules.border))
                five = None if fives is None else fives[k]
                if five is not None:
                    faces.append(face_crop(image, five))
                for scorer in scorers:
                    scorer.step(image, geometry, k=k, five=five, known=known[k])
            side = Truth(
                crops=images(crops, suite.device),
                mouth=torch.from_numpy(geometry.mouth),
                points=torch.from_numpy(geometry.points),
                detected=torch.from_numpy(geometry.detected),
                faces=images(faces, "cpu") if faces else None,
            )
            for scorer in scorers:
                scorer.flush(side, geometry)
    return [scorer.result(fingerprint) for scorer, fingerprint in zip(scorers, candidates.values(), strict=True)]


def images(crops: Sequence[Image], device: str | torch.device) -> Tensor:
    """Bring N crops [H, W, 3] together as [N, 3, H, W]."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous().to(device)


def _int16(speech: NDArray[np.float32] | None) -> NDArray[np.int16] | None:
    """Speech as SyncNet's features take it; exact for what was read from 16-bit samples."""
    return None if speech is None else np.clip(np.rint(speech * 32768.0), -32768, 32767).astype(np.int16)
