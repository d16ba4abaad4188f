"""A RealTalk that is small enough for tests, and the clips that it learns from."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from dubbench.models.load import load_model
from dubbench.models.realtalk.module import RealTalk
from dubbench.models.realtalk.networks import stages_of
from tests.datamodules.miniature import Clip
from tests.models.conftest import merged

CLIPS = [Clip("anna/one", 30), Clip("anna/val", 14, "val"), Clip("bert/one", 20), Clip("bert/two", 3)]


def small(**options: Any) -> RealTalk:  # noqa: ANN401
    torch.manual_seed(0)
    values: dict[str, Any] = {
        "size": 32,
        "vertices": 64,
        "shapes": 4,
        "expressions": 3,
        "speech": "tiny",
        "transformer": {"width": 32, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.0},
        "frames": 8,
        "history": 4,
        "renderer": {"widths": [8, 8, 16, 16], "stem": 8, "blocks": 1, "heads": 4},
        "pictures": 2,
        "perceptual": "none",
        "adversarial": {"weight": 0.0, "widths": [4, 8, 8]},
        "optim": {"speech_lr": 3e-3, "lr": 3e-3, "ema_decay": 0.9},
    }
    return RealTalk(**merged(values, options))


def loaded(path: Path) -> RealTalk:
    """The model of a checkpoint, whose speech has more to say than a few batches taught it."""
    model = load_model(path)
    assert isinstance(model, RealTalk)
    nn.init.normal_(stages_of(model.ema.module).expression.head.weight, std=0.5)
    return model
