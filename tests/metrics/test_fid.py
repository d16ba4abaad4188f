import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics import FID, KID, FIDInception, Moments, frechet_distance
from tests.metrics.recipe import fill

Pool = NDArray[np.float64]


def low_rank(first: Pool, second: Pool) -> float:
    """The distance without any covariance or root: nuclear norm of the product of centred samples."""
    centred = [(pool - pool.mean(axis=0)) / np.sqrt(len(pool) - 1) for pool in (first, second)]
    shared = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    apart = ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum()
    return float(apart + (centred[0] ** 2).sum() + (centred[1] ** 2).sum() - 2 * shared)


def pool(count: int, width: int, seed: int) -> Pool:
    """Correlated, off-centre features with a falling spectrum."""
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((width, width)) * np.logspace(0, -3, width)
    return random.standard_normal((count, width)) @ mixing.T + random.random(width)


def distance(first: Pool, second: Pool) -> float:
    moments = []
    for features in (first, second):
        moments.append(Moments(features.shape[1]))
        moments[-1].add(torch.from_numpy(features))
    return frechet_distance(*(value for side in moments for value in (side.mean(), side.covariance())))


@pytest.fixture(scope="module")
def inception() -> FIDInception:
    network = FIDInception()
    fill(network)
    return network


def test_golden(shared: Path, inception: FIDInception) -> None:
    golden = json.loads((shared / "goldens" / "fid_lpips.json").read_text())["fid"]["by_dims"]["2048"]
    images = np.load(shared / "goldens" / "fid_lpips_inputs.npz")
    real, fake = (torch.from_numpy(images[name]).permute(0, 3, 1, 2) for name in ("real_rgb", "fake_rgb"))
    metric = FID(inception, minimum=16)
    metric.update(real, fake)
    assert float(metric.compute()) == pytest.approx(golden["low_rank_exact"], rel=1e-5)
    assert float(metric.compute()) == pytest.approx(golden["calculate_frechet_distance"], rel=1e-4)


def test_pytorch_fid_on_full_rank() -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance

    first, second = pool(500, 40, 0), pool(300, 40, 1)
    moments = [(values.mean(axis=0), np.cov(values, rowvar=False)) for values in (first, second)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its matrix root is deprecated in SciPy
        expected = calculate_frechet_distance(*moments[0], *moments[1])
    assert frechet_distance(*moments[0], *moments[1]) == pytest.approx(expected, rel=1e-8)


def test_the_definition_by_eigenvalues() -> None:
    first, second = pool(90, 12, 2), pool(80, 12, 3)
    one, other = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(one @ other).astype(complex)).real.sum()
    apart = ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum()
    expected = apart + np.trace(one) + np.trace(other) - 2 * root
    assert distance(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 9, 60])
def test_fewer_samples_than_dimensions(count: int) -> None:
    first, second = pool(count, 300, 4), pool(count + 1, 300, 5)
    assert distance(first, second) == pytest.approx(low_rank(first, second), rel=1e-8)


def test_closed_forms() -> None:
    """Diagonal Gaussians: |m1 - m2|^2 + sum (s1 - s2)^2, where one mean may have moved alone."""
    zero, eye = np.zeros(5), np.eye(5)
    spread = np.diag([1.0, 4.0, 9.0, 16.0, 0.0])
    assert frechet_distance(zero, eye, zero, spread) == pytest.approx(0 + 1 + 4 + 9 + 1)
    assert frechet_distance(zero + 3, spread, zero + 1, spread) == pytest.approx(20)
    assert frechet_distance(torch.zeros(5), torch.eye(5), zero, spread) == pytest.approx(15)
    assert frechet_distance(zero, eye * 0, zero, spread) == pytest.approx(30)


def test_equal_pools_are_zero() -> None:
    for features in (pool(12, 64, 6), pool(400, 64, 6)):
        assert 0 <= distance(features, features) < 1e-9 * features.var(axis=0).sum()
        assert distance(features, features + 2) == pytest.approx(4 * 64, rel=1e-9)


def test_moments_are_numpys() -> None:
    features = pool(70, 20, 7) + 50
    moments = Moments(20)
    for start in range(0, 70, 3):
        moments.add(torch.from_numpy(features[start : start + 3]))
    moments.add(torch.zeros(0, 20))
    assert moments.n == 70
    np.testing.assert_allclose(moments.mean().numpy(), features.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance().numpy(), np.cov(features, rowvar=False), atol=1e-10)


