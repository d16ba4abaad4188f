"""RealTalk's audio-to-expression transformer: what it computes, what it hears and sees, and what it is taught by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.cli import main
from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.datamodules.geometry import model_path, read_geometry
from dubbench.errors import DubbenchError
from dubbench.face3d.model import LinearFaceModel, project
from dubbench.models.layers.hubert import SpeechFeatures
from dubbench.models.realtalk.expression import (
    VERTEX_UNIT,
    AudioToExpression,
    expression_losses,
    padded,
    periodic_encoding,
)
from tests.face3d.models import face_model

SHAPES, EXPRESSIONS, WIDTH, HEADS, FRAMES, HISTORY = 5, 4, 16, 4, 8, 6


class Speech(nn.Module):
    """Features of each stretch of 20 ms from its own samples."""

    per_frame = 2

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(320, WIDTH)

    def forward(self, waveform: Tensor, frames: int) -> Tensor:
        features: Tensor = self.linear(waveform.view(len(waveform), 2 * frames, 320))
        return features


def network(**options: Any) -> AudioToExpression:  # noqa: ANN401
    torch.manual_seed(0)
    speech = cast(SpeechFeatures, Speech())
    net = AudioToExpression(SHAPES, EXPRESSIONS, speech, WIDTH, HEADS, 2, 2, **{"frames": FRAMES, **options}).eval()
    for parameter in net.parameters():  # torch begins with zeros and ones where a mistake would hide
        nn.init.normal_(parameter, 0, 0.5)
    return net


def example(frames: int = FRAMES, seed: int = 0) -> dict[str, Tensor]:
    """Speech, shapes and histories of 2 speakers."""
    draw = torch.Generator().manual_seed(seed)
    return {
        "waveform": torch.randn(2, frames * 640, generator=draw) * 0.2,
        "shape": torch.randn(2, SHAPES, generator=draw),
        "history": torch.randn(2, HISTORY, EXPRESSIONS, generator=draw),
    }


@torch.no_grad()
def run(net: AudioToExpression, inputs: Mapping[str, Tensor]) -> Tensor:
    made: Tensor = net(**inputs)
    return made


class Slow:
    """The transformer as eqs. 1 and 2 have it, in float64, from a network's weights."""

    def __init__(self, net: AudioToExpression) -> None:
        self.state = {name: tensor.double() for name, tensor in net.state_dict().items()}

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled: Tensor = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return torch.addcmul(self.state[f"{name}.bias"], scaled, self.state[f"{name}.weight"])

    def attend(self, name: str, queries: Tensor, source: Tensor) -> Tensor:
        weights = self.state[f"{name}.in_proj_weight"].chunk(3)
        biases = self.state[f"{name}.in_proj_bias"].chunk(3)
        q, k, v = (x @ w.T + b for x, w, b in zip((queries, source, source), weights, biases, strict=True))
        side = WIDTH // HEADS
        heads = []
        for head in range(HEADS):
            part = slice(head * side, (head + 1) * side)
            shares = (q[..., part] @ k[..., part].transpose(1, 2) / side**0.5).softmax(-1)
            heads.append(shares @ v[..., part])
        return self.linear(f"{name}.out_proj", torch.cat(heads, -1))

    def widen(self, name: str, norm: str, x: Tensor) -> Tensor:
        return x + self.linear(f"{name}.linear2", F.gelu(self.linear(f"{name}.linear1", self.norm(norm, x))))

    def __call__(self, waveform: Tensor, shape: Tensor, history: Tensor) -> Tensor:
        waveform, shape, history = waveform.double(), shape.double(), history.double()
        frames = waveform.shape[1] // 640
        speech = self.linear("speech.linear", waveform.view(len(waveform), -1, 320))
        memory = torch.cat([speech, self.linear("shape", shape)[:, None], self.linear("history", history)], 1)
        memory = memory + torch.stack([place(k % (2 * FRAMES)) for k in range(memory.shape[1])])
        for layer in ("encoder.0", "encoder.1"):
            seen = self.norm(f"{layer}.norm1", memory)
            memory = self.widen(layer, f"{layer}.norm2", memory + self.attend(f"{layer}.self_attn", seen, seen))
        memory = self.norm("memory_norm", memory)
        queries = torch.stack([place(2 * t % (2 * FRAMES)) for t in range(frames)]).expand(len(memory), -1, -1)
        for layer in ("decoder.0", "decoder.1"):
            seen = self.norm(f"{layer}.norm1", queries)
            queries = queries + self.attend(f"{layer}.self_attn", seen, seen)
            seen = self.norm(f"{layer}.norm2", queries)
            queries = queries + self.attend(f"{layer}.multihead_attn", seen, memory)
            queries = self.widen(layer, f"{layer}.norm3", queries)
        return self.linear("head", self.norm("norm", queries))


