"""S3FD, the face detector of the official SyncNet pipeline."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import nms  # type: ignore[import-untyped]  # torchvision ships no types

from dubbench.errors import DubbenchError

POOL = "pool"
TRUNK: tuple[int | str, ...] = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512)
STAGES = (16, 23, 30)  # entries of the trunk after which conv3_3, conv4_3 and conv5_3 are looked at
CEILING = 16  # the one pool that rounds sizes up
STEPS = (4, 8, 16, 32, 64, 128)
SIDES = (16, 32, 64, 128, 256, 512)
VARIANCES = 0.1, 0.2
MEAN = 123.0, 117.0, 104.0  # RGB
SMALLEST = 28  # px, from which on every stage has a pixel

SCALE = 0.25
CONFIDENCE = 0.9
FIRST_OVERLAP, OVERLAP = 0.3, 0.1
CANDIDATES, DETECTIONS = 5000, 750


class S3FD(nn.Module):
    """Single shot scale-invariant face detector (Zhang et al., ICCV 2017) in the layout of ``sfd_face.pth``.

    Network, priors and suppression as ``detectors/s3fd`` of joonson/syncnet_python: a VGG-16 trunk with the first two
    linear layers as convolutions, two further stages, one square prior a cell in each of six maps with strides 4 to
    128, and the maximum of three background scores in the finest map.
    """

    def __init__(self) -> None:
        super().__init__()
        self.vgg = nn.ModuleList(_trunk())
        self.L2Norm3_3 = _Norm(256, 10.0)
        self.L2Norm4_3 = _Norm(512, 8.0)
        self.L2Norm5_3 = _Norm(512, 5.0)
        self.extras = nn.ModuleList(
            [
                nn.Conv2d(1024, 256, 1),
                nn.Conv2d(256, 512, 3, stride=2, padding=1),
                nn.Conv2d(512, 128, 1),
                nn.Conv2d(128, 256, 3, stride=2, padding=1),
            ]
        )
        widths = (256, 512, 512, 1024, 512, 256)
        self.loc = nn.ModuleList(nn.Conv2d(width, 4, 3, padding=1) for width in widths)
        self.conf = nn.ModuleList(nn.Conv2d(width, 2 if i else 4, 3, padding=1) for i, width in enumerate(widths))
        self.requires_grad_(False)
        self.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes and scores of all priors.

        Args:
            pixels: [N, 3, h, w] RGB float, 0..255 less the mean (123, 117, 104); h and w at least 28.

        Returns:
            [N, P, 4] boxes (x0, y0, x1, y1) relative to the picture's size, and [N, P] the faces' probabilities.
        """
        offsets, scores, sizes = [], [], []
        for stage, (loc, conf) in zip(self._stages(pixels), zip(self.loc, self.conf, strict=True), strict=True):
            logits = conf(stage)
            background = logits[:, :-1].amax(1, keepdim=True)
            scores.append(torch.cat([background, logits[:, -1:]], 1).flatten(2).softmax(1)[:, 1])
            offsets.append(loc(stage).flatten(2).transpose(1, 2))
            sizes.append((stage.shape[2], stage.shape[3]))
        boxes = decode(torch.cat(offsets, 1), priors(pixels.shape[2], pixels.shape[3], sizes).to(pixels.device))
        return boxes, torch.cat(scores, 1)

    def _stages(self, pixels: Tensor) -> list[Tensor]:
        stages, norms = [], iter((self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3))
        for i, layer in enumerate(self.vgg):
            if i in STAGES:
                stages.append(next(norms)(pixels))
            pixels = layer(pixels)
        stages.append(pixels)
        for i, layer in enumerate(self.extras):
            pixels = layer(pixels).relu()
            if i % 2:
                stages.append(pixels)
        return stages

    @torch.inference_mode()
    def detect(self, image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """Find faces, at the scale and with the thresholds of ``run_pipeline.py``.

        Args:
            image: uint8 [H, W, 3] RGB, at least 112 px a side.

        Returns:
            Boxes (x0, y0, x1, y1) in px of the image, the surest first; they may leave the image.

        Raises:
            DubbenchError: if the image is too small.
        """
        height, width = image.shape[:2]
        small = cv2.resize(image, dsize=(0, 0), fx=SCALE, fy=SCALE, interpolation=cv2.INTER_LINEAR)
        if min(small.shape[:2]) < SMALLEST:
            raise DubbenchError(
                f"a picture of {width} x {height} is too small for S3FD at a scale of {SCALE}, which takes at least "
                f"{round(SMALLEST / SCALE)} px a side; use another detector's boxes"
            )
        device = self.L2Norm3_3.weight.device
        pixels = torch.from_numpy(small).to(device).float() - torch.tensor(MEAN, device=device)
        boxes, scores = self(pixels.permute(2, 0, 1)[None])
        sure = scores[0] > CONFIDENCE
        relative, scores = boxes[0, sure].cpu(), scores[0, sure].cpu()
        # The original suppresses at 0.3 inside the network and at 0.1 outside; one pass at 0.1 would keep more, for a
        # box that only the first pass drops no longer drops others.
        first = scores.argsort(descending=True)[:CANDIDATES]
        first = first[nms(relative[first], scores[first], FIRST_OVERLAP)][:DETECTIONS]
        found = (relative[first] * torch.tensor([width, height, width, height])).double()
        kept = nms(found, scores[first].double(), OVERLAP)
        return [np.asarray(box, np.float64) for box in found[kept].numpy()]


def priors(height: int, width: int, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """The squares that a network's outputs refer to.

    Args:
        height: of the network's input in px.
        width: of the network's input in px.
        sizes: rows and columns of the six maps.

    Returns:
        float32 [P, 4] centre x, y, width and height relative to the input's size, row after row of map after map.
    """
    found = []
    for (rows, columns), step, side in zip(sizes, STEPS, SIDES, strict=True):
        y, x = torch.meshgrid(
            (torch.arange(rows, dtype=torch.float64) + 0.5) / (height / step),
            (torch.arange(columns, dtype=torch.float64) + 0.5) / (width / step),
            indexing="ij",
        )
        square = [torch.full_like(x, side / width), torch.full_like(x, side / height)]
        found.append(torch.stack([x, y, *square], -1).reshape(-1, 4))
    return torch.cat(found).float()


def decode(offsets: Tensor, squares: Tensor) -> Tensor:
    """Boxes from a network's outputs (SSD's encoding with the variances 0.1 and 0.2).

    Args:
        offsets: [..., P, 4] shift of the centre and logarithm of the size, relative to the priors.
        squares: [P, 4] priors.

    Returns:
        [..., P, 4] boxes (x0, y0, x1, y1) relative to the input's size.
    """
    centre = squares[:, :2] + offsets[..., :2] * VARIANCES[0] * squares[:, 2:]
    size = squares[:, 2:] * torch.exp(offsets[..., 2:] * VARIANCES[1])
    corner = centre - size / 2
    return torch.cat([corner, corner + size], -1)


class _Norm(nn.Module):
    """Scales each pixel's features to length one, then each channel by a weight of its own."""

    def __init__(self, channels: int, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), weight))

    def forward(self, features: Tensor) -> Tensor:
        length: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        return features / (length + 1e-10) * self.weight[:, None, None]


def _trunk() -> list[nn.Module]:
    layers: list[nn.Module] = []
    width = 3
    for entry in (*TRUNK, POOL):
        if isinstance(entry, str):
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=len(layers) == CEILING))
        else:
            layers += [nn.Conv2d(width, entry, 3, padding=1), nn.ReLU()]
            width = entry
    layers += [nn.Conv2d(width, 1024, 3, padding=6, dilation=6), nn.ReLU(), nn.Conv2d(1024, 1024, 1), nn.ReLU()]
    return layers
