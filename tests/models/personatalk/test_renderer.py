"""PersonaTalk's renderer against eq. 3 and 4 written out."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dubbench.models.personatalk.renderer import DualAttentionRenderer, TextureAttention, Tokens, sinusoids

SIZE, CHANNELS, FACES, LIPS = 32, 16, 2, 3
MEMORY = """
from pathlib import Path
import torch
from torch import rand
from dubbench.models.personatalk.renderer import DualAttentionRenderer

def peak():
    # Of this program alone: getrusage counts what the process held before it became another program.
    return Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]

with torch.inference_mode():
    net, lips = DualAttentionRenderer(256, 32), torch.zeros(25, 1, 256, 256)
    lips[:, :, 150:210, 80:176] = 1
    encoded = [net.encode(rand(5, 3, 256, 256), rand(5, 3, 256, 256)) for _ in range(5)]
    geometry, texture = (torch.cat(part)[None] for part in zip(*encoded))
    source = net.lip_source(geometry, texture, lips[None])
    assert source.keys.shape[1] > 25 * 300
    near = net.face_source(geometry[:, :5], texture[:, :5])
    before = peak()
    net.render(rand(1, 3, 256, 256), lips[:1], near, source)
print(before, peak())
"""


def example(seed: int = 0, pictures: int = 2) -> dict[str, Tensor]:
    """Two examples whose lips lie elsewhere in each frame."""
    draw = torch.Generator().manual_seed(seed)
    count = pictures + FACES + LIPS
    lips = torch.zeros(2, count, 1, SIZE, SIZE)
    for b in range(2):
        for n in range(count):
            top, left = 12 + 2 * ((b + n) % 4), 6 + 3 * (n % 3)
            lips[b, n, :, top : top + 8 - n % 2, left : left + 12 + b] = 1
    images = torch.rand(2, count, 6, SIZE, SIZE, generator=draw)
    return {
        "pncc": images[:, :pictures, :3],
        "lips": lips[:, :pictures],
        "references": images[:, pictures:, 3:] * 2 - 1,
        "reference_pncc": images[:, pictures:, :3],
        "reference_lips": lips[:, pictures:],
    }


def renderer(**options: bool) -> DualAttentionRenderer:
    torch.manual_seed(0)
    net = DualAttentionRenderer(SIZE, CHANNELS, **options)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def written_out(layer: TextureAttention, geometry: Tensor, keys: Tensor, values: Tensor, keep: Tensor) -> Tensor:
    """Eq. 3 of one target [C, h, w] over references [R, C, h, w], of which the tokens ``keep`` [R, h, w] are seen."""
    q = layer.query(geometry.flatten(1).T + layer.query_positions)
    k = torch.cat([layer.key(reference.flatten(1).T + layer.key_positions) for reference in keys])[keep.flatten()]
    v = torch.cat([reference.flatten(1).T for reference in values])[keep.flatten()]
    scores = (q.double() @ k.double().T) / math.sqrt(CHANNELS)
    sampled: Tensor = scores.softmax(1) @ v.double()
    return sampled.to(v).T.reshape(geometry.shape)


def slow(net: DualAttentionRenderer, data: dict[str, Tensor]) -> Tensor:
    """The renderer, a picture at a time and with whole score matrices."""

    def tokens(mask: Tensor) -> Tensor:
        return mask[:, 0].reshape(len(mask), SIZE // 4, 4, SIZE // 4, 4).amax((2, 4)) > 0

    rows = []
    for b in range(2):
        keys, values = net.geometry_encoder(data["reference_pncc"][b]), net.texture_encoder(data["references"][b])
        inside = tokens(data["reference_lips"][b])
        for p in range(data["pncc"].shape[1]):
            pncc = data["pncc"][b, p]
            geometry = net.geometry_encoder(pncc[None])[0]
            everywhere = torch.ones_like(inside)
            parts = []
            if net.lip:
                keep = (inside if net.face else everywhere)[FACES:]
                parts.append(written_out(net.lip, geometry, keys[FACES:], values[FACES:], keep))
            if net.face:
                keep = everywhere[:FACES]
                parts.append(written_out(net.face, geometry, keys[:FACES], values[:FACES], keep))
            mask = tokens(data["lips"][b, p, None])[0]
            fused = parts[0] * mask + parts[1] * ~mask if len(parts) == 2 else parts[0]
            rows.append(net.decoder(fused[None], pncc[None])[0])
    return torch.stack(rows).view(data["pncc"].shape)


@pytest.mark.parametrize("options", [{}, {"face_attention": False}, {"lip_attention": False}])
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_the_equations_written_out(options: dict[str, bool], kind: torch.dtype, tolerance: float) -> None:
    net = renderer(**options).to(kind)
    data = {name: value.to(kind) for name, value in example().items()}
    with torch.no_grad():
        made, expected = net(**data, face_references=FACES), slow(net, data)
    spread = float(expected.std())
    assert spread > 0.05
    torch.testing.assert_close(made / spread, expected / spread, rtol=0, atol=tolerance)


def test_gradients_equal_those_of_the_equations() -> None:
    net, data = renderer(), example()
    weights = torch.randn(data["pncc"].shape, generator=torch.Generator().manual_seed(1))
    gradients = []
    for made in (net(**data, face_references=FACES), slow(net, data)):
        gradients.append(torch.autograd.grad((weights * made).sum(), list(net.parameters())))
    for (name, _), fast, naive in zip(net.named_parameters(), *gradients, strict=True):
        assert naive.abs().max() > 0, f"{name} learns nothing"
        torch.testing.assert_close(fast, naive, rtol=1e-3, atol=1e-4 * float(naive.abs().max()), msg=name)


def test_what_each_attention_may_look_at() -> None:
    net, data = renderer(), example(pictures=1)

    def changed(name: str, where: tuple[slice | int, ...]) -> Tensor:
        """Tokens of the first example's latent that change with a part of an input."""
        latents: list[Tensor] = []
        handle = net.decoder.register_forward_pre_hook(lambda m, inputs: latents.append(inputs[0]))
        with torch.no_grad():
            net(**data, face_references=FACES)
            other = data[name].clone()
            other[where] = other[where].flip(-1) + 0.1
            net(**{**data, name: other}, face_references=FACES)
        handle.remove()
        return ((latents[0] - latents[1]).abs().amax(1) > 1e-6)[0]

    inside = torch.nn.functional.max_pool2d(data["lips"][0], 4)[0, 0] > 0
    assert torch.equal(changed("references", (0, slice(0, FACES))), ~inside)
    assert torch.equal(changed("references", (0, slice(FACES, None))), inside)
    # What a lip reference shows far away from its lips is not looked at.
    assert not changed("references", (0, slice(FACES, None), slice(None), slice(0, 6))).any()
    assert not changed("references", (1,)).any()


