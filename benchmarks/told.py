"""What each method is told when it dubs, beside speech: what `benchmarks.leak` looks for the mouth in.

A function a method, from a batch of its own windows. What is true of a target's mouth and comes from speech when
dubbing (its expression, its lower face's geometry, the landmarks behind losses) is left out or put at rest; what is cut
away from pictures is cut away here by the method's own code. Pictures are told as pictures: the landmarks behind them
tremble with the mouth in ways that a picture does not show.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dubbench.datamodules.batch import Batch
from dubbench.face.crops import mouth_region
from dubbench.face3d import raster
from dubbench.face3d.model import LinearFaceModel, project
from dubbench.models.g4g.masks import face_mask
from dubbench.models.radio.networks import mask_lower_half
from dubbench.models.realtalk.networks import keep_mask
from dubbench.models.two_stages import required

SIDE, REFERENCE_SIDE = 32, 16


class Told(NamedTuple):
    """What the networks get of a batch of B windows, one tensor a kind of input; B is 1 where style frames are read.

    Attributes:
        frames: [B, T, D] of each target frame. References show how a clip is otherwise, so what counts of these is how
            they differ from the clip's mean.
        windows: [B, D] of the window as a whole: references, style, history.
    """

    frames: list[Tensor]
    windows: list[Tensor]


def radio(batch: Batch, face: LinearFaceModel | None) -> Told:
    """The target's upper half; reference pictures (3.1)."""
    return Told([small(mask_lower_half(batch.frames))], [_references(batch)])


def personatalk(batch: Batch, face: LinearFaceModel | None) -> Told:
    """The PNCC map of the target's pose and upper face over a lower face at rest, and that pose in numbers (3.1).

    Of the window: reference pictures, and style and template, as mean and deviation of the style frames' coefficients.
    """
    assert face is not None
    there = required(batch.style_indices)[0] >= 0
    shape, expression = required(batch.style_shape)[:, there], required(batch.style_expression)[:, there]
    vertices = face.vertices(required(batch.shape), required(batch.expression))
    lower = face.regions["lower_face"]
    still = face.vertices(shape.mean(1), torch.zeros_like(expression[:, 0]))
    vertices[:, :, lower] = still[:, None, lower]
    pose, size = required(batch.pose), batch.frames.shape[-1]
    posed = project(vertices.flatten(0, 1), pose.flatten(0, 1), size).numpy()
    maps = torch.from_numpy(raster.pncc_maps(face.pncc().numpy(), posed, face.triangles.numpy(), size))
    drawn = maps.view(*batch.frames.shape)
    return Told([small(drawn, colours=True), pose], [_references(batch), _spread(expression), shape.mean(1)])


def realtalk(batch: Batch, face: LinearFaceModel | None) -> Told:
    """The target outside the mask of a face at rest, its pose and shape (3.2).

    Of the window: the identity's picture and shape, and the history, as mean and deviation.
    """
    assert face is not None
    history = required(batch.reference_expression)[:, 1:]
    shape, pose = required(batch.shape), required(batch.pose)
    at_rest = history.mean(1, keepdim=True).expand(-1, shape.shape[1], -1)
    numbers = (each.flatten(0, 1) for each in (shape, at_rest, pose))
    mask = keep_mask(face, *numbers, size=batch.frames.shape[-1], learnable=True)
    seen = batch.frames * mask.view(*batch.frames.shape[:2], *mask.shape[1:])
    return Told(
        [small(seen), pose, shape], [_references(batch), _spread(history), required(batch.reference_shape)[:, 0]]
    )


def g4g(batch: Batch, face: LinearFaceModel | None) -> Told:
    """The face crop without its mouth region, and the mask that the drawn face is blended by (3.2).

    Of the window: reference crops, and the first one's landmarks.
    """
    mouth = batch.frames.shape[-1] * 8 // 10
    rows, columns = mouth_region(mouth)
    occluded = batch.frames.clone()
    occluded[..., rows, columns] = 0
    mask = face_mask(required(batch.steady_points).flatten(0, 1), mouth)
    shown = mask.view(*batch.frames.shape[:2], *mask.shape[1:])
    return Told([small(occluded), small(shown)], [_references(batch), batch.reference_points[:, 0].flatten(1)])


TOLD: Mapping[str, Callable[[Batch, LinearFaceModel | None], Told]] = {
    "radio": radio,
    "personatalk": personatalk,
    "realtalk": realtalk,
    "g4g": g4g,
}


def small(pictures: Tensor, side: int = SIDE, *, colours: bool = False) -> Tensor:
    """Pictures [B, N, C, H, W] as rows [B, N, D] of ``side`` x ``side`` means, grey unless ``colours``."""
    flat = pictures.flatten(0, 1)
    reduced = F.adaptive_avg_pool2d(flat if colours else flat.mean(1, keepdim=True), side)
    return reduced.flatten(1).view(*pictures.shape[:2], -1)


def _references(batch: Batch) -> Tensor:
    return small(batch.references, REFERENCE_SIDE).mean(1)


def _spread(rows: Tensor) -> Tensor:
    """Mean and deviation of rows [B, N, D]: [B, 2 D]."""
    return torch.cat([rows.mean(1), rows.std(1, correction=0)], 1)
