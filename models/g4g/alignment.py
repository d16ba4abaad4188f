"""G4G's alignment of the source with landmarks, and of pictures with speech (3.1)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.models.layers.residual import ResidualBlock, group_norm
from dubbench.models.losses import contrastive_scale

# AdaIN takes means and deviations along a channel, and 3.1.1 has 1D convolutions, so a feature of d numbers is seen as
# d / POSITIONS channels of so many positions; not printed.
POSITIONS = 16
CELLS = (4, 4)  # what an encoder's last map is pooled to: where the mouth is, and not only that it is, must be told
STEPS = 3  # how often an encoder's map is halved before that; not printed
TEMPERATURE = 0.07  # tau of eqs. 8 and 9 when training begins; not printed, CLIP's


class Embedding(nn.Module):
    """The lower half of an encoder: a feature map becomes one vector of R^d.

    Args:
        channels: of the map.
        dim: d.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(channels, channels, 3, stride=2, padding=1), group_norm(channels), nn.SiLU())
                for _ in range(STEPS)
            )
        )
        self.out = nn.Linear(channels * math.prod(CELLS), dim)

    def forward(self, feature: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, d]."""
        pooled = F.adaptive_avg_pool2d(self.steps(feature), CELLS)
        embedded: Tensor = self.out(pooled.flatten(1))
        return embedded


class PictureEncoder(nn.Module):
    """E_s and E_r (eqs. 2 and 3): a feature map at a quarter of the resolution, and a vector.

    Args:
        inputs: channels of the pictures.
        widths: channels at the resolution and at its half.
        channels: of the feature map.
        dim: d.
    """

    def __init__(self, inputs: int, widths: Sequence[int], channels: int, dim: int) -> None:
        super().__init__()
        full, half = widths
        self.trunk = nn.Sequential(
            nn.Conv2d(inputs, full, 7, padding=3), ResidualBlock(full, half, 2), ResidualBlock(half, channels, 2)
        )
        self.embedding = Embedding(channels, dim)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Feature map [N, channels, H / 4, W / 4] and vector [N, d] of pictures [N, inputs, H, W]."""
        feature = self.trunk(pictures)
        return feature, self.embedding(feature)


class LandmarkEncoder(nn.Module):
    """E_l (eq. 4): a landmark map [N, 1, H, W] becomes a vector [N, d].

    Args:
        widths: channels at half and at a quarter of the resolution.
        dim: d.
    """

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        half, quarter = widths
        # No norm before the first activation: how many pixels are drawn on tells how large a face is.
        self.trunk = nn.Sequential(
            nn.Conv2d(1, half, 5, stride=2, padding=2), nn.SiLU(), ResidualBlock(half, quarter, 2)
        )
        self.embedding = Embedding(quarter, dim)

    def forward(self, maps: Tensor) -> Tensor:
        """Encode maps."""
        encoded: Tensor = self.embedding(self.trunk(maps))
        return encoded


class AdaIN1d(nn.Module):
    """Eq. 5: channels take the deviation and mean that fully connected layers make of the landmark feature.

    Args:
        channels: of what is modulated.
        dim: of the landmark feature.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.parameters_of = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, 2 * channels))

    def forward(self, x: Tensor, landmark: Tensor) -> Tensor:
        """Modulate [N, channels, L] by l_r [N, dim]."""
        deviation, mean = self.parameters_of(landmark)[..., None].chunk(2, 1)
        # One more than what is predicted, so that training begins from a plain instance norm.
        return torch.addcmul(mean, F.instance_norm(x), 1 + deviation)


class AlignmentBlock(nn.Module):
    """Residual block, by AdaIN or, where alignment is ablated, by plain convolutions (3.1.1; 4.6).

    Args:
        channels: of what is aligned.
        dim: of the landmark feature; None for plain convolutions.
    """

    def __init__(self, channels: int, dim: int | None) -> None:
        super().__init__()
        self.norms = nn.ModuleList(AdaIN1d(channels, dim) for _ in range(2)) if dim is not None else None
        self.convolutions = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, landmark: Tensor) -> Tensor:
        """Align [N, channels, L] with l_r [N, dim]."""
        y = x
        for i, convolution in enumerate(self.convolutions):
            y = convolution(F.silu(self.norms[i](y, landmark) if self.norms is not None else y))
        return x + y


class IntraModality(nn.Module):
    """The intra-modality alignment network (3.1.1): source and reference features, aligned with landmarks.

    Args:
        dim: d, a multiple of 16.
        width: channels between the convolutions; not printed.
        blocks: residual blocks; not printed.
        alignment: false replaces AdaIN by convolutions, and landmarks are not looked at (Table 2).
    """

    def __init__(self, dim: int, width: int, blocks: int, alignment: bool) -> None:
        super().__init__()
        channels = dim // POSITIONS
        self.join = nn.Conv1d(2 * channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(AlignmentBlock(width, dim if alignment else None) for _ in range(blocks))
        self.out = nn.Conv1d(width, channels, 1)

    def forward(self, source: Tensor, reference: Tensor, landmark: Tensor) -> Tensor:
        """Aligned visual feature [N, d] of i_s, i_r and l_r, each [N, d]."""
        x = self.join(torch.cat([each.view(len(each), -1, POSITIONS) for each in (source, reference)], 1))
        for block in self.blocks:
            x = block(x, landmark)
        aligned: Tensor = self.out(F.silu(x)).flatten(1)
        return aligned


class InterModality(nn.Module):
    """g_v and g_a (eqs. 6 and 7): where the aligned visual and the audio feature meet; unit vectors.

    The primed encoders of the negative samples are the same ones. The temperature is learnt, as in CLIP (3.1.2's [53]).

    Args:
        dim: d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.visual, self.speech = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))

    def see(self, visual: Tensor) -> Tensor:
        """g_v of aligned visual features [N, d]: unit vectors, in float32."""
        return F.normalize(self.visual(visual).float(), dim=-1)

    def hear(self, speech: Tensor) -> Tensor:
        """g_a of audio features [N, d]: unit vectors, in float32."""
        return F.normalize(self.speech(speech).float(), dim=-1)

    def scale(self) -> Tensor:
        """1 / tau; bounded, as in CLIP, so that training cannot run away."""
        return contrastive_scale(self.log_scale)
