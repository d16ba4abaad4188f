"""Losses that methods share."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# torchvision's ImageNet weights, as `dubbench assets` calls them.
VGG19 = "vgg19-dcbb9e9d.pth"


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Softplus loss of a discriminator's logits on real and generated frames (RADIO eq. 3)."""
    return F.softplus(fake.float()).mean() + F.softplus(-real.float()).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating counterpart of `discriminator_loss` for the generator (StyleGAN2)."""
    return F.softplus(-fake.float()).mean()


def feature_loss(drawn: Sequence[Tensor], filmed: Sequence[Tensor]) -> Tensor:
    """L1 between a discriminator's features of generated and of real frames, a mean over layers (pix2pixHD, eq. 4)."""
    return torch.stack([F.l1_loss(a.float(), b.float()) for a, b in zip(drawn, filmed, strict=True)]).mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1: mean squared gradient norm of the logits at real images [N, ...] (Mescheder et al., 2018)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def contrastive_scale(log_scale: Tensor) -> Tensor:
    """One over a temperature that is learnt as its logarithm, at most 100, as in CLIP: training cannot run away.

    Beyond the bound its gradient goes on, so that it can come back.
    """
    scale = log_scale.exp()
    return scale + (scale.clamp(max=100.0) - scale).detach()


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Sum of a loss' terms, each by its weight, in float32."""
    return torch.stack([weights[name] * term.float() for name, term in terms.items()]).sum()


def lip_map(points: Tensor, size: int, weight: float) -> Tensor:
    """Pixel weights: ``weight`` in a box around the lips, 1 elsewhere.

    Args:
        points: [N, 68, 2] landmarks in pixels of ``size``.
        size: side of the frames.
        weight: of a pixel in the box, which is the lips' bounding box grown by half its width on each side.

    Returns:
        [N, 1, size, size], ready to multiply an error map.
    """
    lips = points[:, 48:68]
    low, high = lips.amin(1), lips.amax(1)
    margin = (high[:, :1] - low[:, :1]) / 2
    low, high = low - margin, high + margin
    centres = torch.arange(size, device=points.device, dtype=points.dtype) + 0.5
    inside = (centres >= low[..., None]) & (centres <= high[..., None])
    box = inside[:, 0, None, :] & inside[:, 1, :, None]
    return (1 + (weight - 1) * box.to(points.dtype))[:, None]


class PerceptualLoss(nn.Module):
    """L1 between VGG19 features at relu1_1 ... relu5_1 (RADIO eq. 2, RealTalk's L_2 of eq. 9).

    Attributes:
        weights: of the five layers. RADIO 3.3 says only that they rise with depth; these are pix2pixHD's.
    """

    LAYERS = (2, 7, 12, 21, 30)  # of torchvision's features, so many reach up to the five ReLUs

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import vgg19  # type: ignore[import-untyped]  # torchvision ships no types

        trunk = vgg19(weights=None).features[: self.LAYERS[-1]]
        starts = (0, *self.LAYERS[:-1])
        self.slices = nn.ModuleList(trunk[a:b] for a, b in zip(starts, self.LAYERS, strict=True))
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.weights: tuple[float, ...] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
        self.mean = nn.Buffer(torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.deviation = nn.Buffer(torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    @classmethod
    def pretrained(cls) -> "PerceptualLoss":
        """With torchvision's ImageNet weights, found through `dubbench.assets.store`.

        Raises:
            DubbenchError: if the weights are not on this machine.
        """
        from dubbench.assets import store

        loss = cls()
        loss.load_features(store.load_tensors(store.find(VGG19)))
        return loss

    def load_features(self, state: Mapping[str, Tensor]) -> None:
        """Copy the convolutions of torchvision's VGG19 state dict, in order."""
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        names = [
            name.removesuffix(".weight") for name in state if name.startswith("features.") and name.endswith(".weight")
        ]
        for convolution, name in zip(convolutions, names, strict=False):
            convolution.load_state_dict({kind: state[f"{name}.{kind}"] for kind in ("weight", "bias")})

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Compare RGB images [N, 3, H, W] in [-1, 1], always in float32."""
        with torch.autocast(fake.device.type, enabled=False):
            x, y = ((image.float() / 2 + 0.5 - self.mean) / self.deviation for image in (fake, real))
            total = x.new_zeros(())
            for part, weight in zip(self.slices, self.weights, strict=True):
                x, y = part(x), part(y)
                total = total + weight * F.l1_loss(x, y)
        return total
