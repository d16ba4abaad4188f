"""Weights as files and as networks: what tells one set from another, and why a file of them is refused."""

import pickle
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def weights_sha256(state: "Mapping[str, Tensor]") -> str:
    """Hex digest of a network's state: names and bytes of its tensors, in their order, on whatever device they are.

    Runs record it and reuse results by it, so equal weights must go on giving equal digests.

    Args:
        state: as ``state_dict`` gives it.
    """
    import torch

    digest = sha256()
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def refusal(error: Exception) -> str:
    """Why ``torch.load`` refused a file, in at most 160 letters; its own words tell how to run what a pickle holds."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds more than tensors and plain values, and code in it is never run"
    return (str(error) or type(error).__name__).splitlines()[0][:160]
