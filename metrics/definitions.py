"""The catalogue of metrics under their result names, and the frames they are computed on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from dubbench.metrics.csim import cosine
from dubbench.metrics.images import grey_levels
from dubbench.metrics.lmd import interocular, lmd
from dubbench.metrics.ms_ssim import check_size, ms_ssim_scales
from dubbench.metrics.mse import mse
from dubbench.metrics.psnr import psnr
from dubbench.metrics.ssim import ssim_maps, ssim_mean

PAIR = 2
Better = Literal["higher", "lower", ""]
Needs = Literal["pixels", "landmarks", "crops", "faces", "speech", "motion", "pool"]


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


@dataclass(frozen=True)
class Definition:
    """A metric as results record it.

    Attributes:
        text: the definition in one line.
        unit: what a value is measured in.
        better: the good direction; empty where there is none to compare by.
        version: raised whenever the same frames could get another value.
        needs: what it is computed on, and so what can be missing: ``pixels`` and ``crops`` every frame's crop,
            ``landmarks`` frames with a face on both sides, ``faces`` frames with a face in the ground truth,
            ``speech`` a face track and its speech (a value a clip), ``motion`` frames with a face on both sides (a
            value a clip), ``pool`` all frames of a split (one value).
        network: key of the network it needs in a `dubbench.metrics.suite.Suite`; empty for none.
        compute: gives a value a frame, from `Pixels`, from both sides' points, or from `Frames` and the network; None
            where the suite follows whole clips or splits.
    """

    text: str
    unit: str
    better: Better
    version: int
    needs: Needs
    network: str = ""
    compute: Callable[..., Tensor] | None = None


def _ms_ssim(pixels: Pixels) -> Tensor:
    check_size(pixels.pred)
    return ms_ssim_scales(*pixels.levels, pixels.maps[1])


def _lpips(frames: Frames, network: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return network(frames.crops, frames.truth.crops).double()


def _csim(frames: Frames, embedder: Callable[[Tensor], Tensor]) -> Tensor:
    assert frames.faces is not None
    return cosine(embedder(frames.faces[frames.truth.detected]), frames.truth.embeddings(embedder))


DEFINITIONS: dict[str, Definition] = {
    "psnr": Definition(
        "10 log10(255^2 / MSE) a frame", "dB", "higher", 1, "pixels", compute=lambda p: psnr(p.pred, p.target)
    ),
    "ssim": Definition(
        "SSIM, 11-tap Gaussian of sigma 1.5, population covariance, border of 5 left out, mean of RGB",
        "1", "higher", 1, "pixels", compute=lambda p: ssim_mean(p.maps[0] * p.maps[1]),
    ),
    "ms_ssim": Definition(
        "MS-SSIM, five scales, 11-tap Gaussian of sigma 1.5, relu", "1", "higher", 1, "pixels", compute=_ms_ssim
    ),
    "mse": Definition(
        "mean squared error over pixels and channels", "grey levels^2", "lower", 1, "pixels",
        compute=lambda p: mse(p.pred, p.target),
    ),
    "psnr_mouth": Definition(
        "PSNR inside the box of the ground truth's mouth landmarks, widened by 25 % a side",
        "dB", "higher", 1, "pixels", compute=lambda p: psnr(p.pred, p.target, p.mouth),
    ),
    "ssim_mouth": Definition(
        "mean of the SSIM map inside the box of psnr_mouth",
        "1", "higher", 1, "pixels", compute=lambda p: ssim_mean(p.maps[0] * p.maps[1], p.mouth),
    ),
    "lpips_alex": Definition(
        "LPIPS 0.1 with AlexNet's features", "1", "lower", 1, "crops", "lpips_alex", _lpips
    ),
    "lpips_vgg": Definition(
        "LPIPS 0.1 with VGG16's features", "1", "lower", 1, "crops", "lpips_vgg", _lpips
    ),
    "csim": Definition(
        "cosine of identity embeddings of faces in ArcFace's template, by the ground truth's points in both",
        "1", "higher", 1, "faces", "embedder", _csim,
    ),
    "lmd": Definition(
        "mean distance of the 20 mouth landmarks, each mouth centred, in the 256-pixel aligned frame",
        "px@256", "lower", 1, "landmarks", compute=lmd,
    ),
    "lmd_iod": Definition(
        "lmd over the ground truth's distance of the outer eye corners",
        "eye distances", "lower", 1, "landmarks", compute=lambda pred, truth: lmd(pred, truth) / interocular(truth),
    ),
    "lmd_uncentred": Definition(
        "lmd without centring", "px@256", "lower", 1, "landmarks",
        compute=lambda pred, truth: lmd(pred, truth, centred=False),
    ),
    "f_lmd": Definition(
        "mean distance of all 68 landmarks, each face centred, in the 256-pixel aligned frame",
        "px@256", "lower", 1, "landmarks", compute=lambda pred, truth: lmd(pred, truth, region="face"),
    ),
    "f_lmd_uncentred": Definition(
        "f_lmd without centring", "px@256", "lower", 1, "landmarks",
        compute=lambda pred, truth: lmd(pred, truth, region="face", centred=False),
    ),
    "sync_c": Definition(
        "SyncNet v2 confidence (LSE-C) of the longest face track: median less minimum of the 31 shifts' mean distances",
        "1", "higher", 1, "speech", "syncnet",
    ),
    "sync_d": Definition(
        "SyncNet v2 distance (LSE-D) of the longest face track: the smallest of the 31 shifts' mean distances",
        "1", "lower", 1, "speech", "syncnet",
    ),
    "av_offset": Definition(
        "shift of that smallest distance; negative where the sound comes late", "frames", "", 1, "speech", "syncnet"
    ),
    "sync_similarity": Definition(
        "mean cosine of dubbench's sync expert over all windows of five aligned frames and their speech",
        "1", "higher", 1, "speech", "sync_expert",
    ),
    "style_sim": Definition(
        "StyleSim: mean over 4-s windows of the cosine of dubbench's style encoder, expression-only vertices fitted to "
        "the 68 landmarks of either video",
        "1", "higher", 1, "motion", "style_encoder",
    ),
    "fid": Definition(
        "Frechet distance of pytorch-fid's Inception features over all crops of the split", "1", "lower", 1, "pool",
        "inception",
    ),
    "kid": Definition(
        "unbiased squared MMD of the same features, cubic kernel, over at most 5000 crops a side",
        "1", "lower", 1, "pool", "inception",
    ),
}  # fmt: skip


def score(frames: Frames, names: Iterable[str], networks: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """Compute those of the named metrics that have a value a frame.

    Args:
        frames: a candidate's frames.
        names: of `DEFINITIONS`; those that follow clips or splits are passed over.
        networks: by key, for the metrics that need one.

    Returns:
        By name, float64 values: [N] for pixels and crops, else one for each frame that has what is needed.
    """
    chosen = {name: DEFINITIONS[name] for name in names if DEFINITIONS[name].compute is not None}
    portions = frames.pixels() if any(d.needs == "pixels" for d in chosen.values()) else []
    found: dict[str, Tensor] = {}
    for name, definition in chosen.items():
        compute = definition.compute
        assert compute is not None
        if definition.needs == "pixels":
            found[name] = torch.cat([compute(portion) for portion in portions])
        elif definition.needs == "landmarks":
            found[name] = compute(*frames.pairs)
        else:
            found[name] = compute(frames, (networks or {})[definition.network])
    return found
