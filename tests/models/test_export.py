"""``dubbench export``: files that onnxruntime runs as PyTorch does, or none."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from dubbench.cli import main
from dubbench.errors import DubbenchError
from dubbench.models.realtalk.options import RendererOptions
from dubbench.models.realtalk.renderer import Renderer
from dubbench.models.sync_expert.module import SyncExpert
from dubbench.training.onnx_export import export

SIZE = 32


def renderer() -> tuple[nn.Module, dict[str, Tensor], list[str]]:
    torch.manual_seed(0)
    net = Renderer(SIZE, 20, RendererOptions(widths=(16, 32), stem=8, blocks=1))
    return net, inputs(2), ["frames"]


def inputs(frames: int) -> dict[str, Tensor]:
    return {
        "masked": torch.rand(frames, 3, SIZE, SIZE) * 2 - 1,
        "reference": torch.rand(1, 3, SIZE, SIZE) * 2 - 1,
        "coefficients": torch.randn(frames, 20),
    }


def test_the_renderer_runs_elsewhere(
    expert_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(SyncExpert, "exportable", lambda self: renderer())
    out = tmp_path / "renderer.onnx"
    assert main(["export", "--ckpt_path", str(expert_checkpoint), "--out", str(out)]) == 0
    assert f"masked ['batch', 3, {SIZE}, {SIZE}], reference [1, 3, {SIZE}, {SIZE}]" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    net = renderer()[0].eval()
    for frames in (1, 2, 7):
        given = inputs(frames)
        (made,) = session.run(["frames"], {name: tensor.numpy() for name, tensor in given.items()})
        with torch.no_grad():
            np.testing.assert_allclose(made, net(**given).numpy(), rtol=0, atol=1e-4)


def test_a_model_without_one_and_wrong_names_say_so(
    expert_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for checkpoint, name, sentence in [
        (expert_checkpoint, "a.onnx", "SyncExpert has no ONNX export"),
        (expert_checkpoint, "a.pt", "a.pt does not end in .onnx"),
        (tmp_path / "no.ckpt", "a.onnx", "there is no checkpoint"),
    ]:
        assert main(["export", "--ckpt_path", str(checkpoint), "--out", str(tmp_path / name)]) == 1
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


class Noise(nn.Module):
    """Gives something else each time, so that no export equals it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Choosy(nn.Module):
    """Asks for values, which no graph knows."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(("net", "sentence"), [(Noise(), "differs from PyTorch"), (Choosy(), "cannot be exported")])
def test_what_does_not_come_out_right_leaves_no_file(net: nn.Module, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match=sentence):
        export(net, {"x": torch.ones(3, 2)}, ["y"], tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
