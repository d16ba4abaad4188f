"""S3FD: the layout of its file, and its whole arithmetic against a slow one in float64."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from dubbench.errors import DubbenchError
from dubbench.face.s3fd import S3FD, decode, priors

FILE_BYTES = 89_844_381  # of sfd_face.pth
STEPS, SIDES = (4, 8, 16, 32, 64, 128), (16, 32, 64, 128, 256, 512)
Boxes = NDArray[np.float64]


@pytest.fixture(scope="module")
def network() -> S3FD:
    """Weights at random, each head brought to a spread with which a few priors are sure and boxes stay near them."""
    torch.manual_seed(0)
    network = S3FD()
    for name, value in network.state_dict().items():
        if value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5)
        elif name.endswith("bias"):
            value.normal_(0, 0.1)
        else:
            value *= 1 + 0.1 * torch.rand_like(value)
    outputs: dict[torch.nn.Module, Tensor] = {}
    hooks = [
        head.register_forward_hook(lambda head, _, output: outputs.update({head: output[0].flatten(1)}))
        for head in [*network.loc, *network.conf]
    ]
    network.detect(picture(480, 640))
    for hook in hooks:
        hook.remove()
    for i, (loc, conf) in enumerate(zip(network.loc, network.conf, strict=True)):
        lead = outputs[conf][-1] - outputs[conf][:-1].amax(0)
        state = {"loc": loc.state_dict(), "conf": conf.state_dict()}
        state["conf"]["bias"][-1] -= lead.mean() + float(lead.std()) * (i > 2)
        for value in state["conf"].values():
            value *= 2 / lead.std()
        for value in state["loc"].values():
            value /= outputs[loc].std()
    return network


def picture(height: int, width: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_has_the_layout_of_the_official_file() -> None:
    trunk = [(0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256), (12, 256, 256), (14, 256, 256)]
    trunk += [(17, 256, 512), (19, 512, 512), (21, 512, 512), (24, 512, 512), (26, 512, 512), (28, 512, 512)]
    kernels = {f"vgg.{i}": (after, before, 3, 3) for i, before, after in [*trunk, (31, 512, 1024)]}
    kernels["vgg.33"] = (1024, 1024, 1, 1)
    norms = {"L2Norm3_3.weight": (256,), "L2Norm4_3.weight": (512,), "L2Norm5_3.weight": (512,)}
    for i, shape in enumerate([(256, 1024, 1, 1), (512, 256, 3, 3), (128, 512, 1, 1), (256, 128, 3, 3)]):
        kernels[f"extras.{i}"] = shape
    for i, width in enumerate([256, 512, 512, 1024, 512, 256]):
        kernels[f"loc.{i}"] = (4, width, 3, 3)
        kernels[f"conf.{i}"] = (2 if i else 4, width, 3, 3)
    wanted: dict[str, tuple[int, ...]] = dict(norms)
    for name, shape in kernels.items():
        wanted |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}

    state = S3FD().state_dict()

    assert {name: tuple(value.shape) for name, value in state.items()} == wanted
    # What the file holds besides the numbers are names and shapes of 65 entries.
    assert 0 < FILE_BYTES - 4 * sum(value.numel() for value in state.values()) < 65 * 200


@pytest.mark.parametrize(("height", "width"), [(163, 207), (240, 136)])
def test_finds_what_a_slow_reference_finds(network: S3FD, height: int, width: int) -> None:
    image = picture(height, width)
    wanted = slow_detect(network.state_dict(), image)
    found = network.detect(image)
    assert 3 <= len(wanted) < 100
    np.testing.assert_allclose(np.stack(found), wanted, atol=2e-3)


def test_every_prior_has_the_score_and_box_of_the_slow_reference(network: S3FD) -> None:
    pixels = torch.from_numpy(picture(70, 150)).permute(2, 0, 1)[None] - 110.0
    boxes, scores = network(pixels)
    wanted = slow_rows(network.state_dict(), pixels.double())
    np.testing.assert_allclose(scores[0].numpy(), wanted[:, 0], atol=1e-5)
    np.testing.assert_allclose(boxes[0].numpy() * [150, 70, 150, 70], wanted[:, 1:], atol=1e-3)


def test_priors_are_squares_centred_in_their_cells() -> None:
    sizes = [(15, 20), (7, 10), (3, 5), (1, 2), (1, 1), (1, 1)]
    found = priors(60, 80, sizes).double().numpy() * [80, 60, 80, 60]
    wanted = [
        [(column + 0.5) * step, (row + 0.5) * step, side, side]
        for (rows, columns), step, side in zip(sizes, STEPS, SIDES, strict=True)
        for row in range(rows)
        for column in range(columns)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_decoding_undoes_the_encoding() -> None:
    generator = torch.Generator().manual_seed(1)
    squares = torch.rand(50, 4, generator=generator, dtype=torch.float64) + 0.1
    corner = torch.rand(50, 2, generator=generator, dtype=torch.float64)
    size = torch.rand(50, 2, generator=generator, dtype=torch.float64) + 0.1
    boxes = torch.cat([corner, corner + size], 1)
    shift = (corner + size / 2 - squares[:, :2]) / squares[:, 2:] / 0.1
    torch.testing.assert_close(decode(torch.cat([shift, (size / squares[:, 2:]).log() / 0.2], 1), squares), boxes)


def test_a_box_that_the_first_suppression_drops_drops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    network = S3FD()
    # The second overlaps both others: the first by 0.2 (second pass), the third by more than 0.3 (first pass).
    boxes = torch.tensor([[0.0, 0, 0.3, 0.3], [0.2, 0, 0.5, 0.3], [0.3, 0, 0.6, 0.3], [0.7, 0.7, 0.9, 0.9]])
    scores = torch.tensor([0.99, 0.97, 0.95, 0.9])
    monkeypatch.setattr(network, "forward", lambda _: (boxes[None], scores[None]))
    found = network.detect(picture(200, 400))
    np.testing.assert_allclose(np.stack(found), [[0, 0, 120, 60]], atol=1e-4)


def test_says_that_a_picture_is_too_small(network: S3FD) -> None:
    with pytest.raises(DubbenchError, match=r"200 x 100 .* at least 112 px"):
        network.detect(picture(100, 200))
    network.detect(picture(112, 200))


def slow_detect(state: dict[str, Tensor], image: NDArray[np.uint8]) -> Boxes:
    """The official detector step by step: BGR mean, then two suppressions in Python."""
    small = cv2.resize(image, dsize=(0, 0), fx=0.25, fy=0.25, interpolation=cv2.INTER_LINEAR)
    pixels = (small[..., ::-1].astype(np.float64) - [104, 117, 123])[..., ::-1].transpose(2, 0, 1)
    rows = slow_rows(state, torch.from_numpy(np.ascontiguousarray(pixels))[None])
    kept = slow_suppress(slow_suppress(rows[rows[:, 0] > 0.9], 0.3), 0.1)[:, 1:]
    return np.asarray(kept * ([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]] * 2), np.float64)


def slow_rows(state: dict[str, Tensor], pixels: Tensor) -> Boxes:
    """Score and box, in px of the network's input, of one prior after the other."""
    found = []
    for k, (loc, conf) in enumerate(slow_maps(state, pixels)):
        for i in range(loc.shape[1]):
            for j in range(loc.shape[2]):
                logits = conf[:, i, j].tolist()
                pair = np.array([max(logits[:3]), logits[3]] if k == 0 else logits)
                score = np.exp(pair[1] - pair.max()) / np.exp(pair - pair.max()).sum()
                shift_x, shift_y, log_w, log_h = loc[:, i, j].tolist()
                x, y = (j + 0.5) * STEPS[k] + shift_x * 0.1 * SIDES[k], (i + 0.5) * STEPS[k] + shift_y * 0.1 * SIDES[k]
                w, h = SIDES[k] * np.exp(log_w * 0.2), SIDES[k] * np.exp(log_h * 0.2)
                found.append([score, x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return np.array(found)


def slow_suppress(rows: Boxes, most: float) -> Boxes:
    kept: list[NDArray[np.float64]] = []
    for row in sorted(rows, key=lambda row: -row[0]):
        if all(overlap_of(row[1:], other[1:]) <= most for other in kept):
            kept.append(row)
    return np.array(kept)


def overlap_of(left: Boxes, right: Boxes) -> float:
    width = max(0.0, float(min(left[2], right[2]) - max(left[0], right[0])))
    height = max(0.0, float(min(left[3], right[3]) - max(left[1], right[1])))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (left, right)]
    return float(width * height / (sum(areas) - width * height))


def slow_maps(state: dict[str, Tensor], x: Tensor) -> list[tuple[Tensor, Tensor]]:
    def apply(name: str, x: Tensor, **how: int) -> Tensor:
        return conv2d(x, state[f"{name}.weight"].double(), state[f"{name}.bias"].double(), **how)

    def normed(name: str, x: Tensor) -> Tensor:
        return x / x.pow(2).sum(1, keepdim=True).sqrt() * state[f"{name}.weight"].double().view(1, -1, 1, 1)

    maps = []
    for group, ceiling in [((0, 2), False), ((5, 7), False), ((10, 12, 14), True), ((17, 19, 21), False)]:
        for i in group:
            x = apply(f"vgg.{i}", x, padding=1).relu()
        if len(group) == 3:
            maps.append(normed("L2Norm3_3" if ceiling else "L2Norm4_3", x))
        x = max_pool2d(x, 2, 2, ceil_mode=ceiling)
    for i in (24, 26, 28):
        x = apply(f"vgg.{i}", x, padding=1).relu()
    maps.append(normed("L2Norm5_3", x))
    x = apply("vgg.31", max_pool2d(x, 2, 2), padding=6, dilation=6).relu()
    maps.append(apply("vgg.33", x).relu())
    for i in (0, 2):
        x = apply(f"extras.{i}", maps[-1]).relu()
        maps.append(apply(f"extras.{i + 1}", x, stride=2, padding=1).relu())
    return [(apply(f"loc.{k}", x, padding=1)[0], apply(f"conf.{k}", x, padding=1)[0]) for k, x in enumerate(maps)]
