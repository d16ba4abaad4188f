"""How the catalogue's metrics are computed, and the frames they are computed on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dubbench.metrics.catalogue import DEFINITIONS, Definition
from dubbench.metrics.csim import cosine
from dubbench.metrics.images import grey_levels
from dubbench.metrics.lmd import interocular, lmd
from dubbench.metrics.ms_ssim import check_size, ms_ssim_scales
from dubbench.metrics.mse import mse
from dubbench.metrics.psnr import psnr
from dubbench.metrics.ssim import ssim_maps, ssim_mean

__all__ = ["DEFINITIONS", "Definition", "Frames", "Pixels", "Truth", "score"]

PAIR = 2


@dataclass(frozen=True)
class Truth:
    """N ground-truth frames in the protocol's crop; what a network says of them is computed once for all candidates.

    Attributes:
        crops: [N, 3, H, W] uint8 RGB.
        mouth: [N, 4] integers, the mouth's box x0, y0, x1, y1 in the crop.
        points: [N, 68, 2] landmarks (x, y) in the 256-pixel aligned frame; any value where ``detected`` is false.
        detected: [N] bool, whether the landmarks are those of the frame itself.
        faces: [N, 3, 112, 112] uint8 RGB in ArcFace's template, or None where no metric asks for them.
    """

    crops: Tensor
    mouth: Tensor
    points: Tensor
    detected: Tensor
    faces: Tensor | None = None
    _known: dict[Any, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def first(self, count: int) -> "Truth":
        """The first frames, for a candidate that has fewer; itself where all are asked for."""
        if count == len(self.crops):
            return self
        faces = None if self.faces is None else self.faces[:count]
        return Truth(self.crops[:count], self.mouth[:count], self.points[:count], self.detected[:count], faces)

    def embeddings(self, embedder: Callable[[Tensor], Tensor]) -> Tensor:
        """[detected, D] identity embeddings of the frames that have a face."""
        if embedder not in self._known:
            assert self.faces is not None
            self._known[embedder] = embedder(self.faces[self.detected])
        return self._known[embedder]


@dataclass(frozen=True)
class Frames:
    """N frames of one candidate beside their ground truth.

    Attributes:
        truth: the ground truth.
        crops: [N, 3, H, W] uint8 RGB, sampled from the same places as the ground truth's.
        points: [N, 68, 2] landmarks in the 256-pixel aligned frame; any value where ``found`` is false.
        found: [N] bool, whether both sides have landmarks.
        faces: as the ground truth's, sampled with the ground truth's points.
    """

    truth: Truth
    crops: Tensor
    points: Tensor
    found: Tensor
    faces: Tensor | None = None

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Landmarks of the frames that have them on both sides, [found, 68, 2] each."""
        return self.points[self.found], self.truth.points[self.found]

    def pixels(self) -> list["Pixels"]:
        """The crops in portions that stay in a processor's cache."""
        count = len(self.crops)
        step = PAIR if self.crops.device.type == "cpu" else max(count, 1)
        return [
            Pixels(self.crops[k : k + step], self.truth.crops[k : k + step], self.truth.mouth[k : k + step])
            for k in range(0, count, step)
        ]


@dataclass(frozen=True)
class Pixels:
    """Some frames' crops; what several pixel metrics share is computed once.

    Attributes:
        pred: [n, 3, H, W] uint8 RGB.
        target: as ``pred``.
        mouth: [n, 4] boxes.
    """

    pred: Tensor
    target: Tensor
    mouth: Tensor

    @cached_property
    def levels(self) -> tuple[Tensor, Tensor]:
        """Both sides in grey levels, [n, 3, H, W] float64 each."""
        return grey_levels(self.pred, self.target)

    @cached_property
    def maps(self) -> tuple[Tensor, Tensor]:
        """Luminance and contrast maps, which three metrics share: they are most of the work."""
        return ssim_maps(*self.levels)


def _ms_ssim(pixels: Pixels) -> Tensor:
    check_size(pixels.pred)
    return ms_ssim_scales(*pixels.levels, pixels.maps[1])


def _lpips(frames: Frames, network: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return network(frames.crops, frames.truth.crops).double()


def _csim(frames: Frames, embedder: Callable[[Tensor], Tensor]) -> Tensor:
    assert frames.faces is not None
    return cosine(embedder(frames.faces[frames.truth.detected]), frames.truth.embeddings(embedder))


# What gives a value a frame, from `Pixels`, from both sides' points, or from `Frames` and the network. Metrics that are
# not here follow whole clips or splits.
COMPUTED: dict[str, Callable[..., Tensor]] = {
    "psnr": lambda p: psnr(p.pred, p.target),
    "ssim": lambda p: ssim_mean(p.maps[0] * p.maps[1]),
    "ms_ssim": _ms_ssim,
    "mse": lambda p: mse(p.pred, p.target),
    "psnr_mouth": lambda p: psnr(p.pred, p.target, p.mouth),
    "ssim_mouth": lambda p: ssim_mean(p.maps[0] * p.maps[1], p.mouth),
    "lpips_alex": _lpips,
    "lpips_vgg": _lpips,
    "csim": _csim,
    "lmd": lmd,
    "lmd_iod": lambda pred, truth: lmd(pred, truth) / interocular(truth),
    "lmd_uncentred": lambda pred, truth: lmd(pred, truth, centred=False),
    "f_lmd": lambda pred, truth: lmd(pred, truth, region="face"),
    "f_lmd_uncentred": lambda pred, truth: lmd(pred, truth, region="face", centred=False),
}


def score(frames: Frames, names: Iterable[str], networks: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """Compute those of the named metrics that have a value a frame.

    Args:
        frames: a candidate's frames.
        names: of `DEFINITIONS`; those that follow clips or splits are passed over.
        networks: by key, for the metrics that need one.

    Returns:
        By name, float64 values: [N] for pixels and crops, else one for each frame that has what is needed.
    """
    chosen = {name: DEFINITIONS[name] for name in names if name in COMPUTED}
    portions = frames.pixels() if any(d.needs == "pixels" for d in chosen.values()) else []
    found: dict[str, Tensor] = {}
    for name, definition in chosen.items():
        compute = COMPUTED[name]
        if definition.needs == "pixels":
            found[name] = torch.cat([compute(portion) for portion in portions])
        elif definition.needs == "landmarks":
            found[name] = compute(*frames.pairs)
        else:
            found[name] = compute(frames, (networks or {})[definition.network])
    return found
