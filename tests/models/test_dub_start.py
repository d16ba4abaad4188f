"""Going on: for every method `dub` from a frame on gives the very frames of the whole, and draws hardly more."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.datamodules.clip import PreparedClip
from dubbench.models.base import DubbingModel
from dubbench.models.g4g import dubbing as g4g
from dubbench.models.layers.pictures import to_frames
from dubbench.models.personatalk import dubbing as personatalk
from dubbench.models.radio import module as radio
from dubbench.models.realtalk import streaming as realtalk
from dubbench.models.two_stages import TwoStageModel, TwoStages
from tests.datamodules.miniature import Clip
from tests.models import speaking_faces
from tests.models.conftest import small_radio
from tests.models.personatalk.test_module import small as small_personatalk
from tests.models.realtalk import small as small_realtalk
from tests.models.talkers import FACE, make

FRAMES = 37
# The largest batch that a method draws.
BATCHES = {small_radio: 16, small_personatalk: 8, small_realtalk.small: 4, speaking_faces.small: 4}
MODULES: dict[Any, Any] = {
    small_radio: radio,
    small_personatalk: personatalk,
    small_realtalk.small: realtalk,
    speaking_faces.small: g4g,
}


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> PreparedClip:
    """A clip with geometry."""
    return PreparedClip(make(tmp_path_factory.mktemp("talker"), [Clip("anna/one", FRAMES)]), "anna/one")


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> PreparedClip:
    """A clip whose landmarks are those of the face that it shows."""
    return PreparedClip(speaking_faces.make(tmp_path_factory.mktemp("speaker")), "anna/one")


def lively(model: DubbingModel) -> DubbingModel:
    """An untrained model that thinks it is trained, with weights large enough for every frame to look different."""
    network = cast(nn.Module, cast(Any, model).ema.module)
    if isinstance(model, TwoStageModel):
        model.held_face.adopt(FACE)
        cast(TwoStages, network).trained_stages.fill_(True)
    draw = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0, 1.5 * parameter[0].numel() ** -0.5, generator=draw)
    return model.eval()


@pytest.mark.parametrize("build", BATCHES)
def test_from_any_frame_on_it_is_the_tail_of_the_whole(
    build: Callable[[], DubbingModel], talker: PreparedClip, speaker: PreparedClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def counted(pictures: Tensor) -> NDArray[np.uint8]:
        drawn.append(len(pictures))
        return to_frames(pictures)

    monkeypatch.setattr(MODULES[build], "to_frames", counted)
    model, clip = lively(build()), speaker if build is speaking_faces.small else talker
    total, speech = len(clip), clip.speech()
    whole = np.stack(list(model.dub(clip, speech, range(total))))
    assert len(whole) == len(np.unique(whole.reshape(total, -1), axis=0)) == sum(drawn)
    for start in (0, 1, 15, 16, 23, total - 1):
        drawn.clear()
        tail = np.stack(list(model.dub(clip, speech, range(total), start=start)))
        np.testing.assert_array_equal(tail, whole[start:])
        assert sum(drawn) < total - start + BATCHES[build]
    assert list(model.dub(clip, speech, range(total), start=total)) == []
