"""Which frame RADIO dubs from."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.evaluation.evaluate import evaluate
from dubbench.models.radio.module import Radio
from dubbench.protocols.protocol import load
from tests.conftest import SIDE
from tests.models.conftest import small_radio
from tests.models.talkers import Seen


class Asked(Radio):
    """Keeps what it was told that it may look at."""

    def dub(
        self,
        clip: PreparedClip,
        speech: NDArray[np.float32],
        references: Sequence[int],
        *more: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> Iterator[NDArray[np.uint8]]:
        self.references = list(references)
        return super().dub(clip, speech, references, *more, **options)


class Late(Seen):
    """A clip whose first five frames show no face."""

    def detected(self, indices: Any = None) -> NDArray[np.bool_]:  # noqa: ANN401
        every = np.arange(len(self)) >= 5
        return every if indices is None else every[np.asarray(indices, np.int64)]


def test_native_is_the_first_frame(prepared: Path, tmp_path: Path) -> None:
    """4.1: one frame, the first of the clip, whatever training draws."""
    model = small_radio(Asked, size=SIDE, references=5).eval()
    rules = replace(load("native"), metrics={"psnr": 2})
    evaluate(prepared, {"radio": model}, out=tmp_path, protocol=rules, clips=["ann/two"])
    assert model.window.reference_rule == "random"
    assert model.references == [0]


def test_a_reference_without_a_face_is_refused_or_passed_over(prepared: Path) -> None:
    model, clip = small_radio().eval(), Late(prepared, "ann/two")
    for allowed in ([0], [0, 1, 2, 3]):
        with pytest.raises(DubbenchError, match=r"ann/two shows no face in .* may be looked at; .* more references"):
            model.dub(clip, clip.speech(), allowed)
    assert len(list(model.dub(clip, clip.speech(), [0, 3, 6, 7]))) == len(clip)
    assert clip.decoded == [[6]]
