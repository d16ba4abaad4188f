"""The metrics of a run with their networks: what can be computed here, and why not what cannot."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.assets import store
from dubbench.core.weights import weights_sha256
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.metrics.common.clips import Clip, NoValue
from dubbench.metrics.common.features import FeaturePool, Pools
from dubbench.metrics.common.options import EMBEDDERS, POOL_MINIMUM, SuiteOptions, SyncRule
from dubbench.metrics.hearing import Openings
from dubbench.metrics.suite.clip_pass import ClipPass
from dubbench.metrics.suite.code import MetricCode, metric_code


def standard(networks: Mapping[str, object]) -> list[str]:
    """Metrics that are computed unless others are named.

    Those are left out whose network one has to train, unless it is given: no pretrained file makes up for it. So are
    those of cross protocols, which want a third clip.

    Args:
        networks: by key, those that are given.
    """
    return [
        name
        for name, each in DEFINITIONS.items()
        if each.needs != "driver"
        and (not each.network or each.network in networks or each.network in metric_code(name).networks)
    ]


class Suite:
    """The metrics of a run with their networks, loaded once.

    Args:
        metrics: names from `DEFINITIONS`.
        device: where networks and pixel metrics run.
        sync: see `SuiteOptions`, like the next two.
        embedder: of CSIM.
        pool_minimum: of FID.
        networks: by key, used instead of the pretrained files.

    Attributes:
        absent: metrics that cannot be computed here, with what is missing and the way out.
        networks: by key.
        options: what the run chose.
    """

    def __init__(
        self,
        metrics: Iterable[str],
        *,
        device: str | torch.device = "cpu",
        sync: SyncRule = "landmark",
        embedder: str = EMBEDDERS[0],
        pool_minimum: int = POOL_MINIMUM,
        networks: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.options = SuiteOptions(sync, embedder, pool_minimum)
        self.networks: dict[str, Any] = dict(networks or {})
        self.absent: dict[str, str] = {}
        self._metrics: dict[str, MetricCode] = {}
        self._files: dict[str, str] = {}
        for name in metrics:
            metric = metric_code(name)
            try:
                self._load(metric)
                self._metrics[name] = metric
            except DubbenchError as error:
                self.absent[name] = str(error)
        for network in self.networks.values():
            if isinstance(network, nn.Module):
                network.to(self.device).eval().requires_grad_(False)
        self._described = {
            key: _describe(network, self._files.get(key, "")) for key, network in sorted(self.networks.items())
        }

    @property
    def metrics(self) -> list[str]:
        """Those that can be computed here."""
        return list(self._metrics)

    def _load(self, metric: MetricCode) -> None:
        """Have a metric's networks, or raise what is missing."""
        wanted = [metric.definition.network]
        if self.options.sync == "pipeline":
            wanted.append(metric.definition.detector)
        for key in wanted:
            if not key or key in self.networks:
                continue
            if key not in metric.networks:
                raise DubbenchError(f"no {key.replace('_', ' ')} was given; name its checkpoint with --{key}")
            self.networks[key] = metric.networks[key].load(self.options)
            self._files[key] = metric.networks[key].file

    def describe(self) -> dict[str, Any]:
        """Everything but the frames that values depend on, for records and fingerprints."""
        return {
            "metrics": {name: metric.definition.version for name, metric in self._metrics.items()},
            "networks": self._described,
            "sync": self.options.sync,
            "pool_minimum": self.options.pool_minimum,
        }

    def wants(self, need: str) -> bool:
        """Whether a metric that can be computed needs ``need``, see `Definition`."""
        return any(metric.definition.needs == need for metric in self._metrics.values())

    def clip(self, speech: NDArray[np.int16] | None, features: Path | None = None) -> ClipPass:
        """Begin a clip of one candidate.

        Args:
            speech: [S] 16 kHz mono that shall fit the lips, or None where there is none.
            features: file that gets the frames' features for pooled metrics; None leaves them out.
        """
        clip = Clip(speech, self.networks, self.options, self.device)
        return ClipPass(self._metrics, clip, features)

    def driven(self, openings: Openings | None) -> tuple[dict[str, float], dict[str, str]]:
        """Compute the metrics of a clip that another one's speech drives.

        Args:
            openings: of the mouths; None where a clip has its own speech.

        Returns:
            Values by metric, and reasons by metric without a value.
        """
        values, notes = {}, {}
        for name, metric in self._metrics.items():
            if metric.definition.needs == "driver":
                try:
                    if openings is None:
                        raise NoValue("the clip is driven by its own speech; take a cross protocol")
                    values[name] = float(metric.compute(openings))
                except NoValue as reason:
                    notes[name] = str(reason)
        return values, notes

    def pooled(self, pred: Iterable[Path], truth: Iterable[Path]) -> tuple[dict[str, float], dict[str, str], int]:
        """Compute the metrics that pool the frames of many clips.

        Args:
            pred: feature files of a candidate's clips.
            truth: feature files of the same clips' ground truth.

        Returns:
            Values by metric, reasons by metric without a value, and the number of the candidate's frames.
        """
        pools = Pools(FeaturePool(pred), FeaturePool(truth), self.options.pool_minimum)
        values, notes = {}, {}
        for name, metric in self._metrics.items():
            if metric.definition.needs == "pool":
                try:
                    values[name] = float(metric.compute(pools))
                except NoValue as reason:
                    notes[name] = str(reason)
        return values, notes, len(pools.pred)

    def ground_truth(self, clips: Callable[[], Iterable[tuple[str, Tensor]]]) -> dict[str, Any]:
        """What metrics say of the ground truth's clips among themselves, for records: a scale to read values by.

        Args:
            clips: begins to read them: speaker and landmarks [T, 68, 2] of each, aligned pixels at 256.
        """
        return {
            f"{name}_of_ground_truth": metric.ground_truth(self.networks[metric.definition.network], clips())
            for name, metric in self._metrics.items()
            if metric.ground_truth is not None
        }


def _describe(network: Any, file: str) -> dict[str, str]:  # noqa: ANN401
    """Name and fingerprint of a network: those of its file, its own, or those of its weights."""
    if file:
        return {"file": file, "sha256": store.ASSETS[file].digest}
    if hasattr(network, "describe"):
        return dict(network.describe())
    state = network.state_dict() if isinstance(network, nn.Module) else {}
    return {"class": type(network).__qualname__, "weights_sha256": weights_sha256(state)}
