"""StyleGAN2's modulated convolution and the layers that RADIO's decoder makes of it (3.1; Karras et al., 2020).

StyleGAN2 calls what modulates a layer its style, w. In RADIO that is f_W, of which the style feature f_s is a half, so
here it is w and nothing else is called so.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.models.layers.blur import blur

SLOPE = 0.2


class ModulatedConv(nn.Module):
    """Convolution whose kernel is scaled a sample by an affine map of w, and normalised again (eqs. 1 and 3 there).

    Scaling the kernel's input channels and normalising its output channels equals scaling the feature maps before
    and after one shared convolution, which is faster than a kernel a sample on every device.

    Weights have the usual scale and not StyleGAN2's equalised one: encoders and decoder then share a learning rate.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: odd kernel side.
        w_dim: width of w.
        demodulate: normalise each output channel; off for colour layers.
        up: double the resolution by transposed convolution and blur.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, w_dim: int, *, demodulate: bool = True, up: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) / math.sqrt(inputs * kernel**2))
        self.affine = nn.Linear(w_dim, inputs)
        nn.init.normal_(self.affine.weight, std=1 / math.sqrt(w_dim))
        nn.init.ones_(self.affine.bias)
        self.demodulate = demodulate
        self.up = up

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Convolve [N, inputs, H, W] under w [N, w_dim]; the size stays, or doubles with ``up``."""
        scale = self.affine(w)
        x = x * scale[:, :, None, None].to(x.dtype)
        pad = self.weight.shape[-1] // 2
        if self.up:
            # A kernel of 3 with stride 2 gives 2H + 1, which the four-tap blur brings to 2H.
            x = blur(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2), gain=4.0, padding=1)
        else:
            x = F.conv2d(x, self.weight, padding=pad)
        if self.demodulate:
            with torch.autocast(x.device.type, enabled=False):
                energy = scale.float().square() @ self.weight.float().square().sum((2, 3)).T
                norm = torch.rsqrt(energy + 1e-8)
            x = x * norm[:, :, None, None].to(x.dtype)
        return x


class StyledConv(nn.Module):
    """Modulated 3 x 3 convolution, bias and leaky ReLU; arguments as `ModulatedConv`.

    StyleGAN2 also adds noise; a dubbed frame must not flicker, and RADIO does not mention noise, so there is none.
    """

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, w_dim, up=up)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H', W']."""
        x = self.conv(x, w)
        return F.leaky_relu(x + self.bias[:, None, None].to(x.dtype), SLOPE) * math.sqrt(2)


class ToRGB(nn.Module):
    """Colour output of a layer, added to the upsampled colours of the layers below (skip architecture)."""

    def __init__(self, inputs: int, w_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, 3, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor, below: Tensor) -> Tensor:
        """Map features [N, inputs, H, W] to colours [N, 3, H, W]; ``below`` has the same or half the resolution."""
        colours: Tensor = self.conv(x, w) + self.bias[:, None, None].to(x.dtype)
        if below.shape[-1] != colours.shape[-1]:
            below = F.interpolate(below, scale_factor=2, mode="bilinear")
        return colours + below
