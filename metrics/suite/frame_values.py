"""Metrics with a value a frame."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from dubbench.metrics.common.frames import Frames
from dubbench.metrics.suite.code import MetricCode, metric_code

OF_FRAMES = ("pixels", "landmarks", "crops", "faces")


def score(frames: Frames, names: Iterable[str], networks: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """Compute those of the named metrics that have a value a frame.

    Args:
        frames: a candidate's frames.
        names: of `DEFINITIONS`; those that follow clips or splits are passed over.
        networks: by key, for the metrics that need one.

    Returns:
        By name, float64 values: [N] for pixels and crops, else one for each frame that has what is needed.
    """
    return frame_values(frames, [metric_code(name) for name in names], networks or {})


def frame_values(frames: Frames, metrics: Iterable[MetricCode], networks: Mapping[str, Any]) -> dict[str, Tensor]:
    """`score` with metrics that are at hand, as a clip's pass has them for all its frames."""
    chosen = [metric for metric in metrics if metric.definition.needs in OF_FRAMES]
    portions = frames.pixels() if any(metric.definition.needs == "pixels" for metric in chosen) else []
    found: dict[str, Tensor] = {}
    for metric in chosen:
        needs, name = metric.definition.needs, metric.definition.name
        if needs == "pixels":
            found[name] = torch.cat([metric.compute(portion) for portion in portions])
        elif needs == "landmarks":
            found[name] = metric.compute(*frames.pairs)
        else:
            found[name] = metric.compute(frames, networks.get(metric.definition.network))
    return found
