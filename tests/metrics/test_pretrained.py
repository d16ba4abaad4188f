"""Networks get exactly the weights of their files, and what is absent is told with both remedies."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dubbench.assets import store
from dubbench.core.files import sha256
from dubbench.errors import DubbenchError
from dubbench.face.s3fd import S3FD
from dubbench.metrics.networks import pretrained
from dubbench.metrics.networks.inception import FIDInception
from dubbench.metrics.networks.lpips import LPIPS, Trunk
from dubbench.metrics.syncnet.network import SyncNet

State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where assets are looked for; it is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DUBBENCH_ASSETS", str(tmp_path))
    return tmp_path


def offer(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, state: State, zipped: bool = True) -> None:
    """Save ``state`` as the asset ``name`` and let the list hold its fingerprint."""
    path = folder / name
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    row = replace(store.ASSETS[name], digest=sha256(path), size=path.stat().st_size)
    monkeypatch.setitem(store.ASSETS, name, row)


def filled(network: nn.Module) -> State:
    """Values for each entry of a network that no initialisation would give."""
    return {
        name: torch.full_like(value, i % 97 + 0.5) if value.is_floating_point() else value
        for i, (name, value) in enumerate(network.state_dict().items())
    }


def equal(network: nn.Module, state: State) -> bool:
    own = network.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("name", "build", "load", "counts"),
    [
        ("syncnet_v2.model", SyncNet, pretrained.syncnet, True),
        ("syncnet_v2.model", SyncNet, pretrained.syncnet, False),
        ("sfd_face.pth", S3FD, pretrained.s3fd, True),
        ("pt_inception-2015-12-05-6726825d.pth", FIDInception, pretrained.inception, False),
    ],
    ids=["syncnet", "syncnet of an old torch", "s3fd", "inception"],
)
def test_network_gets_the_weights_of_its_file(
    name: str,
    build: Callable[[], nn.Module],
    load: Callable[[], nn.Module],
    counts: bool,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = filled(build())
    if not counts:
        state = {entry: value for entry, value in state.items() if not entry.endswith("num_batches_tracked")}
    offer(folder, monkeypatch, name, state, zipped=counts)
    network = load()
    assert equal(network, state)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(("net", "name"), [("alex", "alexnet-owt-7be5be79.pth"), ("vgg", "vgg16-397923af.pth")])
def test_lpips_gets_torchvisions_trunk_and_keeps_its_heads(
    net: Trunk, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = LPIPS(net)
    trunk = {entry: value for entry, value in filled(bare).items() if entry.startswith("net.")}
    # net.sliceS.N.weight is torchvision's features.N.weight
    state = {f"features.{entry.split('.', 2)[2]}": value for entry, value in trunk.items()}
    offer(folder, monkeypatch, name, state | {"classifier.1.weight": torch.ones(2, 2)})
    network = pretrained.lpips_network(net)
    assert equal(network, trunk)
    assert equal(network, {entry: value for entry, value in bare.state_dict().items() if entry.startswith("lin")})


def test_file_of_another_network_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = filled(SyncNet())
    state["netfcaud.9.weight"] = state.pop("netfcaud.0.weight")
    offer(folder, monkeypatch, "syncnet_v2.model", state)
    with pytest.raises(DubbenchError, match=r"syncnet_v2\.model does not fit SyncNet \(.*netfcaud\.[09]"):
        pretrained.syncnet()


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (pretrained.syncnet, "syncnet_v2.model"),
        (pretrained.s3fd, "sfd_face.pth"),
        (pretrained.inception, "pt_inception-2015-12-05-6726825d.pth"),
        (pretrained.lpips_network, "alexnet-owt-7be5be79.pth"),
        (lambda: pretrained.lpips_network("vgg"), "vgg16-397923af.pth"),
        (pretrained.embedder, "w600k_r50.onnx"),
        (lambda: pretrained.embedder("w600k_mbf.onnx"), "w600k_mbf.onnx"),
    ],
)
def test_absent_file_is_told_with_both_remedies(load: Callable[[], object], name: str) -> None:
    with pytest.raises(DubbenchError, match=rf"^{name} for .*`dubbench assets pull {name}`.*DUBBENCH_ASSETS"):
        load()


def test_embedder_that_is_neither_listed_nor_a_file() -> None:
    with pytest.raises(DubbenchError, match=r"'arcface\.onnx'.*w600k_r50\.onnx.*assets pull.*DUBBENCH_ASSETS"):
        pretrained.embedder("arcface.onnx")


def test_mobilefacenet_is_normalised_as_trained_under_any_name(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUBBENCH_ASSETS", str(shared / "assets"))
    renamed = tmp_path / "mine.onnx"
    renamed.write_bytes((shared / "assets" / "MobileFaceNet.onnx").read_bytes())
    crops = torch.from_numpy(np.load(shared / "goldens" / "csim_crops.npz")["crops_rgb_bbaf2n"][:2]).permute(0, 3, 1, 2)
    listed, own = pretrained.embedder("MobileFaceNet.onnx"), pretrained.embedder(renamed)
    assert listed.normalisation == own.normalisation == "imagenet"
    assert torch.equal(listed(crops), own(crops))
