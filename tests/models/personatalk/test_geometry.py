"""PersonaTalk's geometry generator: what its parts compute, and what it may not lose."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dubbench.models.held_face import UNIT
from dubbench.models.layers.overlap import overlapping
from dubbench.models.layers.positions import positional_encoding
from dubbench.models.personatalk.geometry import (
    GeometryGenerator,
    TemplateInjection,
)

VERTICES, WIDTH = 12, 16
BASIS = torch.randn(4, VERTICES, 3, generator=torch.Generator().manual_seed(1)) * UNIT


class Speech(nn.Module):
    """Features of each frame from its own samples."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(640, WIDTH)

    def forward(self, waveform: Tensor, frames: int) -> Tensor:
        features: Tensor = self.linear(waveform.view(len(waveform), frames, 640))
        return features


def generator(style: bool = True) -> GeometryGenerator:
    torch.manual_seed(0)
    net = GeometryGenerator(VERTICES, WIDTH, 2, 4, Speech(), style).eval()
    nn.init.normal_(net.decoder.weight)
    return net


def example(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Speech of 9 frames, expression coefficients of 5 and templates of 2 speakers."""
    draw = torch.Generator().manual_seed(seed)
    waveform = torch.randn(2, 9 * 640, generator=draw)
    return (
        waveform,
        torch.randn(2, 5, len(BASIS), generator=draw),
        torch.randn(2, VERTICES, 3, generator=draw) * UNIT,
    )


@torch.no_grad()
def run(net: GeometryGenerator, waveform: Tensor, expressions: Tensor, template: Tensor) -> Tensor:
    offsets: Tensor = net(waveform, net.embed_style(expressions, BASIS), template)
    return offsets


def test_a_face_starts_as_itself() -> None:
    net = GeometryGenerator(VERTICES, WIDTH, 1, 4, Speech())
    assert not run(net, *example()).any()


@pytest.mark.parametrize("keep", [None, [[1, 0, 1, 1, 0], [0, 0, 0, 1, 0]]])
def test_style_is_mean_and_deviation_of_encoded_expressions(keep: list[list[int]] | None) -> None:
    net, (_, expressions, _) = generator(), example()
    assert net.style is not None
    mask = None if keep is None else torch.tensor(keep, dtype=torch.bool)
    weight, bias = (p.detach().numpy() for p in (net.encoder.linear.weight, net.encoder.linear.bias))
    rows = []
    for b in range(2):
        frames = expressions[b].numpy() if keep is None else expressions[b].numpy()[np.array(keep[b], bool)]
        vertices = np.einsum("te,evc->tvc", frames, BASIS.numpy())
        encoded = vertices.reshape(len(frames), -1) / UNIT @ weight.T + bias
        rows.append(np.concatenate([encoded.mean(0), encoded.std(0)]))
    with torch.no_grad():
        expected = net.style(torch.from_numpy(np.stack(rows)).float())
        made = net.embed_style(expressions, BASIS, mask)
    torch.testing.assert_close(made, expected, rtol=0, atol=2e-3)


def test_style_of_one_frame_can_be_learnt_from() -> None:
    net, (_, expressions, _) = generator(), example()
    (gradient,) = torch.autograd.grad(net.embed_style(expressions[:, :1], BASIS).sum(), [net.encoder.linear.weight])
    assert gradient.isfinite().all()
    assert gradient.any()


def test_each_frame_hears_its_own_speech_and_examples_do_not_mix() -> None:
    net, (waveform, expressions, template) = generator(), example()
    out = run(net, waveform, expressions, template)
    assert out.shape == (2, 9, VERTICES, 3)
    other = waveform.clone()
    other[1, 4 * 640 : 5 * 640] *= -1
    moved = (run(net, other, expressions, template) - out).abs().amax((2, 3))
    assert not moved[0].any()
    assert moved[1].argmax() == 4


def test_silence_leaves_the_frames_apart() -> None:
    # With the style alone as the query, as 3.1 can be read, all frames of one speech would come out alike.
    net, (waveform, expressions, template) = generator(), example()
    out = run(net, torch.zeros_like(waveform), expressions, template)
    assert (out - out[:, :1]).abs().amax((2, 3))[:, 1:].min() > 1e-4


def test_style_and_template_matter_and_without_style_only_the_template_does() -> None:
    waveform, expressions, template = example()
    for style in (True, False):
        net = generator(style)
        out = run(net, waveform, expressions, template)
        assert torch.equal(run(net, waveform, expressions * 2, template), out) is not style
        assert not torch.equal(run(net, waveform, expressions, template * 2), out)


def test_attention_over_one_template_token_is_its_projected_value() -> None:
    torch.manual_seed(0)
    layer = TemplateInjection(WIDTH)
    whole = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
    queries, template = torch.randn(2, 9, WIDTH), torch.randn(2, WIDTH)
    with torch.no_grad():
        whole.in_proj_weight[2 * WIDTH :] = layer.value.weight
        whole.in_proj_bias[2 * WIDTH :] = layer.value.bias
        whole.out_proj.load_state_dict(layer.out.state_dict())
        source = layer.norm(template)[:, None]
        attended, _ = whole(queries, source, source)
        torch.testing.assert_close(layer(queries, template), queries + attended)


def test_positions_are_those_of_the_transformer() -> None:
    made = positional_encoding(700, 8)
    expected = [
        [np.sin(t / 10_000 ** (i / 8)), np.cos(t / 10_000 ** (i / 8))] for t in range(700) for i in (0, 2, 4, 6)
    ]
    np.testing.assert_allclose(made.numpy(), np.array(expected).reshape(700, 8), atol=1e-4)


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 12, 13, 50, 51])
def test_windows_fade_into_one_another(frames: int) -> None:
    window = 8

    def make(start: int, stop: int) -> Tensor:
        """Values that tell the window and the place in it."""
        assert 0 <= start < stop <= frames
        assert stop - start == min(window, frames)
        return torch.arange(start, stop)[:, None] + torch.tensor([0.0, float(start)])

    total, weights = np.zeros((frames, 2)), np.zeros(frames)
    last = max(frames - window, 0)
    for start in sorted({*range(0, last, 4), last}):
        made = make(start, min(start + window, frames)).double().numpy()
        for k, row in enumerate(made):
            weight = min(k + 1, len(made) - k)
            total[start + k] += weight * row
            weights[start + k] += weight
    parts = list(overlapping(make, frames, window))
    assert max(len(part) for part in parts) <= window
    assert weights.min() > 0
    np.testing.assert_allclose(torch.cat(parts).numpy(), total / weights[:, None], rtol=1e-5, atol=1e-5)
    if frames <= window:
        assert torch.equal(torch.cat(parts), make(0, frames))
