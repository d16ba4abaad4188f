"""Polygons filled in torch, on any device, a batch at a time."""

import torch
from torch import Tensor


def fill(polygon: Tensor, size: int) -> Tensor:
    """Pixels of a square picture whose centres lie inside polygons, by the even-odd rule.

    Pixel j is centred at j + 0.5. A centre on an edge is inside if the interior follows to its right or, on a
    horizontal edge, below, so that polygons that share an edge share no pixel and leave none out.

    Args:
        polygon: [N, K, 2] in pixels, closed by itself; it may reach beyond the picture.
        size: side in pixels.

    Returns:
        bool [N, 1, size, size].
    """
    # Each edge from its upper end on, so that neighbours that share it find the same crossings.
    start, end = polygon.double(), polygon.double().roll(-1, 1)
    swap = (start[..., 1] > end[..., 1])[..., None]
    upper, lower = torch.where(swap, end, start), torch.where(swap, start, end)
    rows = torch.arange(size, device=polygon.device, dtype=torch.float64) + 0.5
    (x0, y0), (x1, y1) = upper[..., None].unbind(2), lower[..., None].unbind(2)
    crosses = (y0 <= rows) & (rows < y1)
    at = x0 + (rows - y0) * (x1 - x0) / torch.where(crosses, y1 - y0, 1.0)
    # The first pixel whose centre is not left of the crossing; `size` where none is.
    first = (at - 0.5).ceil().clamp(0, size).long()
    crossings = torch.zeros(len(polygon), size, size + 1, dtype=torch.int32, device=polygon.device)
    crossings.scatter_add_(2, first.transpose(1, 2), crosses.transpose(1, 2).int())
    inside = crossings[..., :size].cumsum(2) % 2 == 1
    return inside[:, None]
