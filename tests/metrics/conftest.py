import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

Metric = Callable[..., Tensor]
Pair = tuple[Tensor, Tensor]
Golden = tuple[Tensor, Tensor, dict[str, Any]]


@pytest.fixture(scope="session")
def golden_pairs(shared: Path) -> Golden:
    """Eight pairs of real frames, uint8 [8, 3, 256, 256] each, and what reference implementations say of them."""
    arrays = np.load(shared / "goldens" / "pixel_metric_pairs.npz")
    first, second = (torch.from_numpy(arrays[key]).permute(0, 3, 1, 2) for key in ("a_rgb", "b_rgb"))
    return first, second, json.loads((shared / "goldens" / "pixel_metrics.json").read_text())


@pytest.fixture
def pair() -> Pair:
    """Smooth odd-sized images and noisy copies of them, uint8 [2, 3, 179, 183]."""
    y, x = torch.meshgrid(torch.linspace(0, 9, 179), torch.linspace(0, 7, 183), indexing="ij")
    waves = torch.stack([torch.sin(x * k) * torch.cos(y / k) for k in (1, 2, 3)])
    image = (waves * 100 + 128).repeat(2, 1, 1, 1)
    noise = (
        torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
        * torch.tensor([9.0, 25.0])[:, None, None, None]
    )
    return (image + noise).clamp(0, 255).to(torch.uint8), image.to(torch.uint8)
