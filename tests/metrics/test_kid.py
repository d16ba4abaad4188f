from collections.abc import Iterable
from itertools import permutations, product
from statistics import fmean

import pytest
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from dubbench.errors import DubbenchError
from dubbench.metrics import KID, FeatureSample, image_keys, kernel_distance


def features(count: int, width: int, seed: int) -> Tensor:
    return torch.rand(count, width, generator=torch.Generator().manual_seed(seed)) ** (1 + seed)


@pytest.mark.parametrize("count", [2, 40, 700])
def test_torchmetrics_on_equal_counts(count: int) -> None:
    """Seven hundred need more than one block of the kernel matrix."""
    first, second = features(count, 24, 0), features(count, 24, 1)
    expected = float(poly_mmd(first.double(), second.double()))
    assert kernel_distance(first, second) == pytest.approx(expected, rel=1e-9)
    assert kernel_distance(second, first) == pytest.approx(expected, rel=1e-9)


def test_the_definition_on_unequal_counts() -> None:
    first, second = features(5, 3, 0).double(), features(7, 3, 1).double()

    def mean(pairs: Iterable[tuple[Tensor, ...]]) -> float:
        return fmean(float((x @ y / 3 + 1) ** 3) for x, y in pairs)

    inside = mean(permutations(first, 2)) + mean(permutations(second, 2))
    expected = inside - 2 * mean(product(first, second))
    assert kernel_distance(first, second) == pytest.approx(expected, rel=1e-11)


def test_unbiased_around_zero() -> None:
    """Samples of one distribution: estimates on both sides of zero, whose mean lies within three of its errors."""
    pairs = torch.rand(200, 2, 30, 8, generator=torch.Generator().manual_seed(1))
    values = torch.tensor([kernel_distance(*pair) for pair in pairs])
    assert values.min() < 0 < values.max()
    assert abs(float(values.mean())) < 3 * float(values.std()) / 200**0.5


def flat(images: Tensor) -> Tensor:
    """Cheap features [N, 12]: means over quadrants of each channel."""
    values = images / 255 if images.dtype == torch.uint8 else images.float()
    return torch.nn.functional.adaptive_avg_pool2d(values, 2).flatten(1)


def frames(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(count, 3, 1, 1, generator=generator) * 150
    return (level + torch.rand(count, 3, 13, 17, generator=generator) * (60 + seed * 30)).to(torch.uint8)


def test_all_frames_count_below_the_sample() -> None:
    pred, target = frames(30, 0), frames(21, 1)
    metric = KID(flat, sample=30)
    metric.update(pred, target)
    assert float(metric.compute()) == pytest.approx(kernel_distance(flat(pred), flat(target)), rel=1e-9)
    assert metric.compute().dtype == torch.float64


def test_the_smallest_keys_count_above_it() -> None:
    pred, target = frames(50, 0), frames(40, 1)
    metric = KID(flat, sample=20)
    metric.update(pred, target)
    kept = [side[image_keys(side).argsort()[:20]] for side in (pred, target)]
    assert float(metric.compute()) == pytest.approx(kernel_distance(flat(kept[0]), flat(kept[1])), rel=1e-9)
    everything = kernel_distance(flat(pred), flat(target))
    assert float(metric.compute()) != pytest.approx(everything, rel=1e-3), "this case must sample"


@pytest.mark.parametrize("count", [1, 3, 16])
def test_neither_batches_nor_order_matter(count: int) -> None:
    pred, target = frames(50, 0), frames(40, 1)
    whole, metric = KID(flat, sample=20), KID(flat, sample=20)
    whole.update(pred, target)
    for side, images in (("target", target.flip(0)), ("pred", pred.roll(17, 0))):
        for start in range(0, len(images), count):
            metric.update(**{side: images[start : start + count]})
    assert float(metric.compute()) == pytest.approx(float(whole.compute()), rel=1e-6)
    metric.reset()
    metric.update(pred, target)
    assert float(metric.compute()) == pytest.approx(float(whole.compute()), rel=1e-6)


def test_keys_depend_on_pixels_alone() -> None:
    images = frames(300, 0)
    keys = image_keys(images)
    assert len(set(keys.tolist())) == 300
    assert torch.equal(image_keys(images[7:9].clone()), keys[7:9])
    assert torch.equal(image_keys((images.double() - 0.3).clamp(min=0) / 255), keys), "the nearest grey level counts"
    changed = images.clone()
    changed[:, 2, -1, -1] ^= 1
    assert not bool((image_keys(changed) == keys).any())
    assert torch.equal(image_keys(images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)), keys)
    assert bool((keys >= 0).all())
    assert 0.4 < float((keys > 2**62).float().mean()) < 0.6


def test_samples_of_samples_are_those_of_all() -> None:
    values, keys = features(90, 5, 0), torch.randperm(90, generator=torch.Generator().manual_seed(0))
    whole, parts = FeatureSample(5, 32), [FeatureSample(5, 32) for _ in range(3)]
    whole.add(values, keys)
    for number, part in enumerate(parts):
        part.add(values[number::3][:10], keys[number::3][:10])
        part.add(values[number::3][10:], keys[number::3][10:])
    for other in parts[1:]:
        parts[0].add(other.rows, other.keys)
    assert torch.equal(parts[0].features(), whole.features())
    assert torch.equal(whole.features(), values[keys.argsort()[:32]])


def test_nonsense_is_refused() -> None:
    metric = KID(flat, sample=4)
    metric.update(frames(1, 0), frames(2, 1))
    with pytest.raises(DubbenchError, match="at least 2"):
        metric.compute()
    with pytest.raises(DubbenchError, match=r"\[0, 1\]"):
        metric.update(torch.rand(1, 3, 8, 8) * 2 - 1)
    with pytest.raises(DubbenchError, match="sample=1"):
        KID(flat, sample=1)
    with pytest.raises(DubbenchError, match="one key a feature"):
        FeatureSample(3).add(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(DubbenchError, match=r"\[N, 3\]"):
        kernel_distance(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(DubbenchError, match="not finite"):
        kernel_distance(torch.zeros(4, 3), torch.full((4, 3), float("inf")))
