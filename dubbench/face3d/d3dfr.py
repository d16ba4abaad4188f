"""D3DFR (Deng et al. 2019): a network that regresses the Basel face model's coefficients from a picture of a face.

PersonaTalk 3.1 starts its fit from this network. Facts about it, its input and its file are those of
Deep3DFaceRecon_pytorch.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.core.weights import refusal
from dubbench.errors import DubbenchError, misfit
from dubbench.face.warp import warp
from dubbench.face3d.first_guess import Coefficients, weak_perspective
from dubbench.face3d.fitting import between
from dubbench.face3d.model import POSE_SIZE, LinearFaceModel
from dubbench.media.container import Image

FILE = "epoch_20.pth"
STATE = "net_recon"
SIZE = 224
SHAPES, EXPRESSIONS = 80, 64
# Channels of the heads, in the file's order: shape, expression, texture, angles, light, shift in the plane, depth.
HEADS = (SHAPES, EXPRESSIONS, 80, 3, 27, 2, 1)
FEATURES = 2048
FRAMES_AT_ONCE = 16
# The pixels of its input that a decimetre of the mean face takes up.
PIXELS = 102.0
# Eye centres, nose tip and mouth corners of the mean face in decimetres: x right, y up, z to the camera, the origin
# where the input's centre is to be. The network was trained on pictures placed by just these. The face model does not
# give them: it keeps neither the decimetre nor that origin.
STANDARD = (
    (-0.31148657, 0.29036078, 0.13377953),
    (0.30979887, 0.28972036, 0.13179526),
    (0.0032535, -0.04617932, 0.55244243),
    (-0.25216928, -0.38133916, 0.22405732),
    (0.2484662, -0.38128236, 0.22235769),
)


class ReconNet(nn.Module):
    """ResNet-50 with seven 1 x 1 convolutions on its pooled features; two of them are of use here.

    The others stand for texture, light and pose. They are kept so that the file fits name by name. Frozen, and in
    evaluation mode for good.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50  # type: ignore[import-untyped]  # torchvision ships no types

        self.backbone = resnet50(weights=None)
        self.backbone.fc = nn.Identity()
        self.final_layers = nn.ModuleList(nn.Conv2d(FEATURES, channels, 1) for channels in HEADS)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "ReconNet":
        """Stay in evaluation mode."""
        super().train(mode=False)
        return self

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Regress coefficients.

        Args:
            crops: [N, 3, 224, 224], RGB in [0, 1], placed by `crop_transforms`.

        Returns:
            shape [N, 80] and expression [N, 64] in deviations of the Basel model's components.
        """
        features = self.backbone(crops)[..., None, None]
        shape, expression = (head(features).flatten(1) for head in self.final_layers[:2])
        return shape, expression


def load_d3dfr(path: Path) -> ReconNet:
    """Read ``epoch_20.pth``, which holds the network beside the state of its optimiser; no code in it is run.

    Raises:
        DubbenchError: if the file is damaged or another one.
    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(held, Mapping) or not isinstance(held.get(STATE), Mapping):
            raise ValueError(f"it holds no {STATE}")
        network = ReconNet()
        network.load_state_dict(held[STATE])
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        told = misfit(error) if isinstance(error, RuntimeError) else ""
        reason = told or refusal(error)
        raise DubbenchError(
            f"{path} is not Deep3DFaceRecon's {FILE} ({reason}); bring it anew, or take it away to do without"
        ) from error
    return network