def channels(images: Tensor) -> Tensor:
    """Cheap features [N, 6]: mean and spread of each channel, which know red from blue."""
    values = images / 255 if images.dtype == torch.uint8 else images
    return torch.cat((values.mean(dim=(2, 3)), values.std(dim=(2, 3)) * 2), dim=1)


def frames(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(count, 3, 1, 1, generator=generator) * torch.tensor([200.0, 90.0, 30.0])[:, None, None]
    return (level + torch.rand(count, 3, 13, 17, generator=generator) * 50).to(torch.uint8)


@pytest.mark.parametrize("count", [1, 3, 16])
def test_batch_size_does_not_matter(count: int) -> None:
    pred, target = frames(16, 0), frames(20, 1)
    whole = FID(channels, minimum=16)
    whole.update(pred, target)
    metric = FID(channels, minimum=16)
    for start in range(0, 16, count):
        metric.update(pred=pred[start : start + count])
    for start in range(0, 20, count):
        metric.update(target=target[start : start + count])
    assert float(metric.compute()) == pytest.approx(float(whole.compute()), rel=1e-6)
    expected = low_rank(channels(pred).double().numpy(), channels(target).double().numpy())
    assert float(whole.compute()) == pytest.approx(expected, rel=1e-6)
    assert [metric.pred.n, metric.target.n] == [16, 20]


def test_real_network_on_odd_sizes_in_any_batches(inception: FIDInception) -> None:
    network: Callable[[Tensor], Tensor] = partial(inception, dims=192)
    noise = torch.rand(5, 3, 97, 131, generator=torch.Generator().manual_seed(2))
    tint = torch.tensor([1.0, 0.7, 0.4])[:, None, None]
    pred, target = noise[:3] * tint, noise[3:].flip(-1) * tint**2
    values = []
    for parts in ([pred], [pred[:1], pred[1:]], [pred.flip(1)]):
        metric = FID(network, minimum=2)
        metric.update(target=target)
        for part in parts:
            metric.update(pred=part)
        values.append(float(metric.compute()))
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert abs(values[2] / values[0] - 1) > 0.01, "swapped channels must change the value"


class Fickle(nn.Module):
    """A network with gradients, of whose features training mode drops half."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(6))

    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(channels(images), 0.5, self.training) @ self.weight


@pytest.mark.parametrize("kind", [FID, KID])
def test_training_mode_changes_nothing(kind: Callable[..., FID | KID]) -> None:
    options = {"minimum": 2} if kind is FID else {}
    metric, expected = kind(Fickle(), **options), kind(channels, **options)
    metric.train()
    for one in (metric, expected):
        one.update(frames(6, 0), frames(5, 1))
    assert float(metric.compute()) == pytest.approx(float(expected.compute()), rel=1e-6)
    assert not any(state.requires_grad for state in metric.metric_state.values() if isinstance(state, Tensor))


def test_few_frames_are_refused_unless_allowed() -> None:
    metric = FID(channels)
    metric.update(frames(7, 0), frames(9, 1))
    with pytest.raises(DubbenchError, match=r"7 predicted and 9 target frames .*2048.*minimum=2"):
        metric.compute()
    allowed = FID(channels, minimum=2)
    allowed.update(frames(2, 0), frames(2, 1))
    assert np.isfinite(float(allowed.compute()))
    allowed.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics says that nothing went in
        with pytest.raises(DubbenchError, match="0 predicted"):
            allowed.compute()
    with pytest.raises(DubbenchError, match="minimum=1"):
        FID(channels, minimum=1)


def test_nonsense_is_refused() -> None:
    moments, eye = Moments(3), np.eye(3)
    with pytest.raises(DubbenchError, match="not finite"):
        moments.add(torch.tensor([[0.0, float("nan"), 0.0]]))
    with pytest.raises(DubbenchError, match=r"\[N, 3\]"):
        moments.add(torch.zeros(2, 4))
    moments.add(torch.zeros(1, 3))
    with pytest.raises(DubbenchError, match="at least 2 samples"):
        frechet_distance(moments.mean(), moments.covariance(), np.zeros(3), eye)
    with pytest.raises(DubbenchError, match="widths 3 and 2"):
        frechet_distance(np.zeros(3), eye, np.zeros(2), np.eye(2))
    with pytest.raises(DubbenchError, match="do not fit"):
        frechet_distance(np.zeros(3), eye, np.zeros(2), eye)
    with pytest.raises(DubbenchError, match=r"\[0, 1\]"):
        FID(FIDInception(), minimum=2).update(torch.rand(1, 3, 32, 32) * 2 - 1)
