"""The one way that images and boxes enter a pixel metric: checked, then in grey levels as float64."""

from hashlib import blake2b

import torch
from torch import Tensor

from dubbench.errors import DubbenchError


def grey_levels(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Check a pair of RGB batches and bring them to grey levels.

    Args:
        pred: [N, 3, H, W] RGB, uint8 in 0..255 or floating in [0, 1].
        target: the same shape; its type may differ from that of ``pred``.

    Returns:
        Both as float64 in 0..255, so that a difference of uint8 images cannot wrap.

    Raises:
        DubbenchError: on another shape, type or range.
    """
    if pred.shape != target.shape:
        raise DubbenchError(
            f"prediction {list(pred.shape)} and target {list(target.shape)} differ in shape; give equal batches"
        )
    return levels("prediction", pred), levels("target", target)


def levels(name: str, images: Tensor) -> Tensor:
    """Check one RGB batch and bring it to grey levels.

    Args:
        name: what errors call it.
        images: [N, 3, H, W] RGB, uint8 in 0..255 or floating in [0, 1].

    Returns:
        float64 in 0..255.

    Raises:
        DubbenchError: on another shape, type or range.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise DubbenchError(f"{name} has shape {list(images.shape)}; a pixel metric takes RGB batches [N, 3, H, W]")
    if not images.numel():
        raise DubbenchError(f"{name} has shape {list(images.shape)} and so no pixel; give at least one image")
    if images.dtype == torch.uint8:
        return images.double()
    if not images.is_floating_point():
        raise DubbenchError(f"{name} is {images.dtype}; a pixel metric takes uint8, or floating images in [0, 1]")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0.0 and high <= 1.0):  # also false for NaN
        raise DubbenchError(
            f"{name} holds values from {low:g} to {high:g}, but floating images must lie in [0, 1]; "
            "map [-1, 1] by (x + 1) / 2, or give uint8"
        )
    return images.double() * 255.0


def image_keys(images: Tensor) -> Tensor:
    """A pseudo-random key an image that depends on nothing but its pixels.

    Args:
        images: [N, 3, H, W] RGB, uint8 or floating in [0, 1]; the latter are rounded to grey levels first.

    Returns:
        [N] int64, at least 0, on the CPU.

    Raises:
        DubbenchError: on another shape, type or range.
    """
    pixels = levels("image batch", images).round().to("cpu", torch.uint8)
    digests = (blake2b(image.numpy().tobytes(), digest_size=8).digest() for image in pixels)
    return torch.tensor([int.from_bytes(digest, "big") >> 1 for digest in digests], dtype=torch.int64)


def check_boxes(boxes: Tensor, count: int, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Read boxes as tuples (x0, y0, x1, y1), the right and lower end excluded.

    Args:
        boxes: [N, 4] integers in pixels.
        count: number of images N.
        width: of an image.
        height: of an image.

    Raises:
        DubbenchError: if a box is empty or leaves its image.
    """
    if boxes.shape != (count, 4) or boxes.is_floating_point():
        raise DubbenchError(f"boxes are {boxes.dtype} {list(boxes.shape)}; give integers {[count, 4]}, one an image")
    found = []
    for x0, y0, x1, y1 in boxes.tolist():
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise DubbenchError(f"box {(x0, y0, x1, y1)} is empty or leaves the {width} x {height} image")
        found.append((x0, y0, x1, y1))
    return found
