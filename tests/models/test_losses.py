import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dubbench.errors import DubbenchError
from dubbench.models.losses import (
    PerceptualLoss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    lip_map,
)


def test_adversarial_losses_by_hand() -> None:
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([0.0, -1.0])
    expected = (math.log(2) + math.log1p(math.exp(-1))) / 2 + (math.log(2) + math.log1p(math.exp(-2))) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(expected)
    assert generator_loss(fake).item() == pytest.approx((math.log(2) + math.log1p(math.exp(1))) / 2)


def test_gradient_penalty_of_a_linear_judge() -> None:
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    slope = torch.randn(3, 4, 4)
    assert gradient_penalty((images * slope).sum((1, 2, 3)), images).item() == pytest.approx(
        slope.square().sum().item()
    )


def test_lip_map_marks_the_lips_of_each_frame() -> None:
    points = torch.zeros(2, 68, 2)
    points[0, 48:] = torch.tensor([[10.0, 20.0], [14.0, 22.0]]).repeat(10, 1)
    points[1, 48:] = torch.tensor([[20.0, 10.0], [22.0, 10.0]]).repeat(10, 1)
    weights = lip_map(points, 32, 5.0)
    assert weights.shape == (2, 1, 32, 32)
    assert set(weights.flatten().tolist()) == {1.0, 5.0}
    rows, columns = (weights[0, 0] == 5).nonzero(as_tuple=True)
    assert [int(edge) for edge in (columns.min(), columns.max(), rows.min(), rows.max())] == [8, 15, 18, 23]
    rows, columns = (weights[1, 0] == 5).nonzero(as_tuple=True)
    assert [int(edge) for edge in (columns.min(), columns.max(), rows.min(), rows.max())] == [19, 22, 9, 10]


def test_perceptual_loss_is_that_of_vgg19s_relu_layers() -> None:
    from torchvision.models import vgg19  # type: ignore[import-untyped]  # torchvision ships no types
    from torchvision.models.feature_extraction import (  # type: ignore[import-untyped]  # torchvision ships no types
        create_feature_extractor,
    )

    torch.manual_seed(0)
    loss, reference = PerceptualLoss(), vgg19(weights=None)
    loss.load_features(reference.state_dict())
    nodes = {f"features.{i}": str(i) for i in (1, 6, 11, 20, 29)}
    extractor = create_feature_extractor(reference.eval(), nodes)
    fake, real = torch.rand(2, 2, 3, 48, 48) * 2 - 1
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, None, :, None, None]
    ours = loss(fake, real)
    with torch.no_grad():
        a, b = (extractor(((image + 1) / 2 - mean) / deviation) for image in (fake, real))
    expected = sum(2.0 ** (i - 5) * (F.l1_loss(a[k], b[k])) for i, k in enumerate(nodes.values()))
    expected = expected + 0.5 * F.l1_loss(a["29"], b["29"])  # the last weight is 1, not 1/2
    assert loss.weights == tuple(sorted(loss.weights))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)


def test_perceptual_loss_without_weights_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUBBENCH_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DubbenchError, match="vgg19-dcbb9e9d"):
        PerceptualLoss.pretrained()
