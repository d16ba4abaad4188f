"""Between frames as videos have them and pictures as networks do, and the precision that inference runs in."""

from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_pictures(frames: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Frames uint8 [N, H, W, 3] on a device: float32 [N, 3, H, W] in [-1, 1], channels last in memory."""
    return torch.as_tensor(frames).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_frames(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures [N, 3, H, W] about [-1, 1] as frames uint8 [N, H, W, 3], rounded."""
    levels = ((pictures.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    frames: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return frames


def casting(device: torch.device, precision: torch.dtype | None) -> torch.autocast | nullcontext[None]:
    """Autocast to a precision, or nothing."""
    return torch.autocast(device.type, precision) if precision else nullcontext()
