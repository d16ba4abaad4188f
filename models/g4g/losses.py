"""G4G's training objectives (3.1.2, 3.3) and its discriminators."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from dubbench.datamodules.moments import spacing
from dubbench.models.adversarial import AdversarialLoss
from dubbench.models.layers.constants import sent
from dubbench.models.layers.contrast import contrast
from dubbench.models.layers.gather import gathered, marks
from dubbench.models.losses import PerceptualLoss

# Cosine above which eq. 12's features of two speakers count as alike; not in the paper.
MARGIN = 0.5


class Features(NamedTuple):
    """What eqs. 6 to 10 compare: unit vectors of B windows of T frames, and of other moments of their own clips.

    Attributes:
        visual: g_v [B, T, d].
        speech: g_a [B, T, d] of the same frames.
        others: g_a [B, K, T, d] of the speech of K other moments of each window's clip; K may be 0.
        there: bool [B, K], which of these there are: a short clip has fewer.
    """

    visual: Tensor
    speech: Tensor
    others: Tensor
    there: Tensor


def contrastive(features: Features, scale: Tensor, told_apart: Tensor | None = None) -> Tensor:
    """Eqs. 8 to 10: windows find their own speech among all processes', and the other way round.

    The denominators of eqs. 8 and 9 print no division by tau; here all is divided by it, and eq. 9 is eq. 8's mirror
    image. Eq. 10 then is a symmetric cross-entropy with the diagonal as the right answers.

    The paper does not say where the negatives of 3.1.2 come from. A batch of windows of many clips alone teaches who
    speaks: voice and face, room and light answer it. So each window's frames must find their own speech among that of
    other moments of their own clip, too. That is eq. 8, from frames to speech: speech costs no pictures, a moment is a
    few mel windows. Eq. 9 would cost the pictures of those moments, or the window's picture with another moment's
    landmark map, where map and picture that do not fit would be the answer; it has the batch's windows alone. Windows
    of one clip together in a batch would serve both, but leave other clips no place in a batch of three (4.3).

    Args:
        features: of the windows.
        scale: 1 / tau.
        told_apart: bool [B, P * B] as `told_apart` gives it.

    Returns:
        Scalar, this process' share, see `contrast`. The similarity of windows is the mean over their frames.

    Raises:
        DubbenchError: as `contrast`.
    """
    return contrast(
        features.visual.flatten(1),
        features.speech.flatten(1),
        scale / features.visual.shape[1],
        others=features.others.flatten(2),
        there=features.there,
        told_apart=told_apart,
    )


def found_in_clip(features: Features) -> Tensor:
    """How often windows find their own speech among that of the other moments of their clip, over chance; a scalar.

    A window that finds it counts by the number of moments, its own among them, the inverse of its chance. The mean is
    over windows whose clips have other moments; NaN where none has.
    """
    visual, speech, others, there = features
    with torch.autocast(visual.device.type, enabled=False):  # where much is alike, bfloat16 sees ties
        own = torch.einsum("btd,btd->b", visual, speech)
        best = torch.einsum("btd,bktd->bk", visual, others).masked_fill(~there, float("-inf"))
    moments = there.sum(1)
    score = (own[:, None] > best).all(1) * (1 + moments)
    return score[moments > 0].float().mean()


def told_apart(clips: Sequence[str], starts: Tensor, frames: int) -> Tensor:
    """Which windows of all processes are negatives of each other: those that are different moments, see `spacing`.

    Args:
        clips: ids of B windows' clips.
        starts: int64 [B], their first frames.
        frames: T.

    Returns:
        bool [B, P * B].
    """
    names = sent(marks(clips), starts.device)
    same = names[:, None] == gathered(names)
    return ~(same & ((starts[:, None] - gathered(starts)).abs() < spacing(frames)))


def attribute(source: Tensor, reference: Tensor, speakers: Sequence[str]) -> Tensor:
    """Eq. 12, one less the cosine of l_s and l_r, and that the features of two speakers are not alike.

    The paper does not say what l_s is of. It is E_l's feature of what an occluded source shows: the frame's landmark
    map without jaw and lips.

    Eq. 12 alone is least where E_l says the same of every face, which preserves no attribute of any; so, as in the
    cosine embedding loss, a cosine with other speakers' l_r counts by what it is above `MARGIN`, a mean over those of
    all processes. Where there is one speaker, eq. 12 is left. On unseen frames of 21 speakers, after 200 batches of
    this term alone, the cosine with others is 0.01, with one's own 0.86; by eq. 12 alone both are 1.00.

    Args:
        source: l_s [B, T, d].
        reference: l_r [B, d].
        speakers: names of the B windows' speakers.

    Returns:
        Scalar, this process' share, as `contrast`.
    """
    with torch.autocast(source.device.type, enabled=False):
        source, reference = F.normalize(source.float(), dim=-1), F.normalize(reference.float(), dim=-1)
        own = 1 - torch.einsum("btd,bd->bt", source, reference).mean()
        names = sent(marks(speakers), source.device)
        other = names[:, None] != gathered(names)
        excess = (torch.einsum("btd,jd->bjt", source, gathered(reference)) - MARGIN).relu().mean(2) * other
        return own + (excess.sum(1) / other.sum(1).clamp(min=1)).mean()


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
