"""G4G's training objectives (3.1.2, 3.3) and its discriminators."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from dubbench.models.adversarial import AdversarialLoss
from dubbench.models.losses import PerceptualLoss


def contrastive(visual: Tensor, speech: Tensor, scale: Tensor) -> Tensor:
    """Eqs. 8 to 10: windows find their own speech among all processes', and the other way round.

    The denominators of eqs. 8 and 9 print no division by tau; here all is divided by it, and eq. 9 is eq. 8's mirror
    image. Eq. 10 then is a symmetric cross-entropy with the diagonal as the right answers. The negatives are the
    batch's other windows: of other clips, or of other moments of the same clip as often as two of its windows come
    together. Each process has its own windows' share of it: the mean over processes, which distributed training takes
    of gradients, is the loss of the whole batch. All must have equally many windows.

    Args:
        visual: unit vectors [B, T, d] of T frames a window.
        speech: unit vectors [B, T, d] of the same frames.
        scale: 1 / tau.

    Returns:
        Scalar. The similarity of windows is the mean over their frames.
    """
    with torch.autocast(visual.device.type, enabled=False):
        frames = visual.shape[1]
        visual, speech = visual.float().flatten(1), speech.float().flatten(1)
        target = torch.arange(len(visual), device=visual.device)
        if dist.is_available() and dist.is_initialized():
            target = target + dist.get_rank() * len(visual)
        factor = scale.float() / frames
        found = [
            F.cross_entropy(own @ gathered(other).T * factor, target)
            for own, other in ((visual, speech), (speech, visual))
        ]
        return (found[0] + found[1]) / 2


def gathered(rows: Tensor) -> Tensor:
    """Rows [B, ...] of all processes, in their order, [P * B, ...]; gradients find their way back."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    everyone: Tensor = _Gather.apply(rows)
    return everyone


class _Gather(torch.autograd.Function):
    # torch.distributed.nn has one whose gradient gloo computes by a scatter for every process.
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:  # noqa: ANN401
        total = upstream.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def attribute(source: Tensor, reference: Tensor) -> Tensor:
    """Eq. 12: one less the cosine of l_s and l_r [N, d].

    The paper does not say what l_s is of. It is E_l's feature of what an occluded source shows: the frame's landmark
    map without jaw and lips.
    """
    return 1 - F.cosine_similarity(source.float(), reference.float(), dim=-1).mean()


def perception(vgg: PerceptualLoss, image: Tensor, target: Tensor) -> Tensor:
    """Eq. 13: VGG19 features at the resolution and at its half.

    The N layers count alike in eq. 13; how they are weighed is up to ``vgg``.
    """
    full: Tensor = vgg(image, target)
    half: Tensor = vgg(F.avg_pool2d(image, 2), F.avg_pool2d(target, 2))
    return (full + half) / 2


def reconstruction(image: Tensor, target: Tensor, scales: Sequence[Tensor], masks: Tensor) -> Tensor:
    """Eq. 15 with the multi-scale supervision of 3.2.

    Args:
        image: the final picture [N, 3, H, W].
        target: [N, 3, H, W].
        scales: pictures at whole fractions of the resolution; none where supervision is ablated.
        masks: [N, K, H, W] of several sizes.

    Returns:
        L1 of the picture and, for the pictures of ``scales``, the mean of L1 within each mask, a mean over scales and
        masks: the smaller a mask, the more its pixels count.
    """
    loss = F.l1_loss(image.float(), target)
    supervised = []
    for picture in scales:
        size = (picture.shape[-2], picture.shape[-1])
        error = (picture.float() - F.adaptive_avg_pool2d(target, size)).abs().mean(1, keepdim=True)
        mask = F.adaptive_avg_pool2d(masks, size)
        supervised.append(((error * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1e-6)).mean())
    return loss + torch.stack(supervised).mean() if supervised else loss


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """L_D of LS-GAN (eq. 14), a mean over discriminators: real logits are to be 1, generated ones 0."""
    terms = [((r.float() - 1).square().mean() + f.float().square().mean()) / 2 for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def generator_loss(fake: Sequence[Tensor]) -> Tensor:
    """L_G of LS-GAN (eq. 14), a mean over discriminators: generated logits are to be 1."""
    return torch.stack([(f.float() - 1).square().mean() for f in fake]).mean()


class Discriminators(nn.Module):
    """One for single frames and one for clips of consecutive frames, stacked as channels (3.3).

    The paper prints no layers. These judge patches, by strided convolutions with spectral norms.

    Args:
        widths: channels at 1/2, 1/4, ... of the resolution.
        frames: of a clip, 5 in the paper.
    """

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 256), frames: int = 5) -> None:
        super().__init__()
        self.frame, self.clip = (_patches(3 * count, widths) for count in (1, frames))

    def forward(self, frames: Tensor) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
        """Judge frames [B, T, 3, H, W].

        Returns:
            Logits [B * T, 1, H', W'] of each frame and [B, 1, H', W'] of the clip; features of both networks' layers.
        """
        (frame, of_frames), (clip, of_clips) = (
            _judged(network, pictures)
            for network, pictures in ((self.frame, frames.flatten(0, 1)), (self.clip, frames.flatten(1, 2)))
        )
        return (frame, clip), [*of_frames, *of_clips]


class LeastSquaresLoss(AdversarialLoss):
    """`Discriminators` and LS-GAN's losses (eq. 14) in place of StyleGAN2's; there is no R1 penalty.

    Args:
        discriminators: of frames and clips.
    """

    def __init__(self, discriminators: Discriminators) -> None:
        super().__init__(discriminators, r1_gamma=0.0)

    def discriminator_terms(self, real: Tensor, fake: Tensor, step: int) -> dict[str, Tensor]:
        """L_D of frames [B, T, 3, H, W]; see `AdversarialLoss`."""
        loss = discriminator_loss(self.discriminator(real)[0], self.discriminator(fake)[0])
        return {"total": loss, "discriminator": loss}

    def judge(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """L_G and the features of frames [B, T, 3, H, W]; see `AdversarialLoss`."""
        logits, features = self.discriminator(frames)
        return generator_loss(logits), features


def _judged(network: nn.Sequential, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits of a network of `_patches`, and what follows each of its activations."""
    features = []
    for layer in network:
        pictures = layer(pictures)
        if isinstance(layer, nn.LeakyReLU):
            features.append(pictures)
    return pictures, features


def _patches(inputs: int, widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in zip((inputs, *widths), widths, strict=False):
        layers += [spectral_norm(nn.Conv2d(before, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))
