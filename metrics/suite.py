"""The catalogue of frame metrics under their result names, run together on a batch of frames."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from dubbench.metrics.images import grey_levels
from dubbench.metrics.lmd import interocular, lmd
from dubbench.metrics.ms_ssim import check_size, ms_ssim_scales
from dubbench.metrics.mse import mse
from dubbench.metrics.psnr import psnr
from dubbench.metrics.ssim import ssim_maps, ssim_mean

PAIR = 2
Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Frames:
    """N frames of one prediction and their ground truth, in the protocol's crop.

    Attributes:
        pred: [N, 3, H, W] uint8 RGB.
        target: as ``pred``.
        mouth: [N, 4] integers, the mouth's box x0, y0, x1, y1 in the crop, from the ground truth.
        pred_points: [N, 68, 2] landmarks (x, y) in the 256-pixel aligned frame; any value where ``found`` is false.
        target_points: as ``pred_points``.
        found: [N] bool, whether both sides have landmarks.
    """

    pred: Tensor
    target: Tensor
    mouth: Tensor
    pred_points: Tensor
    target_points: Tensor
    found: Tensor

    def rows(self, rows: slice) -> "Frames":
        """Some of the frames."""
        return Frames(*(getattr(self, field.name)[rows] for field in fields(self)))

    @cached_property
    def levels(self) -> tuple[Tensor, Tensor]:
        """Both sides in grey levels, [N, 3, H, W] float64 each."""
        return grey_levels(self.pred, self.target)

    @cached_property
    def maps(self) -> tuple[Tensor, Tensor]:
        """Luminance and contrast maps, which three metrics share: they are most of the work."""
        return ssim_maps(*self.levels)

    @property
    def points(self) -> tuple[Tensor, Tensor]:
        """Landmarks of the frames that have them on both sides, [found, 68, 2] each."""
        return self.pred_points[self.found], self.target_points[self.found]


@dataclass(frozen=True)
class Definition:
    """A metric as results record it.

    Attributes:
        text: the definition in one line.
        unit: what a value is measured in.
        better: the good direction; empty where there is none to compare by.
        version: raised whenever the same frames could get another value.
        needs: ``pixels``, or ``landmarks``: then only frames with a face on both sides have a value.
        compute: gives one value a frame.
    """

    text: str
    unit: str
    better: Better
    version: int
    needs: Literal["pixels", "landmarks"]
    compute: Callable[[Frames], Tensor]


def _ms_ssim(frames: Frames) -> Tensor:
    check_size(frames.pred)
    return ms_ssim_scales(*frames.levels, frames.maps[1])


DEFINITIONS: dict[str, Definition] = {
    "psnr": Definition(
        "10 log10(255^2 / MSE) a frame", "dB", "higher", 1, "pixels", lambda f: psnr(f.pred, f.target)
    ),
    "ssim": Definition(
        "SSIM, 11-tap Gaussian of sigma 1.5, population covariance, border of 5 left out, mean of RGB",
        "1", "higher", 1, "pixels", lambda f: ssim_mean(f.maps[0] * f.maps[1]),
    ),
    "ms_ssim": Definition(
        "MS-SSIM, five scales, 11-tap Gaussian of sigma 1.5, relu",
        "1", "higher", 1, "pixels", _ms_ssim,
    ),
    "mse": Definition(
        "mean squared error over pixels and channels", "grey levels^2", "lower", 1, "pixels",
        lambda f: mse(f.pred, f.target),
    ),
    "psnr_mouth": Definition(
        "PSNR inside the box of the ground truth's mouth landmarks, widened by 25 % a side",
        "dB", "higher", 1, "pixels", lambda f: psnr(f.pred, f.target, f.mouth),
    ),
    "ssim_mouth": Definition(
        "mean of the SSIM map inside the box of psnr_mouth",
        "1", "higher", 1, "pixels", lambda f: ssim_mean(f.maps[0] * f.maps[1], f.mouth),
    ),
    "lmd": Definition(
        "mean distance of the 20 mouth landmarks, each mouth centred, in the 256-pixel aligned frame",
        "px@256", "lower", 1, "landmarks", lambda f: lmd(*f.points),
    ),
    "lmd_iod": Definition(
        "lmd over the ground truth's distance of the outer eye corners",
        "eye distances", "lower", 1, "landmarks", lambda f: lmd(*f.points) / interocular(f.points[1]),
    ),
    "lmd_uncentred": Definition(
        "lmd without centring", "px@256", "lower", 1, "landmarks", lambda f: lmd(*f.points, centred=False)
    ),
    "f_lmd": Definition(
        "mean distance of all 68 landmarks, each face centred, in the 256-pixel aligned frame",
        "px@256", "lower", 1, "landmarks", lambda f: lmd(*f.points, region="face"),
    ),
    "f_lmd_uncentred": Definition(
        "f_lmd without centring", "px@256", "lower", 1, "landmarks",
        lambda f: lmd(*f.points, region="face", centred=False),
    ),
}  # fmt: skip


def score(frames: Frames, names: Iterable[str]) -> dict[str, Tensor]:
    """Compute the named metrics of `DEFINITIONS`.

    Returns:
        By name, float64 values: [N] for pixel metrics, [number found] for landmark metrics.
    """
    names = list(names)
    count = len(frames.pred)
    # On a CPU, two frames at a time stay in its cache.
    step = PAIR if frames.pred.device.type == "cpu" else max(count, 1)
    parts = [frames.rows(slice(start, start + step)) for start in range(0, count, step)]
    return {name: torch.cat([DEFINITIONS[name].compute(part) for part in parts]) for name in names}
