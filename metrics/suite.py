"""All metrics together: one pass over each clip, a frame seen once, memory that does not grow with length or count."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dubbench import assets
from dubbench.errors import DubbenchError
from dubbench.face.scenes import Cuts
from dubbench.face.tracks import LANDMARK, PIPELINE
from dubbench.files import atomic
from dubbench.metrics import pretrained
from dubbench.metrics.definitions import DEFINITIONS, Frames, score
from dubbench.metrics.fid import MINIMUM, Moments, frechet_distance
from dubbench.metrics.kid import FeatureSample, image_keys, kernel_distance
from dubbench.metrics.sync import SyncStream
from dubbench.metrics.sync_tracks import SyncTracks, TrackScore

SyncRule = Literal["landmark", "pipeline", "precropped"]
SYNC_RULES: tuple[SyncRule, ...] = ("landmark", "pipeline", "precropped")
EMBEDDER = pretrained.EMBEDDERS[0]
SYNC_SIDE = 224
NO_FACE = "no frame shows a face in both the video and its ground truth"
NO_TRACK = "no_track: no face is large enough in enough frames on end"
NO_SPEECH = "there is no speech to compare the lips with"
# The pretrained file behind each network that a suite loads by itself; the embedder's is chosen.
FILES = {
    "lpips_alex": pretrained.TRUNKS["alex"],
    "lpips_vgg": pretrained.TRUNKS["vgg"],
    "inception": pretrained.INCEPTION,
    "syncnet": pretrained.SYNCNET,
    "s3fd": pretrained.DETECTOR,
}
RECORD = np.dtype([("key", "<i8"), ("feature", "<f4", (2048,))])

Image = NDArray[np.uint8]
Box = NDArray[np.float64]


class SyncExpert(Protocol):
    """A network of this suite that tells lips in sync from others, with all that it needs around it."""

    def stream(self, speech: NDArray[np.int16]) -> "ExpertStream":
        """Begin a clip."""


class ExpertStream(Protocol):
    """One clip on its way through a sync expert."""

    def add(self, image: Image, to_256: NDArray[np.float64]) -> None:
        """Take the next full frame, and the transform [2, 3] from it to the aligned frame of 256 pixels."""

    def finish(self) -> float | None:
        """Mean similarity over the clip's windows; None where it is too short for one."""


@dataclass(frozen=True)
class Outcome:
    """What a clip got.

    Attributes:
        values: by metric, the mean over frames or the clip's one value.
        notes: by metric without a value, why.
        tracks: face tracks that SyncNet scored, longest first.
    """

    values: dict[str, float]
    notes: dict[str, str]
    tracks: list[TrackScore] = field(default_factory=list)


