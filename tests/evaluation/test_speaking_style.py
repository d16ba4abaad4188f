"""StyleSim with an encoder of our own: through landmarks, in windows, in results."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dubbench.cli import main
from dubbench.errors import DubbenchError
from dubbench.evaluation.evaluate import evaluate
from dubbench.evaluation.speaking_style import StyleExpert
from dubbench.face3d.model import project
from tests.models.style_encoder.test_module import EXPRESSIONS, FRAMES, encoder, face
from tests.scored import clip_values, record, table


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder of a face model that says nothing about faces, as training would save it."""
    model = encoder()
    content: dict[str, Any] = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(content)
    path = tmp_path_factory.mktemp("style") / "style.ckpt"
    torch.save(content, path)
    return path


def landmarks(frames: int, seed: int) -> Tensor:
    """[T, 68, 2] of faces that talk and drift."""
    draw = torch.Generator().manual_seed(seed)
    time = torch.arange(frames)[:, None]
    expression = (time * 0.4 + torch.arange(EXPRESSIONS) * (seed + 1)).sin() + 0.1 * torch.randn(
        frames, EXPRESSIONS, generator=draw
    )
    pose = torch.tensor([0.0, 0.1, 0.0, 120.0, 130.0, 4.0]) + time * torch.tensor([0.0, 0.0, 0.002, 0.1, 0.0, 0.0])
    model = face()
    return project(model.vertices(torch.ones(3), expression)[:, model.landmarks], pose)[..., :2]


@pytest.mark.parametrize("frames", [5, FRAMES, FRAMES + 1, 3 * FRAMES - 2])
@pytest.mark.parametrize("piece", [1, 7, 100])
def test_windows_follow_on_each_other_and_the_last_ends_with_the_clip(
    frames: int, piece: int, checkpoint: Path
) -> None:
    expert = StyleExpert(checkpoint)
    pred, target = landmarks(frames, 1), landmarks(frames, 2)
    stream = expert.stream()
    for start in range(0, frames, piece):
        stream.add(pred[start : start + piece], target[start : start + piece])
    size = min(frames, FRAMES)
    starts = [*range(0, frames - size, size), frames - size]
    cosines = [
        functional.cosine_similarity(expert.style(pred[k : k + size]), expert.style(target[k : k + size]), dim=0)
        for k in starts
    ]
    assert stream.finish() == pytest.approx(float(torch.stack(cosines).mean()), abs=1e-12)


def test_equal_clips_agree_and_reversed_ones_do_not(checkpoint: Path) -> None:
    points = landmarks(FRAMES, 1)
    found = []
    for other in (points, points.flip(0)):
        stream = StyleExpert(checkpoint).stream()
        stream.add(points, other)
        found.append(stream.finish())
    assert found[0] == pytest.approx(1)
    assert found[1] is not None
    assert found[1] < 0.9999
    assert StyleExpert(checkpoint).stream().finish() is None


def test_spread_counts_pairs(checkpoint: Path) -> None:
    expert = StyleExpert(checkpoint)
    clips = [("ann", landmarks(20, 1)), ("ann", landmarks(20, 1)), ("bob", landmarks(20, 2)), ("bob", landmarks(1, 2))]
    spread = expert.spread(clips)
    assert spread["within_speaker"] == {"value": pytest.approx(1), "pairs": 1}
    assert spread["between_speakers"]["pairs"] == 2
    assert (spread["between_speakers"]["value"] or 1) < 0.9999
    assert expert.spread(clips[:1])["within_speaker"] == {"value": None, "pairs": 0}


def test_results_have_it_with_its_scale(
    prepared: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = evaluate(prepared, {}, out=tmp_path / "out", networks={"style_encoder": StyleExpert(checkpoint)})
    values = clip_values(out, "style_sim")
    assert all(
        float(value) == pytest.approx(1, abs=1e-3) for (row, _), value in values.items() if row == "ground_truth"
    )
    assert all(float(value) < 0.9999 for (row, _), value in values.items() if row == "copy_reference")
    assert table(out)["copy_reference", "style_sim"]["count"] == "3"
    scale = record(out)["style_sim_of_ground_truth"]
    assert (scale["within_speaker"]["pairs"], scale["between_speakers"]["pairs"]) == (1, 2)
    main(["leaderboard", str(out), "--out", str(tmp_path / "board.csv")])
    assert "style sim of ground truth's clips" in capsys.readouterr().out


def test_another_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match="there is no checkpoint"):
        StyleExpert(tmp_path / "nowhere.ckpt")
