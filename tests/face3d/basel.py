"""Files of Deep3DFaceRecon's layout, made by hand: its packing of the Basel model, and its network's weights."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models import resnet50  # type: ignore[import-untyped]  # torchvision ships no types

HEADS = (80, 64, 80, 3, 27, 2, 1)
Arrays = dict[str, NDArray[np.float64]]


def packed(vertices: int = 200) -> Arrays:
    """A cloud of vertices, the landmarks first: x right, y up, z to the camera."""
    random = np.random.default_rng(5)
    mean = random.uniform(-1, 1, (vertices, 3))
    mean[[0, 16, 36, 45, 8, 30]] = [[-1, 0, -1], [1, 0, -1], [-0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0, -1, 0], [0, 0, 0.6]]
    return {
        "meanshape": mean.reshape(1, -1),
        "idBase": random.normal(0, 0.1, (3 * vertices, 80)),
        "exBase": random.normal(0, 0.1, (3 * vertices, 64)),
        "tri": np.array([[1.0, 2, 3], [4, 5, vertices]]),
        "keypoints": np.arange(1.0, 69)[None],
    }


def network_state(seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the names of ``net_recon``, with statistics of batches that are not those of a new net."""
    torch.manual_seed(seed)
    trunk = resnet50(weights=None)
    state = {f"backbone.{name}": value for name, value in trunk.state_dict().items() if not name.startswith("fc.")}
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(1, 3)
    for number, channels in enumerate(HEADS):
        state[f"final_layers.{number}.weight"] = 0.05 * torch.randn(channels, 2048, 1, 1)
        state[f"final_layers.{number}.bias"] = torch.randn(channels)
    return state


def constant_state(shape: Tensor, expression: Tensor) -> dict[str, Tensor]:
    """Weights that give one shape [80] and one expression [64] for any picture."""
    state = network_state()
    for number, bias in enumerate((shape, expression)):
        state[f"final_layers.{number}.weight"].zero_()
        state[f"final_layers.{number}.bias"] = bias.clone()
    return state


def write_network(path: Path, state: dict[str, Tensor]) -> Path:
    """Write weights as a checkpoint of its training has them, with an optimiser's and a scheduler's state beside."""
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))])
    scheduler = torch.optim.lr_scheduler.StepLR(optimiser, 10, 0.2)
    torch.save({"net_recon": state, "opt_00": optimiser.state_dict(), "sched_00": scheduler.state_dict()}, path)
    return path
