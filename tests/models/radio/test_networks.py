"""What RADIO's generator may and may not look at."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.conftest import small_radio, windows

VARIANTS = ["A", "B", "C", "D"]


def run(model: Any, **changes: Tensor) -> Tensor:  # noqa: ANN401
    batch = windows(model.window, 2)
    inputs = {"frames": batch.frames, "references": batch.references, "mel": batch.mel, **changes}
    with torch.no_grad():
        out: Tensor = model.generator(**inputs)
    return out


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_targets_lower_half_is_hidden(variant: str) -> None:
    model = small_radio(variant=variant)
    frames = windows(model.window, 2).frames.clone()
    out = run(model)
    assert out.shape == frames.shape
    frames[..., 16:, :] = torch.rand_like(frames[..., 16:, :])
    assert torch.equal(run(model, frames=frames), out)
    frames[..., 15, :] += 1
    assert not torch.equal(run(model, frames=frames), out)


@pytest.mark.parametrize("variant", VARIANTS)
def test_speech_and_reference_both_matter_and_windows_do_not_mix(variant: str) -> None:
    model = small_radio(variant=variant)
    batch = windows(model.window, 2)
    assert batch.mel is not None
    out = run(model)
    mel, references = batch.mel.clone(), batch.references.clone()
    mel[1, 3] += 1
    heard = (run(model, mel=mel) - out).abs().amax((2, 3, 4)) > 1e-6
    assert heard.tolist() == [[False] * 5, [False, False, False, True, False]]
    references[0] = references[1]
    seen = (run(model, references=references) - out).abs().amax((2, 3, 4)) > 1e-6
    assert seen.tolist() == [[True] * 5, [False] * 5]


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_reference_for_all_frames_equals_the_same_for_each(variant: str) -> None:
    model = small_radio(variant=variant)
    repeated = windows(model.window, 2).references.expand(-1, 5, -1, -1, -1)
    torch.testing.assert_close(run(model, references=repeated), run(model), rtol=1e-4, atol=1e-5)


def test_each_frame_can_have_its_own_reference() -> None:
    model = small_radio(references=5)
    references = windows(model.window, 2).references.clone()
    out = run(model)
    references[1, 2] *= -1
    changed = (run(model, references=references) - out).abs().amax((2, 3, 4)) > 1e-6
    assert changed.tolist() == [[False] * 5, [False, False, True, False, False]]
