"""Which prediction belongs to which ground truth: two videos, two folders of videos, or prepared folders."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.sources import videos, without_suffix
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import Candidate, Job, Take
from dubbench.evaluation.finished_videos import Video
from dubbench.evaluation.footage import Footage, PreparedFootage, RawFootage, SourceFootage
from dubbench.evaluation.landmark_cache import Detector
from dubbench.media.audio import aligned_speech
from dubbench.media.video import probe

PRED = "pred"


@dataclass(frozen=True)
class Side:
    """Where the videos of one side lie.

    Attributes:
        root: their folder.
        prepared: whether `dubbench prepare` made it: then videos are named by clip id.
        names: of the videos, relative to the folder.
    """

    root: Path
    prepared: bool
    names: tuple[str, ...]

    @classmethod
    def of(cls, place: Path) -> "Side":
        """Look at a video, a folder of videos at any depth, or a prepared folder.

        Raises:
            DubbenchError: if it is neither, or holds no video.
        """
        if place.is_file():
            return cls(place.parent, False, (place.name,))
        if (place / "manifest.parquet").is_file():
            return cls(place, True, tuple(read_manifest(place)["clip"]))
        if not place.is_dir():
            raise DubbenchError(f"{place} is neither a video nor a folder; check the path")
        names = tuple(sorted(path.relative_to(place).as_posix() for path in videos(place)))
        if not names:
            raise DubbenchError(f"{place} holds no video; give a folder that does, or a video")
        return cls(place, False, names)

    def key(self, name: str) -> str:
        """What a video goes by: no suffix, and folders may be spelled ``s1__bbaf2n`` as well as ``s1/bbaf2n``."""
        plain = name if self.prepared else without_suffix(self.root / name, self.root)
        return plain.replace("/", "__")

    def keyed(self) -> dict[str, list[str]]:
        """Names by key."""
        found = defaultdict(list)
        for name in self.names:
            found[self.key(name)].append(name)
        return found


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

    def footage(self, detector: Detector, source_root: Path | None = None) -> Footage:
        """Open the ground truth.

        A prepared one is seen in its aligned squares if the prediction is prepared too, else in its source frames.

        Args:
            detector: finds the faces of videos that are not prepared.
            source_root: where the corpus of a prepared ground truth lies, if it moved.

        Raises:
            DubbenchError: if it cannot be read.
        """
        side, name = self.target
        if not side.prepared:
            return RawFootage(side.root / name, self.name, detector)
        clip = PreparedClip(side.root, name)
        return PreparedFootage(clip) if self.pred[0].prepared else SourceFootage.find(clip, source_root)


class Prediction(Candidate):
    """The prediction of one pair."""

    name = PRED
    writes = False

    def __init__(self, pair: Pair, speech: NDArray[np.float32] | None = None) -> None:
        """Take a pair, and the speech that the lips shall fit if it is not the prediction's own."""
        side, name = pair.pred
        self._path = side.root / name / "video.mp4" if side.prepared else side.root / name
        self._pair, self._speech = pair, speech

    def fingerprint(self, clip: str) -> str:
        """Nothing is reused."""
        return ""

    def describe(self) -> dict[str, Any]:
        """See `Candidate`."""
        return {"kind": "video", "file": self._path.name}

    def start(self, job: Job) -> Take:
        """See `Candidate`."""
        return Video(self._path, job)

    def sound(self, job: Job) -> NDArray[np.float32] | None:
        """The given speech, else the prediction's own sound, else the ground truth's."""
        side, name = self._pair.pred
        if self._speech is not None:
            return self._speech
        if side.prepared:
            return PreparedClip(side.root, name).speech()
        return aligned_speech(self._path) if probe(self._path).has_audio else job.footage.speech


@dataclass(frozen=True)
class Pairing:
    """Two sides put together.

    Attributes:
        pairs: sorted by name.
        pred_only: names of predictions without ground truth.
        target_only: names of ground truth without prediction.
    """

    pairs: Sequence[Pair]
    pred_only: Sequence[str]
    target_only: Sequence[str]


def match(pred: Path, target: Path) -> Pairing:
    """Pair predictions with ground truth.

    Two files are a pair whatever they are called. In folders, relative paths count without their suffix; where several
    videos differ in nothing else, with it. In prepared folders clip ids count.

    Raises:
        DubbenchError: if a side is absent or empty, the two cannot be compared, or nothing fits together.
    """
    for place in (pred, target):
        if not place.exists():
            raise DubbenchError(f"{place} is neither a video nor a folder; check the path")
    if pred.is_file() != target.is_file():
        one, other = (pred, target) if pred.is_file() else (target, pred)
        raise DubbenchError(f"{one} is a file and {other} is not; give two videos or two folders")
    left, right = Side.of(pred), Side.of(target)
    if left.prepared and not right.prepared:
        raise DubbenchError(
            f"{pred} is a prepared folder, whose frames are aligned squares; give the prepared folder of {target} too, "
            "or full videos for both"
        )
    if pred.is_file():
        return Pairing([Pair(target.stem, (left, pred.name), (right, target.name))], [], [])
    found = _found(left, right)
    if not found:
        raise DubbenchError(
            f"no video below {pred} is called as one below {target} ({left.names[0]} against {right.names[0]}); "
            "names must agree but for the suffix"
        )
    pairs = sorted((Pair(name, (left, a), (right, b)) for name, a, b in found), key=lambda pair: pair.name)
    taken = {a for _, a, _ in found}, {b for _, _, b in found}
    lone = [[name for name in side.names if name not in done] for side, done in zip((left, right), taken, strict=True)]
    return Pairing(pairs, *lone)


def _found(left: Side, right: Side) -> list[tuple[str, str, str]]:
    """Names of the pairs: first by unambiguous keys, then, of what is left, by full names."""
    keyed, found = left.keyed(), []
    for key, theirs in right.keyed().items():
        mine = keyed.get(key, [])
        if len(mine) == len(theirs) == 1:
            plain = theirs[0] if right.prepared else without_suffix(right.root / theirs[0], right.root)
            found.append((plain, mine[0], theirs[0]))
    mine_done, theirs_done = {a for _, a, _ in found}, {b for _, _, b in found}
    full = {name.replace("/", "__"): name for name in left.names if name not in mine_done}
    for name in right.names:
        if name not in theirs_done and name.replace("/", "__") in full:
            found.append((name, full[name.replace("/", "__")], name))
    return found
