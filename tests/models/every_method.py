"""Small models of all methods and experts, and one prepared folder that all of them can learn from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dubbench.models.base import DubbingModel
from dubbench.models.style_encoder.module import StyleEncoder
from tests.datamodules import miniature
from tests.models import speaking_faces
from tests.models.conftest import small_expert, small_radio
from tests.models.personatalk.test_module import small as small_personatalk
from tests.models.realtalk.small import small as small_realtalk
from tests.models.speaking_faces import CLIPS

JUDGED: dict[str, Any] = {"weight": 0.1, "feature_weight": 1.0}


def make(folder: Path) -> Path:
    """Clips of a drawn face that speaks, with geometry."""
    root = speaking_faces.make(folder)
    miniature.write_geometry(root, CLIPS, miniature.face_model())
    return root


def radio(expert: Path, compile: bool | str) -> DubbingModel:
    options: dict[str, Any] = {"adversarial": {**JUDGED, "r1_gamma": 0.1, "region": "mouth"}, "lip_weight": 4.0}
    return small_radio(**options, sync_expert=str(expert), sync_weight=0.1, optim={"compile": compile})


def personatalk(expert: Path, compile: bool | str) -> DubbingModel:
    return small_personatalk(adversarial=JUDGED, optim={"compile": compile, "clip": 1.0})


def realtalk(expert: Path, compile: bool | str) -> DubbingModel:
    return small_realtalk(adversarial=JUDGED, optim={"compile": compile, "clip": 1.0})


def g4g(expert: Path, compile: bool | str) -> DubbingModel:
    return speaking_faces.small(adversarial=JUDGED, optim={"compile": compile, "clip": 1.0}, moments=2)


def sync_expert(expert: Path, compile: bool | str) -> DubbingModel:
    return small_expert(compile=compile, frames=10, shift=0.1, brightness=0.1, flip=True)


def contrastive_sync_expert(expert: Path, compile: bool | str) -> DubbingModel:
    return small_expert(compile=compile, frames=10, objective="contrastive")


def style_encoder(expert: Path, compile: bool | str) -> DubbingModel:
    torch.manual_seed(0)
    return StyleEncoder(vertices=64, frames=8, gap=2, width=16, layers=1, heads=2, offset=0.5, compile=compile)


# By name: makes a model, given a sync expert's checkpoint and the backend of torch.compile.
METHODS: dict[str, Callable[[Path, bool | str], DubbingModel]] = {
    make_model.__name__: make_model
    for make_model in (radio, personatalk, realtalk, g4g, sync_expert, contrastive_sync_expert, style_encoder)
}
