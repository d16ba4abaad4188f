"""Landmark distance (LMD) of the mouth and of the face."""

from typing import Literal

import torch
from torch import Tensor

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import LandmarkMetric

DEFINITIONS = (
    Definition(
        name="lmd",
        text="mean distance of the 20 mouth landmarks, each mouth centred, in the 256-pixel aligned frame",
        unit="px@256",
        better="lower",
        version=1,
        needs="landmarks",
        order=100,
        title="LMD",
        reference="evaluation_eat, `LMDMeter` of the RAD-NeRF family",
        deviation="landmarks by MediaPipe's mesh",
        reached="analytic",
    ),
    Definition(
        name="lmd_iod",
        text="lmd over the ground truth's distance of the outer eye corners",
        unit="eye distances",
        better="lower",
        version=1,
        needs="landmarks",
        order=110,
        title="LMD over eye distance",
        reference="as `lmd`",
        deviation="as `lmd`",
        reached="analytic",
    ),
    Definition(
        name="lmd_uncentred",
        text="lmd without centring",
        unit="px@256",
        better="lower",
        version=1,
        needs="landmarks",
        order=120,
        minor=True,
        title="LMD, uncentred",
        reference="as `lmd`",
        deviation="as `lmd`",
        reached="analytic",
    ),
    Definition(
        name="f_lmd",
        text="mean distance of all 68 landmarks, each face centred, in the 256-pixel aligned frame",
        unit="px@256",
        better="lower",
        version=1,
        needs="landmarks",
        order=130,
        title="F-LMD",
        reference="evaluation_eat",
        deviation="landmarks by MediaPipe's mesh",
        reached="analytic",
    ),
    Definition(
        name="f_lmd_uncentred",
        text="f_lmd without centring",
        unit="px@256",
        better="lower",
        version=1,
        needs="landmarks",
        order=140,
        minor=True,
        title="F-LMD, uncentred",
        reference="as `f_lmd`",
        deviation="as `f_lmd`",
        reached="analytic",
    ),
    Definition(
        name="lmd_outside_uncentred",
        text="mean distance of the 48 landmarks outside the mouth, without centring, in the 256-pixel aligned frame",
        unit="px@256",
        better="lower",
        version=1,
        needs="landmarks",
        order=150,
        minor=True,
        title="LMD outside the mouth, uncentred",
        reference="RealTalk's Table 2, whose LMD is the mean of its M-LMD over 20 and its F-LMD over 48 points",
        deviation="as `f_lmd`; that table's centring, its own for all three, is not known",
        reached="analytic",
    ),
)

Region = Literal["mouth", "face", "outside"]
REGIONS: dict[str, slice] = {"mouth": slice(48, 68), "face": slice(0, 68), "outside": slice(0, 48)}


def lmd(pred: Tensor, target: Tensor, region: Region = "mouth", centred: bool = True) -> Tensor:
    """Mean Euclidean distance between the landmarks of a region, a value a frame, in the unit of the points.

    Centring subtracts from each side the mean of its own region, so that head motion does not count; this is the
    LMD of the RAD-NeRF family and of evaluation_eat (a mean, where ATVGnet sums the 20 points).

    Args:
        pred: [N, 68, 2] points (x, y) in iBUG order.
        target: as ``pred``.
        region: ``mouth`` the 20 points from index 48, ``face`` all 68, ``outside`` the 48 that are not the mouth's.
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


COMPUTE: dict[str, LandmarkMetric] = {
    "lmd": lmd,
    "lmd_iod": lambda pred, target: lmd(pred, target) / interocular(target),
    "lmd_uncentred": lambda pred, target: lmd(pred, target, centred=False),
    "f_lmd": lambda pred, target: lmd(pred, target, region="face"),
    "f_lmd_uncentred": lambda pred, target: lmd(pred, target, region="face", centred=False),
    "lmd_outside_uncentred": lambda pred, target: lmd(pred, target, region="outside", centred=False),
}
