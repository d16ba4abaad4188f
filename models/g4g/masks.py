"""What G4G draws from 68 landmarks: landmark maps (3.1), face masks and the masks of the supervision (3.2).

A crop for a mouth of m pixels is 13/8 m high and 10/8 m wide, as DINet's: 416 x 320 for m = 256. Row m/2 is at landmark
29 of the nose, column 5/8 m at landmark 33, and m/2 further rows below the nose are at most what an open jaw needs.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from dubbench.face.crops import crop_shape, mouth_region
from dubbench.models.layers.constants import constant, places
from dubbench.models.layers.polygon import fill

FacePart: TypeAlias = Literal["jaw", "brows", "nose", "eyes", "lips"]

# iBUG's 68 landmarks: first and last of a line, and whether it is closed.
LINES: dict[FacePart, tuple[tuple[int, int, bool], ...]] = {
    "jaw": ((0, 16, False),),
    "brows": ((17, 21, False), (22, 26, False)),
    "nose": ((27, 30, False), (31, 35, False)),
    "eyes": ((36, 41, True), (42, 47, True)),
    "lips": ((48, 59, True), (60, 67, True)),
}
PARTS: tuple[FacePart, ...] = ("jaw", "brows", "nose", "eyes", "lips")
UPPER_PARTS: tuple[FacePart, ...] = ("brows", "nose", "eyes")  # by an occluded source, whatever is said

CHEEKS = (2, 14)
# How far in from a cheek each further point of the jaw is: shares of the distance of both, means over 22 speakers. The
# points themselves move with the mouth.
INWARDS = (0.0, 0.05, 0.1, 0.15, 0.27)
# Where each point of the jaw is put, in m below the region's first row: at or below its place with the jaw wide open.
DEPTHS = (0.0, 0.45, 0.7, 0.9, 1.0)
OUTWARDS = 0.05  # in m
BLUR = 64  # m over the deviation of the Gaussian

# A line is drawn whole up to this share of the map's height, several times what a face's longest is, from so many
# patches; of a longer one there are gaps. How long they are in fact, a device would have to be waited for.
LONGEST, PATCHES = 0.5, 8


def landmark_map(points: Tensor, height: int, width: int, parts: Sequence[FacePart] = PARTS) -> Tensor:
    """Lines through the landmarks, the prior L_r (3.1).

    A pixel's value falls from 1 to 0 over the one pixel about the line's edge, by the distance of its centre, at +0.5,
    to the nearest segment. Lines are 1/208 of the height wide, but one pixel at least.

    Args:
        points: [N, 68, 2] in pixels of the map; they may lie beyond it.
        height: rows.
        width: columns.
        parts: what is drawn.

    Returns:
        float32 [N, 1, height, width] in [0, 1].
    """
    reach = max(height / 416, 0.5) + 0.5
    start, end = (points[:, places(index, points)].float() for index in _segments(tuple(parts)))
    along = end - start
    # Distances are taken near each segment only, in patches of one size that lie one after the other on it.
    side = math.ceil(LONGEST * height / PATCHES + 2 * reach + 2)
    ends = start[:, :, None] + along[:, :, None] * constant([k / PATCHES for k in range(PATCHES + 1)], start)[:, None]
    low = (torch.minimum(ends[:, :, 1:], ends[:, :, :-1]) - reach - 0.5).floor()  # [N, S, PATCHES, 2]
    pixels = low[..., None] + torch.arange(side, device=points.device)  # [N, S, PATCHES, 2, side]
    x, y = (pixels + 0.5 - start[:, :, None, :, None]).unbind(3)
    (dx, dy), x, y = along[:, :, None, :, None, None].unbind(3), x[..., None, :], y[..., None]
    position = ((x * dx + y * dy) / (dx**2 + dy**2).clamp(min=1e-12)).clamp(0, 1)
    distance = torch.hypot(x - position * dx, y - position * dy)
    column, row = pixels[..., 0, None, :], pixels[..., 1, :, None]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    # One more pixel takes what lies beyond.
    pixel = torch.where(inside, row * width + column, height * width).long()
    drawn = torch.zeros(len(points), height * width + 1, device=points.device)
    drawn.scatter_reduce_(1, pixel.flatten(1), (reach - distance).clamp(0, 1).flatten(1), "amax")
    return drawn[:, :-1].view(-1, 1, height, width)


def face_mask(points: Tensor, mouth: int) -> Tensor:
    """G (3.2): where the composite shows the generated face, with a Gaussian-smoothed border.

    The polygon hangs between the source's cheeks, and goes down to the end of the mouth region wherever the chin is: if
    it followed the jaw, the source's own would stay below a more closed one, and in training it would tell the blend
    network how far the mouth is open. It ends before the mouth region does, where G is 0.

    Args:
        points: landmarks of the source frames [N, 68, 2] in pixels of the crop.
        mouth: m.

    Returns:
        float32 [N, 1, H, W] in [0, 1].
    """
    height, width = crop_shape(mouth)
    radius = 3 * mouth // BLUR
    rows, columns = mouth_region(mouth)
    left, right = (points[:, cheek, 0].float() for cheek in CHEEKS)
    depth = constant(DEPTHS, left) * mouth + rows.start
    sides = []
    inwards = constant(INWARDS, left) * (right - left)[:, None]
    for x in (left[:, None] + inwards - OUTWARDS * mouth, right[:, None] - inwards + OUTWARDS * mouth):
        sides.append(torch.stack([x, depth.expand_as(x)], -1))
    polygon = torch.cat([sides[0], sides[1].flip(1)], 1)
    drawn = torch.zeros(len(points), 1, height, width, device=points.device)
    rows, columns = (slice(each.start + radius, each.stop - radius) for each in (rows, columns))
    drawn[..., rows, columns] = fill(polygon, height)[..., rows, columns].float()
    offsets = torch.arange(-radius, radius + 1, device=points.device)
    kernel = torch.exp(-((offsets * BLUR / mouth) ** 2) / 2)
    kernel = kernel / kernel.sum()
    with torch.autocast(points.device.type, enabled=False):
        drawn = F.conv2d(drawn, kernel.view(1, 1, -1, 1), padding=(radius, 0))
        return F.conv2d(drawn, kernel.view(1, 1, 1, -1), padding=(0, radius)).clamp(0, 1)


def supervision_masks(points: Tensor, mouth: int) -> Tensor:
    """The masks of several sizes about the mouth by which the pictures are supervised (3.2).

    Their sizes are not printed. Here: the box of the lips, grown by half its width; twice that, within the mouth
    region; the mouth region, which is all that is occluded.

    Args:
        points: landmarks of the frames to be drawn [N, 68, 2] in pixels of the crop.
        mouth: m.

    Returns:
        float32 [N, 3, H, W], 1 within.
    """
    height, width = crop_shape(mouth)
    lips = points[:, 48:68].float()
    low, high = lips.amin(1), lips.amax(1)
    middle, half = (low + high) / 2, (high - low) / 2
    half = half + half[:, :1]
    region = torch.zeros(height, width, device=points.device)
    region[mouth_region(mouth)] = 1
    axes = [torch.arange(size, device=points.device) + 0.5 for size in (width, height)]
    masks = []
    for grown in (half, 2 * half):
        columns, rows = (
            ((axis - middle[:, i, None]).abs() <= grown[:, i, None]).float() for i, axis in enumerate(axes)
        )
        masks.append(rows[:, :, None] * columns[:, None] * region)
    return torch.stack([*masks, region.expand_as(masks[0])], 1)


@lru_cache
def _segments(parts: tuple[FacePart, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of the landmarks at both ends of each of S segments."""
    starts: list[int] = []
    ends: list[int] = []
    for first, last, closed in (line for part in parts for line in LINES[part]):
        starts += [*range(first, last), *([last] if closed else [])]
        ends += [*range(first + 1, last + 1), *([first] if closed else [])]
    return tuple(starts), tuple(ends)
