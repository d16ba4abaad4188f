import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image.lpips import _LPIPS

from dubbench.errors import DubbenchError
from dubbench.metrics import LPIPS, LPIPSDistance, lpips
from dubbench.metrics.networks.lpips import Trunk
from tests.metrics.conftest import Golden, Pair
from tests.metrics.recipe import digest, recipe

TORCHVISION = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}


def with_trunk(net: Trunk) -> tuple[LPIPS, dict[str, Tensor]]:
    """The recipe's trunk as torchvision names it, in a network."""
    network = LPIPS(net)
    entries = recipe({name: value for name, value in network.state_dict().items() if name.startswith("net.")})
    names = [f"features.{number}.{kind}" for number in TORCHVISION[net] for kind in ("weight", "bias")]
    state = dict(zip(names, entries.values(), strict=True))
    network.load_trunk({**state, "classifier.1.weight": torch.zeros(2)})
    return network, state


@pytest.fixture(scope="module")
def alex() -> LPIPS:
    return with_trunk("alex")[0]


def test_golden(shared: Path, golden_pairs: Golden, alex: LPIPS) -> None:
    golden = json.loads((shared / "goldens" / "fid_lpips.json").read_text())["lpips"]
    trunk = {name[4:]: value for name, value in alex.state_dict().items() if name.startswith("net.")}
    assert digest(trunk) == golden["weights_sha256"]
    images = np.load(shared / "goldens" / "fid_lpips_inputs.npz")
    real, fake = (torch.from_numpy(images[name]).permute(0, 3, 1, 2) for name in ("real_rgb", "fake_rgb"))
    assert lpips(real, fake, alex).tolist() == pytest.approx(golden["real_vs_fake"]["per_pair"], abs=1e-5)
    first, second, _ = golden_pairs
    expected = golden["frame_t_vs_t_plus_3"]["per_pair"]
    assert lpips(first, second, alex).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("net", ["alex", "vgg"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_package_on_odd_sizes(net: Trunk, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layout, heads and arithmetic of lpips itself."""
    import lpips as package

    # VGG16's classifier would take seconds to fill, and lpips drops it.
    models = package.pretrained_networks.tv
    features = models.vgg.make_layers(models.vgg.cfgs["D"])
    monkeypatch.setattr(models, "vgg16", lambda **_: SimpleNamespace(features=features))
    network, _ = with_trunk(net)
    reference = package.LPIPS(net=net, pnet_rand=True, verbose=False)
    assert [*reference.state_dict()] == [*network.state_dict()]
    for name, value in reference.state_dict().items():
        if not name.startswith("net."):
            torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=0)
    reference.load_state_dict(network.state_dict())
    pred, target = (images[:, :, :65, :97] for images in pair)
    expected = reference(pred / 255, target / 255, normalize=True).detach().flatten()
    assert lpips(pred, target, network).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torchmetrics(pair: Pair, alex: LPIPS) -> None:
    """It carries a copy of the heads and of the arithmetic."""
    reference = _LPIPS(net="alex", pnet_rand=True)
    trunk = {name: value for name, value in alex.state_dict().items() if name.startswith("net.")}
    reference.load_state_dict(trunk, strict=False)
    pred, target = pair
    expected = reference(pred / 255, target / 255, normalize=True).detach().flatten()
    assert lpips(pred, target, alex).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_equal_images_are_zero_and_order_of_channels_counts(pair: Pair, alex: LPIPS) -> None:
    pred, target = pair
    tinted = target.clone()
    tinted[:, 2] //= 2
    assert lpips(target, target, alex).tolist() == [0.0, 0.0]
    value = lpips(pred, tinted, alex)
    assert value.dtype == torch.float64
    assert bool((value > 0.01).all())
    swapped = lpips(pred.flip(1), tinted.flip(1), alex)
    assert bool(((swapped - value).abs() > 1e-3).all())


def test_floats_are_the_same_as_uint8(pair: Pair, alex: LPIPS) -> None:
    pred, target = pair
    expected = lpips(pred, target, alex)
    torch.testing.assert_close(lpips(pred / 255, target.double() / 255, alex), expected, rtol=1e-5, atol=0)


def test_training_mode_changes_nothing(pair: Pair, alex: LPIPS) -> None:
    """Dropout lies before the heads, and a metric inside a module in training follows its ``train()``."""
    metric = LPIPSDistance(alex)
    expected = lpips(*pair, alex)
    metric.train()
    torch.testing.assert_close(alex(*pair).double(), expected, rtol=1e-6, atol=0)
    metric.update(*pair)
    assert float(metric.compute()) == pytest.approx(float(expected.mean()), rel=1e-6)
    image = (pair[0] / 255).requires_grad_()
    assert not lpips(image, pair[1] / 255, alex).requires_grad


@pytest.mark.parametrize("count", [1, 3, 16])
def test_batch_size_does_not_matter(count: int, alex: LPIPS, pair: Pair) -> None:
    pred, target = (images.repeat(4, 1, 1, 1)[:, :, ::2, ::2] for images in pair)
    pred = torch.stack([image.roll(k, -1) for k, image in enumerate(pred)])
    metric = LPIPSDistance(alex)
    for start in range(0, len(pred), count):
        metric.update(pred[start : start + count], target[start : start + count])
    expected = torch.cat([lpips(pred[k : k + 2], target[k : k + 2], alex) for k in range(0, len(pred), 2)]).mean()
    assert float(metric.compute()) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image / 127.5 - 1, r"\[0, 1\]"),
        (lambda image: image.int(), "uint8"),
        (lambda image: image[:1], "differ in shape"),
        (lambda image: image[..., 1:], "differ in shape"),
    ],
)
def test_other_inputs_are_refused(change: Callable[[Tensor], Tensor], message: str, pair: Pair, alex: LPIPS) -> None:
    with pytest.raises(DubbenchError, match=message):
        lpips(change(pair[0]), pair[1], alex)


@pytest.mark.parametrize(("net", "smallest"), [("alex", 31), ("vgg", 16)])
def test_smallest_images(net: Trunk, smallest: int) -> None:
    network, _ = with_trunk(net)
    image = torch.randint(0, 256, (1, 3, smallest, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert float(lpips(image, image.flip(-1), network)) > 0
    with pytest.raises(DubbenchError, match=f"at least {smallest} pixels"):
        lpips(image[:, :, 1:], image[:, :, 1:], network)


def test_a_wrong_trunk_is_refused() -> None:
    network, state = with_trunk("alex")
    with pytest.raises(DubbenchError, match="vgg16"):
        LPIPS("vgg").load_trunk(state)
    del state["features.8.bias"]
    with pytest.raises(DubbenchError, match=r"features\.8\.bias"):
        network.load_trunk(state)
    with pytest.raises(DubbenchError, match="'squeeze'"):
        LPIPS("squeeze")  # type: ignore[arg-type]


def test_construction_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LPIPS("vgg")
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""
