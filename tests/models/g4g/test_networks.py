"""The generator: eq. 11's sampler, which inputs reach which outputs, and the ablations."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.face.crops import crop_shape, mouth_region
from dubbench.models.g4g.adaptive_affine import adaptive_affine
from dubbench.models.g4g.networks import Generator, GeneratorOutput, References
from dubbench.models.g4g.options import NetworkOptions

MOUTH = 32
HEIGHT, WIDTH = crop_shape(MOUTH)


def small(**options: Any) -> Generator:  # noqa: ANN401
    sizes: dict[str, Any] = {
        "widths": (4, 8),
        "channels": 8,
        "dim": 32,
        "hidden": 16,
        "alignment_blocks": 1,
        "decoder_blocks": 1,
        "landmark_widths": (4, 8),
        "speech_widths": (4, 4, 4, 8),
        "speech_blocks": (1, 1, 1, 1),
        "blend_widths": (4, 8, 8),
    }
    sizes |= {name: options.pop(name) for name in sizes if name in options}
    return Generator(options.pop("mouth", MOUTH), NetworkOptions(**sizes), **options).eval()


def inputs(count: int, clips: int = 1) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=draw)

    return {
        "frames": uniform(count, 3, HEIGHT, WIDTH) * 2 - 1,
        "references": uniform(clips, 15, HEIGHT, WIDTH) * 2 - 1,
        "first": uniform(clips, 1, HEIGHT, WIDTH),
        "mel": torch.randn(count, 80, 16, generator=draw),
        "mask": uniform(count, 1, HEIGHT, WIDTH),
        "maps": uniform(count, 1, HEIGHT, WIDTH),
    }


@torch.inference_mode()
def run(net: Generator, given: dict[str, Tensor], own_maps: bool = False) -> GeneratorOutput:
    references: References = net.encode_references(given["references"], given["first"])
    maps = given["maps"] if own_maps else None
    made: GeneratorOutput = net(given["frames"], references, given["mel"], given["mask"], maps)
    return made


def slow_affine(feature: Tensor, scale: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Eq. 11 in pixels counted from the middle, one output pixel after the other, in float64."""
    feature, scale, angle, shift = (t.double() for t in (feature, scale, angle, shift))
    count, channels, height, width = feature.shape
    out = torch.empty_like(feature)
    for n in range(count):
        for c in range(channels):
            turn, size = float(angle[n, c]), float(scale[n, c])
            cos, sin = torch.cos(torch.tensor(turn)).item(), torch.sin(torch.tensor(turn)).item()
            for row in range(height):
                for column in range(width):
                    x, y = column + 0.5 - width / 2, row + 0.5 - height / 2
                    u = size * (cos * x - sin * y) + float(shift[n, c, 0]) * width / 2 + width / 2 - 0.5
                    v = size * (sin * x + cos * y) + float(shift[n, c, 1]) * height / 2 + height / 2 - 0.5
                    u, v = min(max(u, 0.0), width - 1), min(max(v, 0.0), height - 1)
                    left, top = min(int(u), width - 2), min(int(v), height - 2)
                    a, b = u - left, v - top
                    square = feature[n, c, top : top + 2, left : left + 2]
                    upper, lower = (1 - a) * square[:, 0] + a * square[:, 1]
                    out[n, c, row, column] = (1 - b) * upper + b * lower
    return out