def test_frames_without_lips_are_drawn() -> None:
    net = renderer().double()
    data = {name: value.double() for name, value in example().items()}
    without = {**data, "lips": torch.zeros_like(data["lips"])}
    with torch.no_grad():
        torch.testing.assert_close(net(**without, face_references=FACES), slow(net, without))
        hidden = {**data, "reference_lips": torch.zeros_like(data["reference_lips"])}
        shown = {**data, "reference_lips": torch.ones_like(data["reference_lips"])}
        made = net(**hidden, face_references=FACES)
        assert made.isfinite().all()
        torch.testing.assert_close(made, net(**shown, face_references=FACES))


def test_training_starts_from_the_same_place_of_the_references() -> None:
    layer = TextureAttention(32, 12)
    place = torch.eye(144)[None]
    with torch.no_grad():
        nothing = torch.zeros(1, 144, 32)
        found = layer(layer.queries(nothing), Tokens(layer.keys(nothing), place))[0]
    assert (found.argmax(1) == torch.arange(144)).all()
    # Neighbours share the attention, and nothing comes from far away.
    assert found.diagonal().min() > 0.5
    grid = torch.stack(torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij"), -1).view(-1, 2)
    far = (grid[:, None] - grid).abs().amax(-1) > 3
    assert (found * far).sum(1).max() < 0.01


@pytest.mark.parametrize(("channels", "side"), [(32, 8), (64, 32), (130, 64)])
def test_positions_peak_at_themselves(channels: int, side: int) -> None:
    positions = sinusoids(channels, side)
    scores = positions @ positions.T / math.sqrt(channels)
    assert scores.shape == (side**2, side**2)
    torch.testing.assert_close(scores.diagonal(), torch.full((side**2,), 25.0))
    assert (scores.argmax(1) == torch.arange(side**2)).all()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux, whose /proc tells a peak of memory")
def test_the_papers_size_with_25_lip_references_needs_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=100)
    assert not done.returncode, done.stderr
    before, after = (int(kilobytes) / 2**20 for kilobytes in done.stdout.split())
    # One frame's scores over 5 x 4096 face tokens alone are 0.31 GiB, and over the lips of 25 frames as much again.
    assert after - before < 0.15
    assert after < 1.5