def crop_transforms(points: Tensor) -> Tensor:
    """Where the network is to look: no turn, the face's distance and centre those of the mean face.

    Scale and centre are the mean row length and the shift of the affine camera that brings `STANDARD` nearest to the
    face's five points (POS, DeMenthon and Davis 1995).

    Args:
        points: [N, 68, 2] landmarks, continuous pixels.

    Returns:
        [N, 2, 3] from (u, v, 1) of the crop, 0..224 continuous, to the space of the points.
    """
    eyes = [points[:, [a, b]].mean(1) for a, b in ((36, 39), (42, 45))]
    five = torch.stack([*eyes, points[:, 30], points[:, 48], points[:, 54]], 1).double()
    standard = torch.tensor(STANDARD, dtype=five.dtype, device=five.device)
    design = torch.cat([standard, torch.ones_like(standard[:, :1])], 1)
    camera = torch.linalg.pinv(design) @ five  # [N, 4, 2]
    scale = torch.linalg.vector_norm(camera[:, :3], dim=1).mean(-1) / PIXELS
    linear = scale[:, None, None] * torch.eye(2, dtype=five.dtype, device=five.device)
    return torch.cat([linear, (camera[:, 3] - scale[:, None] * SIZE / 2)[..., None]], -1)


@torch.no_grad()
def network_guess(
    network: ReconNet, model: LinearFaceModel, frames: Iterable[Image], points: Tensor, detected: Tensor
) -> Coefficients:
    """First coefficients of a clip from the network, in the memory of a few frames.

    As in `dubbench.face3d.fitting.clip_guess` there is one shape for the clip, the mean of its frames', and frames
    without a face lie between others.

    Args:
        network: on the device that is to do the work.
        model: the Basel face model as Deep3DFaceRecon packs it.
        frames: all T aligned frames in order, uint8 [S, S, 3], RGB.
        points: [T, 68, 2] landmarks, pixels of the aligned square at 256.
        detected: bool [T], at least one of them true.

    Raises:
        DubbenchError: if the face model has other components than the network regresses.
    """
    if model.sizes[1:] != (SHAPES, EXPRESSIONS):
        raise DubbenchError(
            f"{FILE} regresses {SHAPES} shape and {EXPRESSIONS} expression coefficients, the face model has "
            f"{model.sizes[1]} and {model.sizes[2]}; bring Deep3DFaceRecon's BFM_model_front.mat anew, or take {FILE} "
            "away"
        )
    device = next(network.parameters()).device
    parts = [network(batch.to(device)) for batch in _batches(frames, points, detected)]
    # Both sides mean the same by a coefficient: the packed bases are scaled to unit deviation, and so is the output.
    shapes, expression = (torch.cat(part).to(points) for part in zip(*parts, strict=True))
    shape = shapes.mean(0)
    seen = detected.nonzero()[:, 0]
    # The network's own pose is of a perspective camera; ours is weak, so the landmarks give the pose on its face.
    mean, shape_basis, expression_basis = (
        array.index_select(-2, model.landmarks) for array in (model.mean, model.shape_basis, model.expression_basis)
    )
    neutral = mean + torch.einsum("s,svk->vk", shape, shape_basis)
    faces = neutral + torch.einsum("te,evk->tvk", expression, expression_basis)
    pose = weak_perspective(faces, points[seen])
    rows = (shape.expand(len(seen), -1), expression, pose)
    return Coefficients(*(between(part, seen, len(points)) for part in rows))


def _batches(frames: Iterable[Image], points: Tensor, detected: Tensor) -> Iterator[Tensor]:
    """Crops of the frames with a face, float32 [N, 3, 224, 224] in [0, 1]."""
    transforms = crop_transforms(points).cpu().numpy()
    crops: list[Image] = []
    for frame, transform, seen in zip(frames, transforms, detected.tolist(), strict=True):
        if seen:
            crops.append(_crop(frame, transform))
        if len(crops) == FRAMES_AT_ONCE:
            yield _input(crops)
            crops = []
    if crops:
        yield _input(crops)


def _crop(frame: Image, transform: NDArray[np.float64]) -> Image:
    """Sample the crop from an aligned frame, given the transform to the aligned square at 256."""
    to_indices = transform * (len(frame) / POSE_SIZE)
    to_indices[:, 2] -= 0.5  # pixel j is centred at j + 0.5, and has index j
    return warp(frame, to_indices, SIZE)


def _input(crops: list[Image]) -> Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