class Suite:
    """The metrics of a run with their networks, loaded once.

    Args:
        metrics: names from `DEFINITIONS`.
        device: where networks and pixel metrics run.
        sync: how SyncNet gets to see faces: ``landmark`` tracks and crops the boxes of the face meshes as the official
            pipeline does its detections, ``pipeline`` is that pipeline with S3FD, ``precropped`` takes whole frames.
        embedder: asset name or path of the ONNX file behind CSIM.
        pool_minimum: frames a side below which FID is not reported.
        networks: by key, used instead of the pretrained files.

    Attributes:
        metrics: those that can be computed here.
        absent: the others, with what is missing and the way out.
    """

    def __init__(
        self,
        metrics: Iterable[str],
        *,
        device: str | torch.device = "cpu",
        sync: SyncRule = "landmark",
        embedder: str = EMBEDDER,
        pool_minimum: int = MINIMUM,
        networks: Mapping[str, Any] | None = None,
    ) -> None:
        self.device, self.sync, self.pool_minimum = torch.device(device), sync, pool_minimum
        self.networks: dict[str, Any] = dict(networks or {})
        self.metrics: list[str] = []
        self.absent: dict[str, str] = {}
        loaders: dict[str, Callable[[], Any]] = {
            "lpips_alex": lambda: pretrained.lpips_network("alex"),
            "lpips_vgg": lambda: pretrained.lpips_network("vgg"),
            "inception": pretrained.inception,
            "syncnet": pretrained.syncnet,
            "s3fd": pretrained.s3fd,
            "embedder": lambda: pretrained.embedder(embedder),
        }
        for name in metrics:
            definition = DEFINITIONS[name]
            wanted = [definition.network] if definition.network else []
            wanted += ["s3fd"] if definition.network == "syncnet" and sync == "pipeline" else []
            try:
                for key in wanted:
                    if key not in self.networks:
                        self.networks[key] = self._load(key, loaders)
                self.metrics.append(name)
            except DubbenchError as error:
                self.absent[name] = str(error)
        for network in self.networks.values():
            if isinstance(network, nn.Module):
                network.to(self.device).eval().requires_grad_(False)
        given = set(networks or {})
        self._described = {
            key: _describe(network, "" if key in given else FILES.get(key, ""))
            for key, network in sorted(self.networks.items())
        }

    def _load(self, key: str, loaders: Mapping[str, Callable[[], Any]]) -> Any:  # noqa: ANN401
        if key not in loaders:
            raise DubbenchError(f"no {key.replace('_', ' ')} was given; name its checkpoint with --{key}")
        return loaders[key]()

    def describe(self) -> dict[str, Any]:
        """Everything but the frames that values depend on, for records and fingerprints."""
        return {
            "metrics": {name: DEFINITIONS[name].version for name in self.metrics},
            "networks": self._described,
            "sync": self.sync,
            "pool_minimum": self.pool_minimum,
        }

    def wants(self, need: str) -> bool:
        """Whether a metric that can be computed needs ``need``, see `Definition`."""
        return any(DEFINITIONS[name].needs == need for name in self.metrics)

    def clip(self, speech: NDArray[np.int16] | None, features: Path | None = None) -> "ClipPass":
        """Begin a clip of one candidate.

        Args:
            speech: [S] 16 kHz mono that shall fit the lips, or None where there is none.
            features: file that gets the frames' features for pooled metrics; None leaves them out.
        """
        return ClipPass(self, speech, features)

    def pooled(self, pred: Iterable[Path], truth: Iterable[Path]) -> tuple[dict[str, float], dict[str, str], int]:
        """Compute the metrics that pool the frames of many clips.

        Args:
            pred: feature files of a candidate's clips.
            truth: feature files of the same clips' ground truth.

        Returns:
            Values by metric, reasons by metric without a value, and the number of the candidate's frames.
        """
        sides = [_Pool(files, kernel="kid" in self.metrics) for files in (pred, truth)]
        count = min(side.moments.n for side in sides)
        values, notes = {}, {}
        if "fid" in self.metrics:
            if count < max(self.pool_minimum, 2):
                notes["fid"] = f"{count} frames are fewer than the {self.pool_minimum} that FID asks for"
            else:
                (a, b), (c, d) = ((side.moments.mean(), side.moments.covariance()) for side in sides)
                values["fid"] = frechet_distance(a, b, c, d)
        if "kid" in self.metrics:
            if count < 2:
                notes["kid"] = f"{count} frames are fewer than the 2 that KID asks for"
            else:
                values["kid"] = kernel_distance(*(side.sample.features() for side in sides))
        return values, notes, sides[0].moments.n


class _Pool:
    """Sums and a fixed-size sample over feature files."""

    def __init__(self, files: Iterable[Path], kernel: bool) -> None:
        self.moments, self.sample = Moments(RECORD["feature"].shape[0]), FeatureSample()
        for path in files:
            records = np.memmap(path, RECORD, mode="r") if path.stat().st_size else np.empty(0, RECORD)
            for start in range(0, len(records), 512):
                part = records[start : start + 512]
                features = torch.from_numpy(np.array(part["feature"]))
                self.moments.add(features)
                if kernel:
                    self.sample.add(features, torch.from_numpy(np.array(part["key"])))