def place(position: int) -> Tensor:
    """Vaswani et al. 2017, 3.5."""
    angles = [position / 10_000 ** (i / WIDTH) for i in range(0, WIDTH, 2)]
    return torch.tensor([f(angle) for angle in angles for f in (np.sin, np.cos)], dtype=torch.float64)


@pytest.mark.parametrize("frames", [1, FRAMES, FRAMES + 3])
def test_equals_the_equations(frames: int) -> None:
    net, inputs = network(), example(frames)
    made = run(net, inputs)
    assert made.shape == (2, frames, EXPRESSIONS)
    torch.testing.assert_close(made.double(), Slow(net)(**inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("shape", "history"), [(True, True), (True, False), (False, True), (False, False)])
def test_what_is_given_matters_and_what_is_left_out_does_not(shape: bool, history: bool) -> None:
    net, inputs = network(shape=shape, history=history), example()
    made = run(net, inputs)
    for name, matters in (("waveform", True), ("shape", shape), ("history", history)):
        other = inputs[name].clone()
        other[1] = -other[1]
        changed = (run(net, {**inputs, name: other}) - made).abs().amax((1, 2))
        assert changed[0] < 1e-5
        assert (changed[1] > 1e-2) == matters


@pytest.mark.parametrize(
    ("shape", "history", "tokens"), [(True, True, 49), (True, False, 33), (False, True, 48), (False, False, 32)]
)
def test_the_papers_numbers_of_tokens(shape: bool, history: bool, tokens: int) -> None:
    speech = SpeechFeatures("tiny", WIDTH, per_frame=2)
    net = AudioToExpression(SHAPES, EXPRESSIONS, speech, WIDTH, HEADS, 1, 1, shape=shape, history=history).eval()
    seen = []
    net.encoder[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    made = net(torch.randn(2, 16 * 640), torch.randn(2, SHAPES), torch.randn(2, 16, EXPRESSIONS))
    assert seen == [(2, tokens, WIDTH)]
    assert made.shape == (2, 16, EXPRESSIONS)


def test_history_has_any_length_and_an_order() -> None:
    # 3.1 gives every token its place, so that the order is seen; that it means nothing is for training to show.
    net, inputs = network(), example()
    made = run(net, inputs)
    assert run(net, {**inputs, "history": inputs["history"][:, :1]}).shape == made.shape
    assert (run(net, {**inputs, "history": inputs["history"].flip(1)}) - made).abs().max() > 1e-2


def test_frames_of_one_sound_are_told_apart_within_a_training_window_and_recur_after_it() -> None:
    # With queries of zeros alone, as 3.1 can be read, all frames would come out alike.
    net = network(shape=False, history=False)
    inputs = {**example(2 * FRAMES), "waveform": torch.full((2, 2 * FRAMES * 640), 0.1)}
    made = run(net, inputs)
    torch.testing.assert_close(made[:, FRAMES:], made[:, :FRAMES], rtol=1e-4, atol=1e-4)
    apart = torch.cdist(made[0, :FRAMES], made[0, :FRAMES]) + torch.eye(FRAMES)
    assert apart.min() > 1e-2


def test_periodic_positions_begin_anew() -> None:
    made = periodic_encoding(50, WIDTH, 32)
    np.testing.assert_allclose(made, torch.stack([place(k % 32) for k in range(50)]), atol=1e-5)
    np.testing.assert_allclose(periodic_encoding(7, WIDTH, 32), made[:7])


def test_absent_coefficients_are_zeros_and_their_weights_rest() -> None:
    net, inputs = network(), example()
    fewer = {**inputs, "shape": inputs["shape"][:, :3], "history": inputs["history"][..., :2]}
    filled = {name: tensor.clone() for name, tensor in inputs.items()}
    filled["shape"][:, 3:] = 0
    filled["history"][..., 2:] = 0
    made = run(net, fewer)
    assert torch.equal(made, run(net, filled))
    assert not torch.equal(made, run(net, inputs))
    assert net.shape is not None
    assert net.history is not None
    with torch.no_grad():
        net.shape.weight[:, 3:] += 1
        net.history.weight[:, 2:] += 1
    assert torch.equal(made, run(net, fewer))


def test_more_coefficients_than_the_network_takes_are_told() -> None:
    assert padded(torch.ones(2, 3), 5).tolist() == [[1, 1, 1, 0, 0]] * 2
    with pytest.raises(DubbenchError, match=r"has 6 coefficients where the network takes 5; give --model\.shapes"):
        run(network(), {**example(), "shape": torch.zeros(2, SHAPES + 1)})


@pytest.mark.parametrize("extra", [0, 3])
def test_losses_are_those_of_the_equations_and_of_what_the_face_model_has(extra: int) -> None:
    face, draw = face_model(), torch.Generator().manual_seed(1)
    shapes, expressions = face.sizes[1:]
    made = torch.randn(2, 5, expressions + extra, generator=draw).requires_grad_()
    truth, shape = torch.randn(2, 5, expressions, generator=draw), torch.randn(2, 5, shapes, generator=draw)
    pose = torch.randn(2, 5, 6, generator=draw) + torch.tensor([0, 0, 0, 120, 130, 3.0])
    found = expression_losses(face, made, padded(truth, expressions + extra))
    kept = made[..., :expressions].detach().double()
    face, truth, shape, pose = face.double(), truth.double(), shape.double(), pose.double()
    plain, posed = 0.0, 0.0
    for row in range(2):
        for t in range(5):
            pair = [face.vertices(shape[row, t], e[row, t])[20:30] for e in (truth, kept)]
            plain += float((pair[0] - pair[1]).square().sum()) / 10
            first, second = (project(vertices, pose[row, t]) for vertices in pair)
            posed += float((first - second).square().sum() / (2 * pose[row, t, 5]).exp()) / 10
    assert plain == pytest.approx(posed, rel=1e-9)
    # In units of 0.05, and as if the region had 80 vertices and not 10.
    assert found["vertices"].item() == pytest.approx(plain / 0.05**2 * 8, rel=1e-5)
    assert found["expression"].item() == pytest.approx(float((kept - truth).square().sum()) / 10, rel=1e-5)
    (gradient,) = torch.autograd.grad(found["expression"] + found["vertices"], [made])
    assert gradient[..., :expressions].all()
    assert not gradient[..., expressions:].any()


def test_one_vertex_term_weighs_what_one_unit_of_each_point_weighs() -> None:
    """All lips moved by `VERTEX_UNIT` along one axis: 80 points of one square unit each."""
    face = face_model()
    face.expression_basis[0] = 0
    face.expression_basis[0, face.regions["lips"], 1] = VERTEX_UNIT / 2
    made = torch.zeros(1, 1, face.sizes[2])
    made[..., 0] = 2
    found = expression_losses(face, made, torch.zeros_like(made))
    assert found["vertices"].item() == pytest.approx(80, rel=1e-5)
    assert found["expression"].item() == pytest.approx(4, rel=1e-5)


def test_the_vertex_term_does_not_outweigh_the_coefficients_on_filmed_speech(shared: Path, tmp_path: Path) -> None:
    """Clips of GRID, the error that of predicting their mean: 0.1 of eq. 4 is about as much as eq. 3."""
    options = ("--size", "128", "--limit", "3", "--geometry", "mesh", "--quiet")
    root = tmp_path / "grid"
    places = ("--root", str(shared / "data" / "grid"), "--out", str(root))
    assert main(["prepare", "--dataset", "grid", *places, *options]) == 0
    face = LinearFaceModel.load(model_path(root, "mesh"))
    ratios = []
    for name in read_manifest(root)["clip"]:
        rows = read_geometry(PreparedClip(root, name), face.hash()).rows("expression")
        truth = torch.from_numpy(rows)[None]
        found = expression_losses(face, truth.mean(1, keepdim=True).expand_as(truth), truth)
        ratios.append(0.1 * float(found["vertices"] / found["expression"]))
    assert len(ratios) == 3
    assert 0.3 < min(ratios) <= max(ratios) < 1.5


def test_losses_keep_their_precision_under_autocast() -> None:
    face = face_model()
    made, truth = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    expected = expression_losses(face, made, truth)
    with torch.autocast("cpu", torch.bfloat16):
        found = expression_losses(face, made, truth)
    assert found == expected


def test_learns_expressions_by_heart() -> None:
    torch.manual_seed(0)
    speech = SpeechFeatures("tiny", 32, per_frame=2)
    net = AudioToExpression(SHAPES, EXPRESSIONS, speech, 32, 4, 1, 1, frames=FRAMES, dropout=0.0)
    inputs, truth = example(), torch.randn(2, FRAMES, EXPRESSIONS)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        loss = expression_losses(face_model(), net(**inputs), truth)["expression"]
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]
