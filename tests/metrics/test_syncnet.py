import copy
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dubbench.errors import DubbenchError
from dubbench.metrics.syncnet.network import SyncNet
from tests.metrics.recipe import fill_syncnet


@pytest.fixture(scope="module")
def network() -> SyncNet:
    """The recipe's weights, and normalisations that have seen other statistics than 0 and 1."""
    network, random = SyncNet(), torch.Generator().manual_seed(1)
    fill_syncnet(network, "w3")
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.2, generator=random)
            part.running_var.uniform_(0.5, 2, generator=random)
    return network


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def sliding(network: SyncNet, frames: Tensor) -> Tensor:
    """Each window on its own through the 3-D network as it is written."""
    windows = [frames[t : t + 5].transpose(0, 1) for t in range(len(frames) - 4)]
    return torch.cat([network.netfclip(network.netcnnlip(w[None].float()).flatten(1)) for w in windows])


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


def test_layout_is_the_official_one(shared: Path) -> None:
    layout = [[name, list(tensor.shape)] for name, tensor in SyncNet().state_dict().items()]
    assert layout == json.loads((shared / "goldens" / "syncnet_state_dict_layout.json").read_text())


@pytest.mark.parametrize("count", [5, 11, 26])  # one window, more than a piece, more than a batch
def test_one_run_equals_sliding_windows(network: SyncNet, count: int) -> None:
    frames = noise(count, 3, 224, 224)
    found = network.visual(frames)
    assert found.shape == (count - 4, 1024)
    close(found, sliding(network, frames))
    close(network.visual(frames.double()), found)


def test_sound_equals_the_plain_network(network: SyncNet) -> None:
    windows = torch.randn(7, 1, 13, 20, generator=torch.Generator().manual_seed(3)) * 10
    close(network.audio(windows), network.netfcaud(network.netcnnaud(windows).flatten(1)))


def test_colour_and_time_have_an_order(network: SyncNet) -> None:
    frames = noise(5, 3, 224, 224)
    found = network.visual(frames)
    for other in (frames.flip(0), frames.flip(1)):
        assert (network.visual(other) - found).abs().max() > 1e-3 * found.abs().max()


@pytest.mark.parametrize("versioned", [True, False])
def test_loads_a_file_without_batch_counts(network: SyncNet, versioned: bool) -> None:
    state = network.state_dict()
    old = copy.copy(state) if versioned else dict(state)
    for name in state:
        if name.endswith("num_batches_tracked"):
            del old[name]
    assert len(old) == 102 - 14
    loaded = SyncNet()
    loaded.load_state_dict(old)
    windows = torch.ones(1, 1, 13, 20)
    assert torch.equal(loaded.audio(windows), network.audio(windows))
    del old["netfclip.3.bias"]
    with pytest.raises(RuntimeError, match=r"netfclip\.3\.bias"):
        loaded.load_state_dict(old)


def test_new_weights_count_at_once(network: SyncNet) -> None:
    other, windows = copy.deepcopy(network), torch.ones(1, 1, 13, 20)
    quick, before = other.folded(), other.audio(windows)
    other.get_parameter("netcnnaud.0.weight").data.mul_(2)
    assert not torch.equal(other.audio(windows), before)
    assert torch.equal(quick.audio(windows), before)


def test_neither_training_nor_autocast_reaches_the_judge(network: SyncNet) -> None:
    frames, windows = noise(6, 3, 224, 224), torch.ones(2, 1, 13, 20)
    visual, audio = network.visual(frames), network.audio(windows)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network.visual(frames), visual)
    nn.ModuleDict({"judge": network}).train()
    close(network.netfcaud(network.netcnnaud(windows).flatten(1)), audio)
    assert not visual.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_refuses_other_shapes(network: SyncNet) -> None:
    for frames in (torch.zeros(4, 3, 224, 224), torch.zeros(9, 224, 224, 3), torch.zeros(9, 3, 112, 112)):
        with pytest.raises(DubbenchError, match="224"):
            network.visual(frames)
    with pytest.raises(DubbenchError, match="20"):
        network.audio(torch.zeros(1, 1, 20, 13))
