"""A photograph of a face that speaks: its lips, jaw and head are moved by one resampling a frame."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UNDER_NOSE, BROW, CHIN = 2, 9, 152
"""Landmarks of MediaPipe's face mesh."""

LIFT, DROP = 0.07, 0.62
"""How far upper and lower lip part at opening 1, in half mouth widths."""

PARTING = 0.6
"""Exponent from opening to the gap between the lips: parted lips are seen as such, by eyes and by landmark detectors,
which take a thin gap for closed lips."""

SPREAD, ROUND = 0.10, 0.30
"""Share of its width that the mouth gains at width 1 and loses at width -1."""

INSET, TEETH_INSET = 0.03, 0.15
"""How far the lips' edges are cut back, in half mouth widths and in the photograph's own gap between the lips: its
teeth shall not show beside them."""

JAW_DROP, JAW_WIDTH, NECK = 0.31, 1.15, 0.55
"""How far the chin goes down at opening 1, how far left and right the jaw goes with it, and how far below the chin the
neck gives way to it, in half mouth widths: hardly further than a face crop's mouth region covers, so that what a method
sees beside the region does not tell it how the mouth stands. A wider jaw tells that with R2 0.9."""

RELAXED = 0.75
"""Share of a photographed smile's curve that speech keeps."""


@dataclass(frozen=True)
class Pose:
    """Where a head is in one frame, relative to the photograph.

    Attributes:
        shift: right and down, in pixels of the frame.
        angle: clockwise, in radians.
        scale: greater than 1 is nearer.
    """

    shift: tuple[float, float]
    angle: float
    scale: float