def affine_inputs(count: int, channels: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    feature = torch.rand(count, channels, height, width) * 2 - 1
    scale, angle = 1 + 0.5 * torch.randn(count, channels), 2 * torch.randn(count, channels)
    return feature, scale, angle, 0.5 * torch.randn(count, channels, 2)


@pytest.mark.parametrize(("height", "width"), [(13, 10), (6, 17)])
def test_sampler_equals_slow_reference(height: int, width: int) -> None:
    given = affine_inputs(2, 5, height, width)
    torch.testing.assert_close(adaptive_affine(*given).double(), slow_affine(*given), atol=1e-5, rtol=0)


def test_sampler_in_pieces_equals_channel_by_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [each.requires_grad_() for each in affine_inputs(2, 7, 13, 10)]
    upstream = torch.randn(2, 7, 13, 10)
    monkeypatch.setattr("dubbench.models.g4g.adaptive_affine.PIECE", 3 * 13 * 10 * 8)
    together = adaptive_affine(*given)
    apart = torch.stack([adaptive_affine(*(each[:, c : c + 1] for each in given))[:, 0] for c in range(7)], 1)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    for one, other in zip(
        torch.autograd.grad(together, given, upstream), torch.autograd.grad(apart, given, upstream), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_identity_coefficients_return_the_input() -> None:
    feature = torch.rand(2, 6, 26, 20) * 2 - 1
    one, zero = torch.ones(2, 6), torch.zeros(2, 6)
    torch.testing.assert_close(adaptive_affine(feature, one, zero, torch.zeros(2, 6, 2)), feature, atol=1e-5, rtol=0)


def test_a_quarter_turn_turns_pixels() -> None:
    feature = torch.zeros(1, 1, 9, 5)
    feature[0, 0, 4, 1:] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    one = torch.ones(1, 1)
    turned = adaptive_affine(feature, one, one * torch.pi / 2, torch.zeros(1, 1, 2))
    # GeneratorOutput (x, y) reads (-y, x): what lay right of the middle lies above it.
    torch.testing.assert_close(turned[0, 0, 2:6, 2], torch.tensor([4.0, 3.0, 2.0, 1.0]), atol=1e-5, rtol=0)


def test_gradients_of_the_sampler() -> None:
    given = [each.double().requires_grad_() for each in affine_inputs(2, 3, 5, 4)]
    assert torch.autograd.gradcheck(adaptive_affine, given)


def test_sampler_is_exact_under_autocast() -> None:
    given = [each.requires_grad_() for each in affine_inputs(2, 3, 13, 10)]
    upstream = torch.randn(2, 3, 13, 10)
    plain = adaptive_affine(*given)
    expected = torch.autograd.grad(plain, given, upstream)
    with torch.autocast("cpu", torch.bfloat16):
        made = adaptive_affine(*given)
        gradients = torch.autograd.grad(made, given, upstream)
    assert torch.equal(made, plain)
    for one, other in zip(gradients, expected, strict=True):
        assert torch.equal(one, other)


def test_what_was_occluded_does_not_reach_the_decoder() -> None:
    net, given = small(), inputs(2)
    rows, columns = mouth_region(MOUTH)
    other = {**given, "frames": given["frames"].clone()}
    other["frames"][..., rows, columns] = 0.7
    one, two = run(net, given), run(net, other)
    torch.testing.assert_close(one.scales[0], two.scales[0])
    assert (one.image - two.image).abs().max() > 1e-3  # by the composite, where G is below 1
    covered = {"mask": torch.ones_like(given["mask"])}
    torch.testing.assert_close(run(net, {**given, **covered}).image, run(net, {**other, **covered}).image)


def test_occlusion_hides_the_mouth_region_and_no_more() -> None:
    occluded = small().occlude(torch.ones(2, 3, 3, HEIGHT, WIDTH))
    assert occluded.shape == (2, 3, 3, HEIGHT, WIDTH)
    expected = torch.ones(HEIGHT, WIDTH)
    expected[16:48, 4:36] = 0
    assert torch.equal(occluded, expected.expand_as(occluded))


@pytest.mark.parametrize("changed", ["references", "first", "mel"])
def test_picture_follows_references_landmarks_and_speech(changed: str) -> None:
    net, given = small(), inputs(2)
    with torch.no_grad():
        net.deformation.coefficients.weight.mul_(50)  # it starts small
    other = {**given, changed: given[changed].flip(-1)}
    assert (run(net, given).scales[0] - run(net, other).scales[0]).abs().max() > 1e-4


def test_own_landmarks_change_the_visual_feature_alone() -> None:
    net, given = small(), inputs(3)
    dubbing, training = run(net, given), run(net, given, own_maps=True)
    torch.testing.assert_close(dubbing.image, training.image)
    torch.testing.assert_close(dubbing.speech, training.speech)
    assert (dubbing.visual - training.visual).abs().max() > 1e-3
    with torch.inference_mode():
        references = net.encode_references(given["references"], given["first"])
        aligned = net.aligned(net.occlude(given["frames"]), references, given["maps"])
        visual, speech = net.inter.see(aligned), net.inter.hear(net.audio(given["mel"]))
    torch.testing.assert_close(training.visual, visual)
    torch.testing.assert_close(training.speech, speech)
    torch.testing.assert_close(visual.norm(dim=1), torch.ones(3))


def test_clips_keep_to_their_own_references() -> None:
    net, given = small(), inputs(4, clips=2)
    both = run(net, given)
    for clip in range(2):
        own = {
            name: each[clip : clip + 1] if name in ("references", "first") else each[2 * clip : 2 * clip + 2]
            for name, each in given.items()
        }
        alone = run(net, own)
        torch.testing.assert_close(both.image[2 * clip : 2 * clip + 2], alone.image, atol=1e-5, rtol=1e-4)


def test_without_alignment_no_landmark_is_looked_at() -> None:
    net, given = small(alignment=False), inputs(2)
    other = {**given, "first": given["first"].flip(-1), "maps": given["maps"].flip(-1)}
    one, two = run(net, given, own_maps=True), run(net, other, own_maps=True)
    torch.testing.assert_close(one.image, two.image, rtol=0, atol=0)
    torch.testing.assert_close(one.visual, two.visual, rtol=0, atol=0)


def test_without_fusion_only_the_mouth_region_is_drawn() -> None:
    net, given = small(fusion=False), inputs(2)
    made = run(net, given)
    rows, columns = mouth_region(MOUTH)
    expected = given["frames"].clone()
    expected[..., rows, columns] = made.scales[0][..., rows, columns]
    assert torch.equal(made.image, expected)


def test_supervised_pictures_halve() -> None:
    made = run(small(), inputs(2))
    assert [tuple(p.shape[1:]) for p in made.scales] == [(3, HEIGHT >> k, WIDTH >> k) for k in range(3)]
    assert run(small(supervision=False), inputs(2)).scales == ()


def test_smallest_supervised_picture_is_of_the_deformed_feature_alone() -> None:
    net = small().train()
    given = inputs(1)
    frames = given["frames"].requires_grad_()
    # Aligned features move the samples; the coefficients' layer cut off, only the references are left to be seen.
    torch.nn.init.zeros_(net.deformation.coefficients.weight)
    made = net(frames, net.encode_references(given["references"], given["first"]), given["mel"], given["mask"])
    by_smallest, by_middle = (torch.autograd.grad(made.scales[k].sum(), frames, retain_graph=True)[0] for k in (2, 1))
    assert by_smallest.abs().max() == 0
    assert by_middle.abs().max() > 0


def test_all_parameters_learn() -> None:
    net, given = small().train(), inputs(4, clips=2)
    references = net.encode_references(given["references"], given["first"])
    made = net(given["frames"], references, given["mel"], given["mask"], given["maps"])
    pictures = torch.stack([each.square().mean() for each in (made.image, *made.scales)]).sum()
    agreement = (made.visual @ made.speech.T * net.inter.scale()).log_softmax(1).diagonal().sum()
    (pictures + agreement).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(DubbenchError, match=r"a mouth of 100 pixels .* multiples of 32 and 16"):
        small(mouth=100)
    with pytest.raises(DubbenchError, match="features of 24 cannot be divided"):
        small(dim=24)


def test_paper_size() -> None:
    with torch.device("meta"):
        net = Generator()
        references = net.reference_encoder(torch.zeros(1, 15, 416, 320))[0]
    assert references.shape == (1, 256, 104, 80)
    assert (net.height, net.width) == (416, 320)
