"""The computing side of the metrics' files: what stands below their definitions, imported when a metric is run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS, Definition, module_of
from dubbench.metrics.common.frames import ClipMean
from dubbench.metrics.networks.pretrained import Pretrained


@dataclass(frozen=True)
class MetricCode:
    """A metric ready to be run.

    Attributes:
        definition: what it is.
        compute: its function, see `Definition.needs`.
        networks: how networks are loaded, by key.
        mean: how frames' values become a clip's; None for their mean.
        ground_truth: takes the network and the ground truth's clips (speaker and landmarks [T, 68, 2] of each, aligned
            pixels at 256), gives what ``run.json`` says of them as the scale to read values by; None for no such thing.
    """

    definition: Definition
    compute: Callable[..., Any]
    networks: Mapping[str, Pretrained]
    mean: ClipMean | None
    ground_truth: Callable[..., Any] | None


def metric_code(name: str) -> MetricCode:
    """Import a metric's file.

    Raises:
        DubbenchError: if the file defines a metric and does not compute it.
    """
    module = import_module(module_of(name))
    compute = getattr(module, "COMPUTE", {})
    if name not in compute:
        raise DubbenchError(
            f"metric file {module.__file__} defines {name} and has no COMPUTE[{name!r}]; add the function that gives "
            "its values"
        )
    ground_truth = getattr(module, "GROUND_TRUTH", {}).get(name)
    return MetricCode(
        definition=DEFINITIONS[name],
        compute=compute[name],
        networks=getattr(module, "NETWORKS", {}),
        mean=getattr(module, "MEANS", {}).get(name),
        ground_truth=ground_truth,
    )
