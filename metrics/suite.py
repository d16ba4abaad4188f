"""All metrics together: one pass over each clip, a frame seen once, memory that does not grow with length or count."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dubbench.assets import store
from dubbench.core.weights import weights_sha256
from dubbench.errors import DubbenchError
from dubbench.metrics import pretrained
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.metrics.clip_pass import RECORD, ClipPass
from dubbench.metrics.fid import MINIMUM, Moments, frechet_distance
from dubbench.metrics.kid import FeatureSample, kernel_distance
from dubbench.metrics.sync_rules import SyncRule

EMBEDDER = pretrained.EMBEDDERS[0]
# The pretrained file behind each network that a suite loads by itself; the embedder's is chosen.
FILES = {
    "lpips_alex": pretrained.TRUNKS["alex"],
    "lpips_vgg": pretrained.TRUNKS["vgg"],
    "inception": pretrained.INCEPTION,
    "syncnet": pretrained.SYNCNET,
    "s3fd": pretrained.DETECTOR,
}


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


def _describe(network: Any, file: str) -> dict[str, str]:  # noqa: ANN401
    """Name and fingerprint of a network: those of its file, its own, or those of its weights."""
    if file:
        return {"file": file, "sha256": store.ASSETS[file].digest}
    if hasattr(network, "describe"):
        return dict(network.describe())
    state = network.state_dict() if isinstance(network, nn.Module) else {}
    return {"class": type(network).__qualname__, "weights_sha256": weights_sha256(state)}
