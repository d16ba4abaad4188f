"""Identity similarity (CSIM): cosine of face embeddings on crops that the ground truth's landmarks align."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import Frames, NetworkMetric
from dubbench.metrics.common.images import grey_levels
from dubbench.metrics.common.inference import evaluating
from dubbench.metrics.networks import pretrained
from dubbench.metrics.networks.embedder import CROP
from dubbench.metrics.networks.pretrained import Pretrained

DEFINITIONS = (
    Definition(
        name="csim",
        text=("cosine of identity embeddings of faces in ArcFace's template, by the ground truth's points in both"),
        unit="1",
        better="higher",
        version=1,
        needs="faces",
        network="embedder",
        order=90,
        title="CSIM",
        reference=(
            "insightface's `norm_crop` at 112 px; any ArcFace-shaped ONNX, `w600k_r50.onnx` (buffalo_l) by default"
        ),
        deviation=(
            "five points from the 68 landmarks of the ground truth, not from insightface's detector, and used "
            "for both frames"
        ),
        reached="1e-7 on saved crops (1e-4), 5e-5 on recomputed crops (5e-3)",
    ),
)

NOSE_TIP, MOUTH_LEFT, MOUTH_RIGHT = 30, 48, 54

Embedder = Callable[[Tensor], Tensor]
"""Takes uint8 RGB crops [N, 3, 112, 112], gives embeddings [N, D]."""


def five_points(points: Tensor) -> Tensor:
    """Eye centres, nose tip and mouth corners, left in the picture first, as ArcFace's alignment takes them.

    Args:
        points: [N, 68, 2] landmarks (x, y) in iBUG order.

    Returns:
        [N, 5, 2] float64, in the unit of ``points``.

    Raises:
        DubbenchError: on another shape.
    """
    if points.ndim != 3 or points.shape[1:] != (68, 2):
        raise DubbenchError(f"landmarks have shape {list(points.shape)}; the five points come from 68, [N, 68, 2]")
    points = points.double()
    eyes = [points[:, start : start + 6].mean(dim=1) for start in (36, 42)]
    return torch.stack([*eyes, points[:, NOSE_TIP], points[:, MOUTH_LEFT], points[:, MOUTH_RIGHT]], dim=1)


def face_crop(image: NDArray[np.uint8], five: NDArray[Any]) -> NDArray[np.uint8]:
    """Cut out a face as ArcFace networks are trained on it: insightface's ``norm_crop``.

    A similarity transform (Umeyama) takes the five points to insightface's template; pixels beyond the image are black.

    Args:
        image: uint8 [H, W, 3].
        five: [5, 2] points as `five_points` gives them, in pixels of ``image``.

    Returns:
        uint8 [112, 112, 3].

    Raises:
        DubbenchError: on other shapes or types, or if the points are not finite or do not span a face.
    """
    from insightface.utils.face_align import norm_crop

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise DubbenchError(f"image is {image.dtype} {list(image.shape)}; a face is cut out of uint8 RGB [H, W, 3]")
    if five.shape != (5, 2):
        raise DubbenchError(f"points of a face have shape {list(five.shape)}; alignment takes five, [5, 2]")
    if not (np.isfinite(five).all() and np.ptp(five, axis=0).max() > 1.0):
        raise DubbenchError(
            f"five points {five.round(1).tolist()} are not finite or coincide, so there is no face to align; "
            "leave frames without a face out, counted"
        )
    with warnings.catch_warnings():
        # scikit-image deprecates the method that insightface calls.
        warnings.filterwarnings("ignore", message="`estimate` is deprecated", category=FutureWarning)
        crop = norm_crop(image, five.astype(np.float64), CROP)
    return np.asarray(crop, dtype=np.uint8)


def csim(embedder: Embedder, pred: Tensor, target: Tensor, points: Tensor) -> Tensor:
    """Cosine of the embeddings of predicted and true face, a value a frame.

    Both frames are cut by the points of the ground truth, so that a landmark detector's opinion of the prediction does
    not enter. Papers leave network and alignment unsaid; a value means something beside the embedder's name only.

    Args:
        embedder: takes uint8 RGB crops [N, 3, 112, 112] on the device of ``pred``, gives [N, D]; such as `ArcFace`.
        pred: [N, 3, H, W] RGB, uint8 or floating in [0, 1].
        target: as ``pred``.
        points: [N, 68, 2] landmarks of the target in its pixels, or the [N, 5, 2] points of `five_points`.

    Returns:
        [N] float64 in [-1, 1] on the CPU, 1 for equal frames.

    Raises:
        DubbenchError: on other shapes, types or ranges, or if points do not span a face.
    """
    fives = five_points(points) if points.shape[1:] == (68, 2) else points.double()
    if fives.shape != (len(pred), 5, 2):
        raise DubbenchError(
            f"points have shape {list(points.shape)} for {len(pred)} frames; give 68 or five a frame, "
            f"{[len(pred), 68, 2]} or {[len(pred), 5, 2]}"
        )
    five = fives.cpu().numpy()
    crops = torch.cat([_crops(images, five) for images in grey_levels(pred, target)]).to(pred.device)
    with evaluating(embedder):
        embeddings = embedder(crops)
    if embeddings.ndim != 2 or len(embeddings) != len(crops):
        raise DubbenchError(f"embedder gave {list(embeddings.shape)} for {len(crops)} crops; one row a crop is due")
    return cosine(*embeddings.chunk(2))


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Cosine of paired embeddings.

    Args:
        left: [N, D] floating.
        right: as ``left``.

    Returns:
        [N] float64 in [-1, 1] on the CPU.
    """
    return functional.cosine_similarity(left.double().cpu(), right.double().cpu(), dim=1)


def _crops(levels: Tensor, fives: NDArray[np.float64]) -> Tensor:
    """Crops uint8 [N, 3, 112, 112] of images [N, 3, H, W] in grey levels."""
    images = levels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    crops = [face_crop(image, five) for image, five in zip(images, fives, strict=True)]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def _csim(frames: Frames, embedder: Embedder) -> Tensor:
    truth = frames.truth
    assert frames.faces is not None
    assert truth.faces is not None
    return cosine(embedder(frames.faces[truth.detected]), truth.once(embedder, truth.faces[truth.detected]))


COMPUTE: dict[str, NetworkMetric] = {"csim": _csim}
NETWORKS = {"embedder": Pretrained(lambda options: pretrained.embedder(options.embedder))}