class TalkingFace:
    """Renders one photographed person with any mouth and head pose.

    All mouth geometry is in the mouth's own coordinates: u from -1 at the left to 1 at the right inner corner, v along
    the face's vertical, down, in the same unit, 0 on the line through the corners.

    Args:
        photo: uint8 [S, S, 3] RGB, already at the size of the frames.
        mesh: [478, 2 or 3] landmarks of the face in ``photo``, in pixels.
    """

    def __init__(self, photo: Image, mesh: NDArray[np.floating[Any]]) -> None:
        points = mesh[:, :2].astype(np.float64)
        left, right = points[UPPER_INNER[0]], points[UPPER_INNER[-1]]
        self.photo = photo
        self.centre = (left + right) / 2
        across = (right - left) / 2
        down = points[CHIN] - points[BROW]
        self.unit = float(np.hypot(*across))
        self.axes = np.stack([across, down / np.hypot(*down) * self.unit], axis=1)
        self.inverse = np.linalg.inv(self.axes)
        local = (points - self.centre) @ self.inverse.T
        self.upper = _fit_line(local[list(UPPER_INNER)])
        self.lower = _fit_line(local[list(LOWER_INNER)])
        self.nose, self.chin = float(local[UNDER_NOSE, 1]), float(local[CHIN, 1])
        self.head = points.mean(axis=0)
        self.box = _box(local, self.centre, self.axes, photo.shape[0])
        self.pixels = _grid(photo.shape[0])
        self.attachment = _attachment(self.pixels, points, photo.shape[0])

    def render(self, opening: float, width: float, pose: Pose) -> Image:
        """Draw one frame.

        Args:
            opening: of the lips in [0, 1].
            width: of the mouth in [-1, 1].
            pose: of the head.

        Returns:
            uint8 [S, S, 3] RGB.
        """
        where = self._head_motion(pose)
        rows, columns = self.box
        local = (where[rows, columns] - self.centre.astype(np.float32)) @ self.inverse.T.astype(np.float32)
        moved, inside, paint = self._mouth(local, opening, width)
        where[rows, columns] = moved @ self.axes.T.astype(np.float32) + self.centre.astype(np.float32)
        x, y = where[..., 0], where[..., 1]
        resampled = cv2.remap(self.photo, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        frame = np.asarray(resampled, np.uint8)
        blended = frame[rows, columns] + inside[..., None] * (paint - frame[rows, columns])
        frame[rows, columns] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
        return frame

    def _head_motion(self, pose: Pose) -> Floats:
        """[S, S, 2] photograph's pixel for each pixel of the frame; the head moves, the picture's border rests."""
        cos, sin = np.cos(pose.angle) / pose.scale, np.sin(pose.angle) / pose.scale
        back = np.array([[cos, sin], [-sin, cos]])
        offset = self.head - back @ (self.head + pose.shift)
        change = self.pixels @ (back - np.eye(2)).T.astype(np.float32) + offset.astype(np.float32)
        return np.asarray(self.pixels + self.attachment * change)

    def _mouth(self, local: Floats, opening: float, width: float) -> tuple[Floats, Floats, Floats]:
        """Where lips and jaw come from, how much of a pixel is inside the mouth, and its colour there."""
        u, v = local[..., 0], local[..., 1]
        parted = opening**PARTING
        amount = -SPREAD * width if width > 0 else -ROUND * width
        u = u * (1 + amount * np.exp(-(u**2 + v**2) / 2))
        upper, lower, profile = _line(self.upper, u), _line(self.lower, u), np.maximum(1 - u**2, 0)
        inset = INSET * profile + TEETH_INSET * np.maximum(lower - upper, 0)
        closed = RELAXED * (upper + 0.4 * (lower - upper))
        top = closed - LIFT * parted * profile
        bottom = closed + DROP * parted * profile
        middle = (top + bottom) / 2

        rise = (upper - inset - top) * _fade((top - v) / (0.9 * abs(self.nose)))
        lip = _fade((v - bottom) / self.chin)
        jaw = JAW_DROP * parted * np.exp(-((u / JAW_WIDTH) ** 4)) * _fade((v - self.chin) / NECK)
        fall = lip * (lower + inset - bottom) - (1 - lip) * jaw
        moved = np.stack([u, v + np.where(v > middle, fall, rise)], axis=-1)

        gap = np.minimum(v - top, bottom - v) * self.unit
        inside = np.clip(gap + 0.5, 0, 1) * np.clip((bottom - top) * self.unit, 0, 1)
        contact = 0.45 * np.exp(-(((v - middle) * self.unit) ** 2)) * np.sqrt(profile)
        return moved, np.maximum(inside, contact), _oral_cavity(u, v, top=top, bottom=bottom, closed=closed)


def head_pose(time: float, phases: NDArray[np.floating[Any]]) -> Pose:
    """A slow, small head motion: translation, rotation and scale as sums of two sines each.

    Args:
        time: seconds.
        phases: [8] radians, a speaker's own in each clip.
    """
    rates = np.array([0.31, 0.47, 0.27, 0.53, 0.23, 0.61, 0.19, 0.41])
    x, x2, y, y2, angle, angle2, scale, scale2 = np.sin(2 * np.pi * rates * time + phases)
    return Pose(
        (2.5 * x + 1.0 * x2, 2.0 * y + 1.0 * y2), np.deg2rad(1.6 * angle + 0.6 * angle2), 1 + 0.012 * (scale + scale2)
    )


def _oral_cavity(u: Floats, v: Floats, top: Floats, bottom: Floats, closed: Floats) -> Floats:
    """Colours [..., 3] behind the lips: upper teeth fixed to the skull, the dark, and the tongue on the jaw."""
    side = np.clip(1 - (u / 0.85) ** 2, 0, 1)
    # A mouth that is just parted shows as much dark as teeth; all teeth, it would pass for closed lips.
    edge = np.minimum(closed + 0.06 * side, top + 0.25 * (bottom - top))
    teeth = _fade((v - edge) / 0.06) * np.sqrt(side)
    shade = 0.55 + 0.45 * np.clip((v - top) / 0.12, 0, 1)
    tongue = np.clip(1 - (bottom - v) / 0.28, 0, 1) * np.exp(-((u / 0.5) ** 2)) * np.clip((bottom - top) / 0.3, 0, 1)
    dark, white, red = (np.array(c, np.float32) for c in ((50, 20, 18), (226, 208, 184), (140, 62, 58)))
    colour = dark + tongue[..., None] * (red - dark)
    return np.asarray(colour + teeth[..., None] * (white * shade[..., None] - colour), np.float32)


def _fit_line(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of v(u) = (1 - u^2) (a + b u + c u^2), which is 0 at both corners, through a lip's inner edge."""
    u, v = points[1:-1].T
    design = (1 - u**2)[:, None] * np.stack([np.ones_like(u), u, u**2], axis=1)
    return np.asarray(np.linalg.lstsq(design, v, rcond=None)[0])


def _line(coefficients: NDArray[np.float64], u: Floats) -> Floats:
    a, b, c = coefficients.astype(np.float32)
    return np.asarray(np.maximum(1 - u**2, 0) * (a + u * (b + u * c)))


def _fade(x: Floats) -> Floats:
    """1 up to 0, 0 from 1 on, smooth between."""
    x = np.clip(x, 0, 1)
    return np.asarray(1 - x * x * (3 - 2 * x))


def _fade_up(x: Floats) -> Floats:
    return 1 - _fade(x)


def _grid(size: int) -> Floats:
    """[size, size, 2] pixel coordinates, x first."""
    return np.ascontiguousarray(np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32))


def _attachment(pixels: Floats, points: NDArray[np.float64], size: int) -> Floats:
    """[S, S, 1] how much each pixel moves with the head: 1 on it, 0 at the picture's border."""
    middle = ((points.min(axis=0) + points.max(axis=0)) / 2).astype(np.float32)
    radius = np.float32(np.ptp(points, axis=0).max() / 2)
    distance = np.hypot(*np.moveaxis(pixels - middle, -1, 0))
    border = np.minimum(pixels, size - 1 - pixels).min(axis=-1)
    near_head = _fade((distance - 1.15 * radius) / (0.9 * radius))
    return np.asarray((near_head * _fade_up(border / (0.12 * size)))[..., None])


def _box(
    local: NDArray[np.float64], centre: NDArray[np.float64], axes: NDArray[np.float64], size: int
) -> tuple[slice, slice]:
    """Rows and columns that lips and jaw can reach in any pose."""
    low, high = local.min(axis=0)[0], local.max(axis=0)[0]
    corners = np.array([[u, v] for u in (low - 0.3, high + 0.3) for v in (-1.4, local[CHIN, 1] + 1.6)])
    pixels = corners @ axes.T + centre
    (x0, y0), (x1, y1) = np.clip(pixels.min(axis=0), 0, size).astype(int), np.clip(pixels.max(axis=0), 0, size)
    return slice(y0, int(y1)), slice(x0, int(x1))
