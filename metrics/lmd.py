"""Landmark distance (LMD) of the mouth and of the face."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics.mean import SampleMean

Region = Literal["mouth", "face"]
REGIONS: dict[str, slice] = {"mouth": slice(48, 68), "face": slice(0, 68)}


def lmd(pred: Tensor, target: Tensor, region: Region = "mouth", centred: bool = True) -> Tensor:
    """Mean Euclidean distance between the landmarks of a region, a value a frame, in the unit of the points.

    Centring subtracts from each side the mean of its own region, so that head motion does not count; this is the
    LMD of the RAD-NeRF family and of evaluation_eat (a mean, where ATVGnet sums the 20 points).

    Args:
        pred: [N, 68, 2] points (x, y) in iBUG order.
        target: as ``pred``.
        region: ``mouth`` the 20 points from index 48, ``face`` all 68.
        centred: subtract the region's mean.

    Returns:
        [N] float64, 0 for equal points.

    Raises:
        DubbenchError: on other shapes or regions, or points that are not finite.
    """
    if region not in REGIONS:
        raise DubbenchError(f"LMD knows no region {region!r}; there are {', '.join(REGIONS)}")
    left, right = (_region(name, points, region) for name, points in (("prediction", pred), ("target", target)))
    if left.shape != right.shape:
        raise DubbenchError(f"{len(left)} predicted and {len(right)} target frames cannot be paired; give equal counts")
    if centred:
        left, right = left - left.mean(dim=1, keepdim=True), right - right.mean(dim=1, keepdim=True)
    distances: Tensor = torch.linalg.vector_norm(left - right, dim=-1)
    return distances.mean(dim=-1)


def interocular(points: Tensor) -> Tensor:
    """Distance of the outer eye corners (indices 36 and 45, as in 300-W), a value a frame.

    Args:
        points: [N, 68, 2].

    Returns:
        [N] float64, in the unit of the points.
    """
    eyes = _region("landmarks", points, "face")
    distances: Tensor = torch.linalg.vector_norm(eyes[:, 45] - eyes[:, 36], dim=-1)
    return distances


def _region(name: str, points: Tensor, region: Region) -> Tensor:
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise DubbenchError(f"{name} has shape {list(points.shape)}; LMD takes 68 landmarks a frame, [N, 68, 2]")
    if not bool(torch.isfinite(points).all()):
        raise DubbenchError(f"{name} holds landmarks that are not finite; leave frames without a face out, counted")
    return points[:, REGIONS[region]].double()


class LMD(SampleMean):
    """Mean over frames of `lmd`.

    Args:
        region: ``mouth`` or ``face``.
        centred: subtract the region's mean.
        kwargs: torchmetrics' own options.
    """

    higher_is_better = False
    unit: ClassVar[str] = "px"

    def __init__(self, region: Region = "mouth", centred: bool = True, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.region: Region = region
        self.centred = centred

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """[N] one value a frame."""
        return lmd(pred, target, self.region, self.centred)
