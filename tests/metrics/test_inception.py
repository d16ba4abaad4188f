import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics.networks.inception import FIDInception, feature_width
from tests.metrics.conftest import Pair
from tests.metrics.recipe import fill

WIDTHS = (64, 192, 768, 2048)


@pytest.fixture(scope="module")
def network() -> FIDInception:
    made = FIDInception()
    fill(made)
    return made


def test_golden(shared: Path) -> None:
    golden = json.loads((shared / "goldens" / "fid_lpips.json").read_text())["fid"]
    layout = json.loads((shared / "goldens" / "fid_inception_state_dict_layout.json").read_text())
    network = FIDInception()
    assert [[name, list(value.shape)] for name, value in network.state_dict().items()] == layout
    assert fill(network) == golden["weights_sha256"]
    images = np.load(shared / "goldens" / "fid_lpips_inputs.npz")["real_rgb"]
    image = torch.from_numpy(images[:1]).permute(0, 3, 1, 2)
    for width in WIDTHS:
        expected = golden["by_dims"][str(width)]["real_first_sample_first8"]
        assert network(image, width)[0, :8].tolist() == pytest.approx(expected, abs=1e-4, rel=1e-4)


def test_pytorch_fid_on_odd_sizes(network: FIDInception, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own wrapper with our weights in place of its download, above and below 299 pixels."""
    from pytorch_fid import inception as package

    monkeypatch.setattr(package, "load_state_dict_from_url", lambda *_, **__: network.state_dict())
    reference = package.InceptionV3(range(4)).eval()
    small = pair[0][:, :, :97, :131]
    large = pair[1][:1].repeat(1, 1, 2, 2)[:, :, :301, :350]
    for images in (small, large):
        maps = reference(images / 255)
        for width, expected in zip(WIDTHS, maps, strict=True):
            features = network(images, width)
            assert features.shape == (len(images), width)
            assert features.dtype == torch.float32
            torch.testing.assert_close(features, expected.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_floats_are_the_same_as_uint8(network: FIDInception, pair: Pair) -> None:
    torch.testing.assert_close(network(pair[0] / 255, 192), network(pair[0], 192), rtol=1e-5, atol=1e-6)


def test_training_mode_changes_nothing(network: FIDInception, pair: Pair) -> None:
    expected = network(pair[0], 192)
    network.train()
    torch.testing.assert_close(network(pair[0], 192), expected, rtol=0, atol=0)
    assert not network((pair[0] / 255).requires_grad_(), 64).requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image / 127.5 - 1, r"\[0, 1\]"),
        (lambda image: image[0], "RGB batches"),
        (lambda image: image.permute(0, 2, 3, 1), "RGB batches"),
    ],
)
def test_other_inputs_are_refused(
    network: FIDInception, pair: Pair, change: Callable[[Tensor], Tensor], message: str
) -> None:
    with pytest.raises(DubbenchError, match=message):
        network(change(pair[0]), 64)


def test_other_widths_are_refused(network: FIDInception, pair: Pair) -> None:
    with pytest.raises(DubbenchError, match="64, 192, 768, 2048"):
        network(pair[0], 100)


def test_width_of_any_network(network: FIDInception) -> None:
    assert feature_width(lambda images: network(images, 192)) == 192
    with pytest.raises(DubbenchError, match="must give features"):
        feature_width(lambda images: images)
