"""Random weights that anybody can make again: the recipe of the golden numbers."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SYNCNET_GAINS = {
    "w1": {"netcnnlip.0.weight": 1 / 2048, "netcnnaud.0.weight": 1 / 128},
    "w2": {"netcnnlip.0.weight": 1 / 2048, "netcnnaud.0.weight": 1 / 128},
    "w3": {"netcnnlip.0.weight": 1 / 64, "netcnnaud.0.weight": 1 / 128},
}
SYNCNET_SHARED = {"w1": 1.2, "w2": 0.5, "w3": 1.2}


def recipe(
    names: Mapping[str, Tensor], gains: Mapping[str, float] | None = None, shared: Mapping[str, float] | None = None
) -> dict[str, Tensor]:
    """Weights for these entries, numbered in their order; `shared` biases are amplitude * cos(k), without a number."""
    gains, shared = gains or {}, shared or {}
    made = {}
    for number, (name, tensor) in enumerate(names.items()):
        layer, kind = name.rpartition(".")[::2]
        values = _entry(number, kind, f"{layer}.running_mean" in names, tuple(tensor.shape))
        values = values * gains.get(name, 1.0)
        if name in shared:
            values = shared[name] * np.cos(np.arange(values.size))
        dtype = torch.int64 if kind == "num_batches_tracked" else torch.float32
        made[name] = torch.from_numpy(np.asarray(values)).to(dtype).reshape(tensor.shape)
    return made


def fill(module: nn.Module, gains: Mapping[str, float] | None = None, shared: Mapping[str, float] | None = None) -> str:
    """Load the recipe's weights into a network and return the sha256 over all of them."""
    state = recipe(module.state_dict(), gains, shared)
    module.load_state_dict(state)
    return digest(state)


def fill_syncnet(network: nn.Module, variant: str) -> str:
    """The variant w1, w2 or w3 of SyncNet's weights; returns their sha256."""
    amplitude = SYNCNET_SHARED[variant]
    return fill(network, SYNCNET_GAINS[variant], {"netfcaud.3.bias": amplitude, "netfclip.3.bias": amplitude})


def digest(state: Mapping[str, Tensor]) -> str:
    """One sha256 over names and little-endian bytes of all entries in order."""
    found = hashlib.sha256()
    for name, tensor in state.items():
        found.update(name.encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def _entry(number: int, kind: str, normalises: bool, shape: tuple[int, ...]) -> NDArray[np.float64]:
    size = int(np.prod(shape))
    k: NDArray[np.float64] = np.arange(size, dtype=np.float64)
    if kind in ("running_mean", "num_batches_tracked"):
        return np.zeros(size)
    if kind == "running_var":
        return np.ones(size)
    if normalises:
        values = 1 + 0.1 * np.sin(0.7 * k + number) if kind == "weight" else 0.1 * np.cos(0.3 * k + number)
    elif kind == "bias":
        values = 0.01 * np.cos(k + number)
    else:
        drawn = np.random.Generator(np.random.PCG64(1234 + number)).standard_normal(size)
        values = np.sqrt(2 / np.prod(shape[1:])) * drawn
    return np.asarray(values, dtype=np.float64)
