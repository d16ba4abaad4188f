"""RealTalk's renderer: its sizes, what its parts compute, and what may not mix."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.errors import DubbenchError
from dubbench.models.realtalk.alignment import ReferenceAttention, ReferenceDeformation, ReferenceFlow
from dubbench.models.realtalk.options import RendererOptions
from dubbench.models.realtalk.renderer import AdaIN, FacialIdentityAlignment, Renderer, blend

SIZE, COEFFICIENTS = 32, 20
KINDS = ("attention", "flow", "deformation")
TABLE_7 = [
    ({"blocks": 1}, 52.53),
    ({"blocks": 2}, 69.24),
    ({"blocks": 3}, 85.96),
    ({"alignment": "flow"}, 82.94),
    ({"alignment": "deformation"}, 98.79),
]


def built(**options: Any) -> Renderer:  # noqa: ANN401
    """A renderer of options of both kinds: its own, and those of its networks."""
    own = {name: options.pop(name) for name in ("size", "coefficients", "mlp") if name in options}
    return Renderer(options=RendererOptions(**options), **own)


def small(**options: Any) -> Renderer:  # noqa: ANN401
    """A narrow renderer whose reference modules start from no zeros."""
    torch.manual_seed(0)
    net = built(size=SIZE, coefficients=COEFFICIENTS, **{"widths": (24, 48, 96, 128), "stem": 16, **options})
    for name, parameter in net.named_parameters():
        if name.endswith(("flow.weight", "offsets.weight")):
            nn.init.normal_(parameter, std=0.02)
    return net


def example(frames: int = 4, references: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    masked = torch.rand(frames, 3, SIZE, SIZE, generator=draw) * 2 - 1
    reference = torch.rand(references, 3, SIZE, SIZE, generator=draw) * 2 - 1
    return masked, reference, torch.randn(frames, COEFFICIENTS, generator=draw)


@pytest.mark.parametrize(("options", "millions"), TABLE_7)
def test_sizes_are_those_of_table_7(options: dict[str, Any], millions: float) -> None:
    with torch.device("meta"):
        net = built(**options)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_drawing_from_kept_features_is_drawing_from_pictures(kind: str) -> None:
    net, (masked, reference, coefficients) = small(alignment=kind).eval(), example()
    batches = []
    net.encoder.register_forward_hook(lambda module, images, features: batches.append(len(images[0])))
    whole = net(masked, reference, coefficients)
    assert batches == [6]  # eq. 6: sources and references as one batch
    features = net.encode_reference(reference)
    torch.testing.assert_close(net.draw(masked, features, coefficients), whole, rtol=0, atol=1e-5)
    # Each reference serves the neighbours that follow one another.
    repeated = net(masked, reference.repeat_interleave(2, 0), coefficients)
    torch.testing.assert_close(repeated, whole, rtol=0, atol=1e-5)
    swapped = net(masked, reference.flip(0), coefficients)
    assert not torch.allclose(swapped, whole, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_frames_do_not_mix_and_each_input_counts(kind: str) -> None:
    net, inputs = small(alignment=kind).eval(), example(4, 4)
    drawn = net(*inputs)
    assert drawn.shape == (4, 3, SIZE, SIZE)
    assert drawn.abs().max() < 1
    for number in range(3):
        changed = [x.clone() for x in inputs]
        changed[number][2] = changed[number][1]
        moved = (net(*changed) - drawn).abs().amax((1, 2, 3))
        assert moved[2] > 1e-3
        assert moved[[0, 1, 3]].max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind: str) -> None:
    net, inputs = small(alignment=kind), example()
    net(*inputs).square().sum().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@torch.no_grad()
def test_the_reference_is_looked_at_at_a_sixteenth_and_an_eighth() -> None:
    flow = small(alignment="flow")
    _, reference, _ = example()
    assert [feature.shape[1:] for feature in flow.encode_reference(reference)] == [(128, 2, 2), (96, 4, 4)]
    keys = small().encode_reference(reference)
    assert [feature.shape for feature in keys] == [(2, 2, 8, 4, 16), (2, 2, 8, 16, 12)]


@torch.no_grad()
def test_modulation_sets_mean_and_deviation_by_a_three_layer_mlp() -> None:
    net = AdaIN(COEFFICIENTS, 8, 6).double()
    x, coefficients = torch.randn(2, 6, 5, 5).double() * 3 + 7, torch.randn(2, COEFFICIENTS).double()
    linears = [layer for layer in net.mlp if isinstance(layer, nn.Linear)]
    assert len(linears) == 3
    hidden = coefficients.numpy()
    for i, linear in enumerate(linears):
        hidden = hidden @ linear.weight.numpy().T + linear.bias.numpy()
        hidden = hidden / (1 + np.exp(-hidden)) if i < 2 else hidden
    out = net(x, coefficients).numpy()
    np.testing.assert_allclose(out.mean((2, 3)), hidden[:, 6:], atol=1e-9)
    np.testing.assert_allclose(out.std((2, 3)), np.abs(1 + hidden[:, :6]), rtol=1e-5)


@torch.no_grad()
def test_modulation_leaves_the_sources_colours() -> None:
    net = FacialIdentityAlignment(6, COEFFICIENTS, 8, 0, None)
    x, source, coefficients = torch.randn(2, 6, 4, 4), torch.randn(2, 6, 4, 4) + 5, torch.randn(2, COEFFICIENTS)
    plain = net(x, torch.zeros_like(x), coefficients, None)
    torch.testing.assert_close(net(x, source, coefficients, None), plain + source)
    assert plain.mean((2, 3)).allclose(net(x + 5, torch.zeros_like(x), coefficients, None).mean((2, 3)), atol=1e-4)


@torch.no_grad()
def test_attention_is_what_the_formula_gives() -> None:
    side, channels, heads = 3, 16, 4
    torch.manual_seed(0)
    net = ReferenceAttention(channels, side, heads).double()
    x, reference = torch.randn(4, channels, side, side).double(), torch.randn(2, channels, side, side).double()
    places = np.zeros((side, side, channels))
    for row in range(side):
        for column in range(side):
            for k in range(channels // 4):
                angle = 10_000 ** (-2 * k / (channels // 2))
                places[row, column, 2 * k : 2 * k + 2] = np.sin(row * angle), np.cos(row * angle)
                half = channels // 2 + 2 * k
                places[row, column, half : half + 2] = np.sin(column * angle), np.cos(column * angle)
    positions = places.reshape(-1, channels)

    def normal(feature: Tensor) -> Any:  # noqa: ANN401
        tokens = feature.numpy().reshape(channels, -1).T
        return (tokens - tokens.mean(1, keepdims=True)) / np.sqrt(tokens.var(1, keepdims=True) + 1e-5)

    def linear(layer: nn.Linear, tokens: Any) -> Any:  # noqa: ANN401
        return tokens @ layer.weight.numpy().T + layer.bias.numpy()

    out = net(x, net.prepare(reference))
    for n in range(4):
        own = normal(reference[n // 2])
        q = linear(net.query, normal(x[n]) + positions)
        k, v = linear(net.key, own + positions), linear(net.value, own)
        attended = []
        for h in range(heads):
            part = slice(4 * h, 4 * h + 4)
            weights = np.exp(q[:, part] @ k[:, part].T / math.sqrt(4))
            attended.append(weights / weights.sum(1, keepdims=True) @ v[:, part])
        expected = x[n].numpy() + linear(net.out, np.concatenate(attended, 1)).T.reshape(channels, side, side)
        # Positions are kept in single precision.
        np.testing.assert_allclose(out[n].numpy(), expected, atol=1e-6)


@torch.no_grad()
def test_flow_moves_the_reference() -> None:
    side, channels = 6, 4
    net = ReferenceFlow(channels, side)
    net.out.weight[:] = torch.eye(channels)[..., None, None]
    assert net.out.bias is not None
    assert net.flow.bias is not None
    nn.init.zeros_(net.out.bias)
    x, reference = torch.randn(2, channels, side, side), torch.randn(1, channels, side, side)
    # Nothing is learnt yet: the same place of the reference.
    torch.testing.assert_close(net(x, net.prepare(reference)), x + reference)
    # A whole side is 2, so this is two columns to the right and one row up.
    net.flow.bias.copy_(torch.tensor([2 * 2 / side, -1 * 2 / side]))
    added = net(x, reference) - x
    torch.testing.assert_close(added[:, :, 1:, :-2], reference[:, :, :-1, 2:].expand(2, -1, -1, -1), atol=1e-5, rtol=0)


@torch.no_grad()
def test_deformation_without_offsets_is_half_a_convolution_and_with_them_moves() -> None:
    side, channels = 6, 8
    net = ReferenceDeformation(channels)
    assert net.offsets.bias is not None
    x, reference = torch.randn(2, channels, side, side), torch.randn(1, channels, side, side)
    plain = F.conv2d(reference, net.convolution.weight / 2, net.convolution.bias, padding=1)
    torch.testing.assert_close(net(x, net.prepare(reference)) - x, plain.expand(2, -1, -1, -1), atol=1e-5, rtol=0)
    # torchvision's offsets come as y, x of each tap; this looks one row further down at all of them.
    net.offsets.bias[: 2 * 9 * 8 : 2] = 1
    added = net(x, reference) - x
    torch.testing.assert_close(added[:, :, 1:-2, :], plain[:, :, 2:-1, :].expand(2, -1, -1, -1), atol=1e-5, rtol=0)


def test_blending_keeps_the_source_where_the_mask_is_one() -> None:
    source, drawn = torch.tensor([[[[1.0, 2, 3]]]]), torch.tensor([[[[10.0, 20, 30]]]])
    assert blend(source, drawn, torch.tensor([[[[1.0, 0, 0.5]]]])).flatten().tolist() == [1, 20, 16.5]


@torch.no_grad()
def test_memory_layout_and_precision_do_not_matter() -> None:
    net, (masked, reference, coefficients) = small().eval(), example()
    drawn = net(masked, reference, coefficients)
    last = small().eval().to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(masked, reference, coefficients), drawn, rtol=0, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(masked, reference, coefficients).float()
    assert (half - drawn).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 40}, "4 stages draws no frames of 40 pixels; give a multiple of 16"),
        ({"size": 0}, "no frames of 0 pixels"),
        ({"widths": (16,)}, "1 stages"),
        ({"heads": 7}, "do not split among 7 heads"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DubbenchError, match=message), torch.device("meta"):
        built(**options)