class ClipPass(AbstractContextManager["ClipPass"]):
    """One candidate's clip on its way through the suite; use as a context manager and take every frame in order."""

    def __init__(self, suite: Suite, speech: NDArray[np.int16] | None, features: Path | None) -> None:
        self.suite, self.speech = suite, speech
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._follow = _follower(suite, speech) if "sync_c" in suite.metrics or "sync_d" in suite.metrics else None
        expert = suite.networks.get("sync_expert") if "sync_similarity" in suite.metrics else None
        self._expert: ExpertStream | None = expert.stream(speech) if expert and speech is not None else None
        self._file: AbstractContextManager[Path] | None = None
        self._features: IO[bytes] | None = None
        if features is not None and suite.wants("pool"):
            self._file = atomic(features)
            self._features = self._file.__enter__().open("wb")

    def look(self, image: Image, boxes: Sequence[Box], to_256: NDArray[np.float64]) -> None:
        """Take the next full frame, for what follows faces over time.

        Args:
            image: uint8 [H, W, 3] RGB.
            boxes: of the faces found in it, [4] x0, y0, x1, y1 in pixels each.
            to_256: [2, 3] from the frame to the aligned frame of 256 pixels.
        """
        if self._follow is not None:
            self._follow.add(image, boxes)
        if self._expert is not None:
            self._expert.add(image, to_256)

    @torch.inference_mode()
    def add(self, frames: Frames) -> None:
        """Take the crops of some frames."""
        for name, values in score(frames, self.suite.metrics, self.suite.networks).items():
            self._sums[name] += float(values.sum())
            self._counts[name] += len(values)
        if self._features is not None:
            records = np.empty(len(frames.crops), RECORD)
            records["key"] = image_keys(frames.crops).cpu().numpy()
            records["feature"] = self.suite.networks["inception"](frames.crops).float().cpu().numpy()
            self._features.write(records.tobytes())

    def finish(self) -> Outcome:
        """End the clip and give its values."""
        values = {name: self._sums[name] / count for name, count in self._counts.items() if count}
        notes = {
            name: NO_FACE
            for name in self.suite.metrics
            if DEFINITIONS[name].needs in ("landmarks", "faces") and name not in values
        }
        tracks: list[TrackScore] = []
        if self._follow is not None:
            sync = [name for name in self.suite.metrics if DEFINITIONS[name].network == "syncnet"]
            reason = NO_SPEECH if self.speech is None else NO_TRACK
            try:
                tracks = self._follow.finish()
            except DubbenchError as error:
                reason = reason if self.speech is None else str(error)
            if tracks:
                scores = tracks[0].scores
                found = {"sync_c": scores.lse_c, "sync_d": scores.lse_d, "av_offset": float(scores.av_offset)}
                values.update({name: found[name] for name in sync})
            else:
                notes.update(dict.fromkeys(sync, reason))
        if "sync_similarity" in self.suite.metrics:
            similarity = self._expert.finish() if self._expert is not None else None
            if similarity is None:
                notes["sync_similarity"] = NO_SPEECH if self.speech is None else "the clip is too short for a window"
            else:
                values["sync_similarity"] = similarity
        return Outcome(values, notes, tracks)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the features of a clip that ended well, and leave nothing of another."""
        if self._features is not None and self._file is not None:
            self._features.close()
            self._file.__exit__(kind, error, trace)


class _Whole:
    """Whole frames, for videos that are cropped for SyncNet already."""

    def __init__(self, stream: SyncStream) -> None:
        self._stream, self._frames = stream, 0

    def add(self, image: Image, boxes: Sequence[Box]) -> None:
        small = cv2.resize(image, (SYNC_SIDE, SYNC_SIDE), interpolation=cv2.INTER_LINEAR)
        self._stream.add(np.ascontiguousarray(small[None, ..., ::-1]))
        self._frames += 1

    def finish(self) -> list[TrackScore]:
        try:
            scores = self._stream.finish()
        except DubbenchError:
            return []
        return [TrackScore(0, self._frames, scores)]


class _Tracked:
    """Frames whose faces are tracked from shot to shot."""

    def __init__(self, tracks: SyncTracks, detector: Any) -> None:  # noqa: ANN401
        self._tracks, self._detector, self._cuts = tracks, detector, Cuts()

    def add(self, image: Image, boxes: Sequence[Box]) -> None:
        found = boxes if self._detector is None else self._detector.detect(image)
        self._tracks.add(image, found, self._cuts.add(image))

    def finish(self) -> list[TrackScore]:
        return self._tracks.finish()


def _follower(suite: Suite, speech: NDArray[np.int16] | None) -> _Whole | _Tracked | None:
    network = suite.networks["syncnet"]
    sound = np.zeros(0, np.int16) if speech is None else speech
    if suite.sync == "precropped":
        return _Whole(SyncStream(network, sound, device=suite.device))
    pipeline = suite.sync == "pipeline"
    tracks = SyncTracks(network, sound, PIPELINE if pipeline else LANDMARK, device=suite.device)
    return _Tracked(tracks, suite.networks["s3fd"] if pipeline else None)


def _describe(network: Any, file: str) -> dict[str, str]:  # noqa: ANN401
    """Name and fingerprint of a network: those of its file, its own, or those of its weights."""
    if file:
        return {"file": file, "sha256": assets.ASSETS[file].digest}
    if hasattr(network, "describe"):
        return dict(network.describe())
    digest = sha256()
    if isinstance(network, nn.Module):
        for name, tensor in network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return {"class": type(network).__qualname__, "weights_sha256": digest.hexdigest()}
