"""G4G's composition with the source and its blend network (3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.models.layers.residual import ResidualBlock


def composite(generated: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """The generated picture where the mask is 1, the source where it is 0.

    Args:
        generated: [N, 3, H, W].
        source: [N, 3, H, W].
        mask: G [N, 1, H, W] in [0, 1].
    """
    # Autocast mixes types, and lerp takes no mixture.
    return torch.lerp(source, generated.to(source.dtype), mask)


class BlendNet(nn.Module):
    """Makes the final picture of composite, generated picture and occluded source.

    3.2: it fuses and amends, and does not predict a residual. The paper prints no layers: an encoder and a decoder with
    connections at each of three resolutions.

    Args:
        widths: channels at the resolution, its half and its quarter.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        full, half, quarter = widths
        self.stem = nn.Conv2d(9, full, 3, padding=1)
        self.down = nn.ModuleList([ResidualBlock(full, half, 2), ResidualBlock(half, quarter, 2)])
        self.middle = ResidualBlock(quarter, quarter)
        # Before the enlargement a 1 x 1 convolution gives the same as after it, at a quarter of the cost.
        self.steps = nn.ModuleList([nn.Conv2d(quarter, half, 1), nn.Conv2d(half, full, 1)])
        self.up = nn.ModuleList([ResidualBlock(half, half), ResidualBlock(full, full)])
        self.out = nn.Conv2d(full, 3, 3, padding=1)

    def forward(self, composed: Tensor, generated: Tensor, occluded: Tensor) -> Tensor:
        """Final pictures [N, 3, H, W] in [-1, 1] of three of the same shape."""
        skips = [self.stem(torch.cat([composed, generated, occluded], 1))]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = self.middle(skips.pop())
        for step, up in zip(self.steps, self.up, strict=True):
            x = up(F.interpolate(step(x), scale_factor=2.0) + skips.pop())
        final: Tensor = self.out(F.silu(x))
        return final.tanh()
