"""A square about the mouth, cut out of frames."""

import torch
from torch import Tensor

from dubbench.models.layers.constants import places

LIPS = slice(48, 68)  # of iBUG's 68 landmarks


def mouth_side(width: int) -> int:
    """Side of `cut_mouth`'s squares in frames of a width: half of it, from nose to chin in an aligned frame."""
    return width // 2


def cut_mouth(frames: Tensor, points: Tensor) -> Tensor:
    """Cut a window's frames to a square about its mouth, one place for all of them, moved inwards at the border.

    Its pixels are those of the frames, not resampled ones: what is cut is as sharp as it was.

    Args:
        frames: [B, T, C, H, W], W no more than twice H.
        points: [B, T, 68, 2] landmarks of the target frames, in their pixels.

    Returns:
        [B, T, C, side, side]; `mouth_side` tells the side.
    """
    batch, time, channels, height, width = frames.shape
    side = mouth_side(width)
    lips = points[:, :, LIPS].float()
    centre = (lips.amin((1, 2)) + lips.amax((1, 2))) / 2
    reach = places((width - side, height - side), centre)
    first = (centre - side / 2).round().long().clamp(min=0).minimum(reach)
    cut = first[..., None] + torch.arange(side, device=centre.device)
    columns, rows = cut[:, 0, None, None, None, :], cut[:, 1, None, None, :, None]
    rows = rows.expand(batch, time, channels, side, width)
    return frames.gather(3, rows).gather(4, columns.expand(batch, time, channels, side, side))
