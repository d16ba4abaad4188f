"""HyperIQA (Su et al., CVPR 2020): quality of a picture without a reference, 0 to 100.

A hyper network looks at what is shown and writes the weights of a small network, which judges how well it is shown.
Facts about its parts, its file and what it is fed are those of the authors' code, SSL92/hyperIQA.
"""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from dubbench.assets import store
from dubbench.errors import DubbenchError, misfit

# Trained on KonIQ-10k.
FILE = "koniq_pretrained.pkl"
# Height and width that pictures are brought to, whatever their shape: KonIQ's landscapes were trained on so, too.
HEIGHT, WIDTH = 512, 384
CROP = 224
# Rows and columns of crops. The authors' demo draws ten at random and takes the mean; these are the middles of equal
# parts of where it draws, so that the same picture always has the same score.
ROWS, COLUMNS = 4, 3
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Channels of the four stages of ResNet-50, of what is taken of the first three, and the cells of 7 x 7 in each.
STAGES = (256, 512, 1024, 2048)
LOCAL = (16, 32, 64)
CELLS = (64, 16, 4)
# How long the vector that is judged is, what of it each of the first three stages gives, and the judge's layers.
VECTOR, PART = 224, 16
LAYERS = (VECTOR, 112, 56, 28, 14)
CONTENT = 112
MAP = 7


class HyperIQA(nn.Module):
    """The network; its parts have the names and shapes of the authors' file. Frozen, in evaluation mode for good."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50  # type: ignore[import-untyped]  # torchvision ships no types

        self.res = resnet50(weights=None)
        del self.res.fc
        for number, (stage, channels, cells) in enumerate(zip(STAGES[:3], LOCAL, CELLS, strict=True), 1):
            pool = nn.Sequential(nn.Conv2d(stage, channels, 1, bias=False), nn.AvgPool2d(MAP))
            self.res.add_module(f"lda{number}_pool", pool)
            self.res.add_module(f"lda{number}_fc", nn.Linear(channels * cells, PART))
        self.res.lda4_fc = nn.Linear(STAGES[3], VECTOR - 3 * PART)
        narrowing = []
        for inner, outer in ((STAGES[3], 1024), (1024, 512), (512, CONTENT)):
            narrowing += [nn.Conv2d(inner, outer, 1), nn.ReLU(inplace=True)]
        self.conv1 = nn.Sequential(*narrowing)
        for number, (inner, outer) in enumerate(pairwise(LAYERS), 1):
            # A map of 7 x 7 for each of so many channels holds the layer's weights.
            self.add_module(f"fc{number}w_conv", nn.Conv2d(CONTENT, inner * outer // MAP**2, 3, padding=1))
            self.add_module(f"fc{number}b_fc", nn.Linear(CONTENT, outer))
        self.fc5w_fc = nn.Linear(CONTENT, LAYERS[-1])
        self.fc5b_fc = nn.Linear(CONTENT, 1)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "HyperIQA":
        """Stay in evaluation mode."""
        super().train(mode=False)
        return self

    def forward(self, crops: Tensor) -> Tensor:
        """Judge crops.

        Args:
            crops: float [N, 3, 224, 224], RGB, by ImageNet's mean and deviation.

        Returns:
            [N], 0 to 100 for pictures as it was trained on; nothing holds it there.
        """
        vector, features = self._seen(crops)
        content = self.conv1(features)
        pooled = content.mean((2, 3))
        value = vector[:, :, None]
        for number, (inner, outer) in enumerate(pairwise(LAYERS), 1):
            weights = self.get_submodule(f"fc{number}w_conv")(content).reshape(-1, outer, inner)
            bias = self.get_submodule(f"fc{number}b_fc")(pooled)
            value = torch.sigmoid(weights @ value + bias[:, :, None])
        score: Tensor = (self.fc5w_fc(pooled)[:, None] @ value)[:, 0, 0] + self.fc5b_fc(pooled)[:, 0]
        return score

    def _seen(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """What is judged [N, 224], local traces of distortion of every stage, and the last stage [N, 2048, 7, 7]."""
        backbone = self.res
        x = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(crops))))
        parts = []
        for number in range(1, 4):
            x = backbone.get_submodule(f"layer{number}")(x)
            cells = backbone.get_submodule(f"lda{number}_pool")(x).flatten(1)
            parts.append(backbone.get_submodule(f"lda{number}_fc")(cells))
        x = backbone.layer4(x)
        parts.append(backbone.lda4_fc(functional.avg_pool2d(x, MAP).flatten(1)))
        return torch.cat(parts, 1), x


def load_hyperiqa(path: Path) -> HyperIQA:
    """Read the authors' ``koniq_pretrained.pkl``; no code in it is run.

    Raises:
        DubbenchError: if the file is damaged or another one.
    """
    network = HyperIQA()
    try:
        network.load_state_dict(store.load_tensors(path))
    except RuntimeError as error:
        raise DubbenchError(f"{path} is not HyperIQA's {FILE} ({misfit(error)}); fetch it again") from error
    return network


@torch.no_grad()
def hyperiqa(network: HyperIQA, frames: Tensor) -> Tensor:
    """Score pictures: the mean over twelve crops of each.

    Pictures are brought to 512 x 384, height by width, whatever their shape, as the authors' demo does.

    Args:
        network: on the device that is to do the work.
        frames: uint8 [N, 3, H, W], RGB.

    Returns:
        float64 [N] on the CPU, 0 to 100, the more the better.
    """
    device = next(network.parameters()).device
    mean, deviation = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, DEVIATION))
    scores = []
    for frame in frames:
        # In uint8 and with antialiasing, as the demo's pictures are resized.
        resized = functional.interpolate(frame[None].cpu(), (HEIGHT, WIDTH), mode="bilinear", antialias=True)[0]
        crops = torch.stack([resized[:, y : y + CROP, x : x + CROP] for y, x in crop_places()]).to(device)
        inputs = (crops.float() / 255 - mean) / deviation
        scores.append(network(inputs).double().mean().cpu())
    return torch.stack(scores) if scores else torch.zeros(0, dtype=torch.float64)


def crop_places() -> list[tuple[int, int]]:
    """First row and column of every crop."""
    return [
        (round((i + 0.5) * (HEIGHT - CROP) / ROWS), round((j + 0.5) * (WIDTH - CROP) / COLUMNS))
        for i in range(ROWS)
        for j in range(COLUMNS)
    ]
