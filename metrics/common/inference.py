"""Running somebody's network as a metric does."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(network: object) -> Iterator[None]:
    """Without gradients and, if ``network`` is a module, in eval mode: dropout and batch statistics would add noise.

    A metric is a module itself, so a Trainer that puts everything into train mode reaches the networks it holds; hence
    at each use, and each part's own mode is put back.
    """
    modes = [(part, part.training) for part in network.modules()] if isinstance(network, nn.Module) else []
    try:
        for part, _ in modes:
            part.training = False
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
