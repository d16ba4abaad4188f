"""The sync expert's two encoders and its crop (RADIO 3.3, supplement A)."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.models.layers.constants import constant
from dubbench.models.layers.contrast import contrast
from dubbench.models.layers.se_resnet import REDUCTION, SLOPE, AttentiveResNet, SpeechEncoder
from dubbench.models.losses import contrastive_scale
from dubbench.models.sync_expert.losses import sync_loss, sync_probability

FRAMES = 5  # i - 2 to i + 2 of eq. 4

# The aligned square puts every mouth at one place, so a fixed box is about as tight as a detected one, and the same for
# generated frames, where a detector would let the generator move the crop instead of the lips.
CROP = (0.2, 0.35, 0.8, 0.95)
# The mouth region of G4G's face crops, m x m pixels of 10/8 m x 13/8 m.
FACE_CROP = (1 / 10, 4 / 13, 9 / 10, 12 / 13)


def crop_mouth(
    frames: Tensor,
    size: int,
    transform: Tensor | None = None,
    part: tuple[float, float, float, float] = CROP,
) -> Tensor:
    """Grey crops of the lower face.

    Args:
        frames: [N, 3, H, W] aligned RGB in [-1, 1].
        size: side of the crops.
        transform: [N, 2, 3] augmentation in the crop's own [-1, 1] coordinates, or None.
        part: left, top, right and bottom of the crop, shares of the frame.

    Returns:
        [N, 1, size, size] in [-1, 1].
    """
    # In float32: half a pixel of a wide frame is less than bfloat16 tells apart.
    with torch.autocast(frames.device.type, enabled=False):
        frames = frames.float()
        grey = torch.einsum("nchw,c->nhw", frames, constant((0.299, 0.587, 0.114), frames))[:, None]
        left, top, right, bottom = part
        box = constant((right - left, 0, left + right - 1, 0, bottom - top, top + bottom - 1), frames)
        box = box.view(2, 3).expand(len(frames), 2, 3)
        if transform is not None:
            linear = box[:, :, :2] @ transform
            box = torch.cat([linear[:, :, :2], linear[:, :, 2:] + box[:, :, 2:]], 2)
        grid = F.affine_grid(box, [len(frames), 1, size, size], align_corners=False)
        return F.grid_sample(grey, grid, mode="bilinear", padding_mode="border", align_corners=False)


class ChannelSpatialAttention(nn.Module):
    """Channel gates from mean and maximum, then spatial gates likewise (CBAM; Woo et al., 2018).

    Supplement A names channel and spatial attention without a design.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, 4)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, channels))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Gates [N, C, H, W] in (0, 1) of features of the same shape."""
        channel = (self.gate(x.mean((2, 3))) + self.gate(x.amax((2, 3)))).sigmoid()[:, :, None, None]
        gated = x * channel
        spatial = self.spatial(torch.cat([gated.mean(1, keepdim=True), gated.amax(1, keepdim=True)], 1)).sigmoid()
        gates: Tensor = channel * spatial
        return gates


class SyncNetwork(nn.Module):
    """S_v and S_a: embed five grey mouth crops and the speech around their middle frame; both never negative.

    S_a is RADIO's own audio encoder, which supplement A gives the same design; S_v is the same network with other
    gates. Widths are not printed.

    Args:
        crop_size: side of the crops, 144 in the paper.
        widths: channels of the four stages of the lip network.
        blocks: blocks of these stages.
        speech_widths: channels of the four stages of the speech network.
        speech_blocks: blocks of these stages.
        embedding: width of the embeddings.
        dropout: share of features dropped before each embedding.
        temperature: where the temperature of the contrastive objective begins; it is learnt.
        part: of the frames that the crops show, see `crop_mouth`.
    """

    def __init__(
        self,
        crop_size: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        speech_widths: Sequence[int],
        speech_blocks: Sequence[int],
        embedding: int,
        dropout: float,
        temperature: float,
        part: tuple[float, float, float, float] = CROP,
    ) -> None:
        super().__init__()
        self.crop_size, self.part = crop_size, part
        self.lips = AttentiveResNet(
            FRAMES, widths, blocks, strides=(2, 2, 2, 1), gates=ChannelSpatialAttention, stem_stride=(2, 2)
        )
        # Pooled to 3 x 3 and not to a point: where the lips are in the crop is what this network is asked.
        self.lips_out = nn.Sequential(
            nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(dropout), nn.Linear(9 * widths[-1], embedding)
        )
        self.speech = SpeechEncoder(speech_widths[-1], speech_widths, speech_blocks)
        self.speech_out = nn.Sequential(
            nn.LeakyReLU(SLOPE), nn.Dropout(dropout), nn.Linear(speech_widths[-1], embedding)
        )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def embed_lips(self, crops: Tensor) -> Tensor:
        """Embed crops [N, 5, size, size]; [N, embedding], >= 0 so that eq. 4 is a probability."""
        return F.relu(self.lips_out(self.lips(crops)))

    def embed_speech(self, mel: Tensor) -> Tensor:
        """Embed log-mel windows [N, bands, columns] of five frames; [N, embedding], >= 0."""
        return F.relu(self.speech_out(self.speech(mel)))

    def forward(self, frames: Tensor, mel: Tensor, transform: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Embed every run of five frames.

        Args:
            frames: [B, T, 3, S, S] aligned frames.
            mel: [B, T, bands, columns], each window about its frame.
            transform: [B, 2, 3] augmentation of a clip's crops, see `crop_mouth`.

        Returns:
            Lip and speech embeddings [B, T - 4, embedding]; entry i is of frames i to i + 4 and mel window i + 2.
        """
        batch, time = frames.shape[:2]
        if transform is not None:
            transform = transform.repeat_interleave(time, 0)
        crops = crop_mouth(frames.flatten(0, 1), self.crop_size, transform, self.part)
        runs = crops.view(batch, time, *crops.shape[2:]).unfold(1, FRAMES, 1).movedim(-1, 2)
        lips = self.embed_lips(runs.flatten(0, 1)).view(batch, time - FRAMES + 1, -1)
        middle = mel[:, FRAMES // 2 : time - FRAMES // 2]
        return lips, self.embed_speech(middle.flatten(0, 1)).view_as(lips)

    def scale(self) -> Tensor:
        """One over the temperature; bounded, as in CLIP, so that training cannot run away."""
        return contrastive_scale(self.log_scale)

    def agreement_loss(
        self,
        frames: Tensor,
        mel: Tensor,
        objective: Literal["bce", "contrastive"],
        *,
        others: Tensor | None = None,
        there: Tensor | None = None,
        told_apart: Tensor | None = None,
    ) -> Tensor:
        """How badly five frames fit their speech, a scalar, in float32.

        Args:
            frames: [B, 5, 3, H, W].
            mel: [B, 5, bands, columns].
            objective: ``bce`` is eq. 5 with y = 1; ``contrastive`` asks that lips find their own speech among that of
                all processes' windows, and speech its lips (G4G eq. 16), see `contrast`.
            others: [B, K, 5, bands, columns] of other moments of the windows' clips, for ``contrastive``.
            there: of `contrast`.
            told_apart: of `contrast`.

        Raises:
            DubbenchError: as `contrast`.
        """
        with torch.autocast(frames.device.type, enabled=False):
            lips, speech = self(frames.float(), mel.float())
            if objective == "bce":
                return sync_loss(sync_probability(lips, speech), in_sync=True)
            if others is not None:
                middle = others[:, :, FRAMES // 2].float()
                embedded = self.embed_speech(middle.flatten(0, 1))
                others = F.normalize(embedded.view(*middle.shape[:2], -1), dim=-1)
            lips, speech = (F.normalize(each[:, 0], dim=-1) for each in (lips, speech))
            return contrast(lips, speech, self.scale(), others=others, there=there, told_apart=told_apart)
