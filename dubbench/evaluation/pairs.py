"""Which prediction belongs to which ground truth: two videos, two folders of videos, or prepared folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dubbench.datamodules import tree
from dubbench.datamodules.clip import PreparedClip, alignment_of, read_manifest
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import Candidate, CandidateFrames, ScoringJob
from dubbench.evaluation.finished_videos import Video
from dubbench.evaluation.footage import Footage, PreparedFootage, RawFootage, SourceFootage, check_followed
from dubbench.evaluation.landmark_cache import Detector
from dubbench.face.choice import Faces
from dubbench.media import MediaError
from dubbench.media.audio import aligned_speech
from dubbench.media.flaws import Flaws
from dubbench.media.video import probe
from dubbench.results import videos

PRED = "pred"


@dataclass(frozen=True)
class Side:
    """Where the videos of one side lie.

    Attributes:
        root: their folder.
        prepared: whether `dubbench prepare` made it: then videos are named by clip id.
        names: of the videos, relative to the folder.
        ignored: other files below the folder, counted by the reason why they are no videos.
    """

    root: Path
    prepared: bool
    names: tuple[str, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "Side":
        """Look at a video, a folder of videos at any depth, or a prepared folder.

        Raises:
            DubbenchError: if it is neither, or holds no video.
        """
        if path.is_file():
            return cls(path.parent, prepared=False, names=(path.name,))
        if (path / "manifest.parquet").is_file():
            return cls(path, prepared=True, names=tuple(read_manifest(path)["clip"]))
        if not path.is_dir():
            raise DubbenchError(f"{path} is neither a video nor a folder; check the path")
        names, ignored = videos.below(path)
        if not names:
            there = f" ({told})" if (told := tree.told(ignored)) else ""
            raise DubbenchError(f"{path} holds no video{there}; give a folder that does, or a video")
        return cls(path, prepared=False, names=tuple(names), ignored=ignored)

    def clips(self) -> dict[str, str]:
        """Names by clip id."""
        ids = {name: name for name in self.names} if self.prepared else videos.ids_of(self.names)
        return {clip: name for name, clip in ids.items()}


@dataclass(frozen=True)
class Pair:
    """A prediction and its ground truth.

    Attributes:
        name: of the clip.
        pred: side and name of the prediction.
        target: side and name of the ground truth.
    """

    name: str
    pred: tuple[Side, str]
    target: tuple[Side, str]

    def footage(self, detector: Detector, source_root: Path | None = None, faces: Faces = "largest") -> Footage:
        """Open the ground truth.

        A prepared one is seen in its aligned squares if the prediction is prepared too, else in its source frames.

        Args:
            detector: finds the faces of videos that are not prepared.
            source_root: where the corpus of a prepared ground truth lies, if it moved.
            faces: which face is followed, see `dubbench.face.choice`.

        Raises:
            DubbenchError: if it cannot be read, or follows another face.
        """
        side, name = self.target
        if not side.prepared:
            return RawFootage(side.root / name, self.name, detector, faces)
        clip = PreparedClip(side.root, name)
        check_followed(clip, faces)
        return PreparedFootage(clip) if self.pred[0].prepared else SourceFootage.find(clip, source_root)


class Prediction(Candidate):
    """The prediction of one pair."""

    name = PRED
    writes = False

    def __init__(self, pair: Pair, speech: NDArray[np.float32] | None = None) -> None:
        """Take a pair, and the speech that the lips shall fit if it is not the prediction's own."""
        side, name = pair.pred
        self._path = side.root / name / "video.mp4" if side.prepared else side.root / name
        self._pair, self._speech, self._flaws = pair, speech, Flaws()

    def fingerprint(self, clip: str) -> str:
        """Nothing is reused."""
        return ""

    def describe(self) -> dict[str, Any]:
        """See `Candidate`."""
        return {"kind": "video", "file": self._path.name}

    def start(self, job: ScoringJob) -> CandidateFrames:
        """See `Candidate`."""
        return Video(self._path, job, self._flaws)

    def sound(self, job: ScoringJob) -> NDArray[np.float32] | None:
        """The given speech, else the prediction's own sound, else the ground truth's."""
        side, name = self._pair.pred
        if self._speech is not None:
            return self._speech
        if side.prepared:
            return PreparedClip(side.root, name).speech()
        return aligned_speech(self._path, self._flaws) if probe(self._path).has_audio else job.footage.speech

    def listen(self, job: ScoringJob) -> list[str]:
        """Look for flaws of the sound where no metric hears it; why it cannot be heard, if so."""
        try:
            self.sound(job)
        except MediaError as error:
            return [str(error)]
        return []


@dataclass(frozen=True)
class PairedSides:
    """Two sides put together.

    Attributes:
        pairs: sorted by name.
        pred_only: names of predictions without ground truth.
        target_only: names of ground truth without prediction.
        refused: by clip, why nobody knows which prediction is meant.
        ignored: by side, other files below its folder, counted by the reason why they are no videos.
    """

    pairs: Sequence[Pair]
    pred_only: Sequence[str] = ()
    target_only: Sequence[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def match(pred: Path, target: Path) -> PairedSides:
    """Pair predictions with ground truth.

    Two files are a pair whatever they are called. In folders, the ground truth names the clips, and predictions are
    matched to them as `dubbench.results.videos` does.

    Raises:
        DubbenchError: if a side is absent or empty, the two cannot be compared, or nothing fits together.
    """
    for path in (pred, target):
        if not path.exists():
            raise DubbenchError(f"{path} is neither a video nor a folder; check the path")
    if pred.is_file() != target.is_file():
        one, other = (pred, target) if pred.is_file() else (target, pred)
        raise DubbenchError(f"{one} is a file and {other} is not; give two videos or two folders")
    left, right = Side.of(pred), Side.of(target)
    if left.prepared and not right.prepared:
        raise DubbenchError(
            f"{pred} is a prepared folder, whose frames are aligned squares; give the prepared folder of {target} too, "
            "or full videos for both"
        )
    if left.prepared:
        _check_same_squares(pred, target)
    if pred.is_file():
        return PairedSides([Pair(target.stem, (left, pred.name), (right, target.name))])
    clips = right.clips()
    matches = videos.match(clips, left.names, suffixes=not left.prepared)
    if len(matches.missing) == len(clips):
        raise DubbenchError(
            f"no video below {pred} is called as one below {target} ({left.names[0]} against {right.names[0]}); "
            "names must agree but for the suffix"
        )
    pairs = [Pair(clip, (left, name), (right, clips[clip])) for clip, name in sorted(matches.found.items())]
    refused = {clip: matches.refusal(clip) for clip in sorted(matches.ambiguous)}
    lone = sorted(clips[clip] for clip in matches.missing)
    ignored = {PRED: left.ignored, "target": right.ignored}
    return PairedSides(pairs, pred_only=matches.strangers, target_only=lone, refused=refused, ignored=ignored)


def _check_same_squares(pred: Path, target: Path) -> None:
    """Raise `DubbenchError` if two prepared folders are aligned in different ways: the faces lie in other places."""
    own, its = alignment_of(pred), alignment_of(target)
    if own != its:
        raise DubbenchError(
            f"{pred} was prepared with --align {own} and {target} with --align {its}, so that the same face lies in "
            "another place; prepare both alike, or give full videos for both"
        )
