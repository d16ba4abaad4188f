"""The networks of metrics that one has to train, from their checkpoints."""

from pathlib import Path
from typing import Any

import torch

from dubbench.evaluation.lip_agreement import Expert
from dubbench.evaluation.speaking_style import StyleExpert


def experts(sync_expert: Path | str | None, style_encoder: Path | str | None, device: torch.device) -> dict[str, Any]:
    """Networks by the keys of `dubbench.metrics.suite.Suite`, of those that are given.

    Raises:
        DubbenchError: if a file is absent or holds another model.
    """
    found: dict[str, Any] = {}
    if sync_expert:
        found["sync_expert"] = Expert(Path(sync_expert), device)
    if style_encoder:
        found["style_encoder"] = StyleExpert(Path(style_encoder), device)
    return found
