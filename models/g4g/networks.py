"""G4G's generator: alignment (3.1), spatially adaptive deformation and multi-scale heads, fusion (3.2)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dubbench.errors import DubbenchError
from dubbench.face.crops import crop_shape, mouth_region
from dubbench.models.g4g.adaptive_affine import adaptive_affine
from dubbench.models.g4g.alignment import POSITIONS, InterModality, IntraModality, LandmarkEncoder, PictureEncoder
from dubbench.models.g4g.fusion import BlendNet, composite
from dubbench.models.g4g.options import NetworkOptions
from dubbench.models.layers.residual import ResidualBlock
from dubbench.models.layers.se_resnet import SpeechEncoder

REFERENCES = 5
BANDS = 80


class References(NamedTuple):
    """What the generator needs of a clip's references, once a clip; one row for each of M clips.

    Attributes:
        feature: F_ref [M, channels, H / 4, W / 4].
        embedding: i_r [M, d].
        landmark: l_r [M, d], of the first reference's landmark map; zeros where alignment is ablated.
    """

    feature: Tensor
    embedding: Tensor
    landmark: Tensor


class GeneratorOutput(NamedTuple):
    """What the generator makes of N frames.

    Attributes:
        image: the final picture [N, 3, H, W] in [-1, 1].
        scales: pictures for the multi-scale supervision: the decoder's own, before fusion, and those of the heads at
            1/2 and 1/4 of the resolution; empty where supervision is ablated.
        visual: g_v of the aligned visual feature, unit vectors [N, d].
        speech: g_a of the audio feature, unit vectors [N, d].
        others: g_a of the other mel windows, unit vectors [L, d]; none where there were none.
    """

    image: Tensor
    scales: tuple[Tensor, ...]
    visual: Tensor
    speech: Tensor
    others: Tensor


class Deformation(nn.Module):
    """Fully connected layers make scale, rotation and translation of each channel, and eq. 11 deforms by them.

    Args:
        inputs: length of the aligned features, visual and audio side by side.
        channels: of F_ref, 256 in the paper.
        hidden: width of the layers; not printed.
    """

    def __init__(self, inputs: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.coefficients = nn.Linear(hidden, 4 * channels)
        # Nothing is said of their range. Small at the start: nearly the references as they are.
        nn.init.normal_(self.coefficients.weight, std=0.1 / hidden**0.5)
        nn.init.zeros_(self.coefficients.bias)

    def forward(self, feature: Tensor, aligned: Tensor) -> Tensor:
        """F_d: features [M, C, H, W], each serving N / M neighbours, deformed by [N, inputs] to [N, C, H, W]."""
        # In float32: half a pixel of a wide map is less than bfloat16 tells apart.
        scale, angle, x, y = self.coefficients(self.layers(aligned)).float().chunk(4, 1)
        # Bounded, as in DINet, so that no channel is lost by looking beyond the picture: 0 to 2, a half turn, the side.
        scale, angle = 1 + scale.tanh(), angle.tanh() * torch.pi
        shift = torch.stack([x, y], -1).tanh()
        feature = feature[:, None].expand(-1, len(scale) // len(feature), -1, -1, -1).flatten(0, 1)
        return adaptive_affine(feature, scale, angle, shift)


class Decoder(nn.Module):
    """Makes the picture of source and deformed feature, side by side (3.2), a head at each scale.

    Args:
        widths: channels at the resolution and at its half.
        channels: of each of the two features.
        blocks: residual blocks at a quarter of the resolution; not printed.
        supervision: whether there are heads below the full resolution.
    """

    def __init__(self, widths: Sequence[int], channels: int, blocks: int, supervision: bool) -> None:
        super().__init__()
        full, half = widths
        self.join = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1), *(ResidualBlock(channels, channels) for _ in range(blocks))
        )
        self.steps = nn.ModuleList([nn.Conv2d(channels, half, 1), nn.Conv2d(half, full, 1)])
        self.up = nn.ModuleList([ResidualBlock(half, half), ResidualBlock(full, full)])
        self.heads = nn.ModuleList(nn.Conv2d(c, 3, 1) for c in (half, channels)) if supervision else None
        self.out = nn.Conv2d(full, 3, 3, padding=1)

    def forward(self, source: Tensor, deformed: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Picture [N, 3, H, W] in [-1, 1] and the pictures of all heads, of F_s and F_d [N, C, H / 4, W / 4]."""
        x = self.join(torch.cat([source, deformed], 1))
        half = self.up[0](F.interpolate(self.steps[0](x), scale_factor=2.0))
        full = self.up[1](F.interpolate(self.steps[1](half), scale_factor=2.0))
        picture = self.out(F.silu(full)).tanh()
        if self.heads is None:
            return picture, ()
        # The smallest is of F_d alone: so the masks supervise the deformation itself (3.2), whatever the source shows.
        below = (head(feature).tanh() for head, feature in zip(self.heads, (half, deformed), strict=True))
        return picture, (picture, *below)


class Generator(nn.Module):
    """The three components of G4G in one: a frame whose mouth says what is heard.

    The paper prints the sizes of pictures, mel windows and F_ref's 256 channels, and no other.

    Args:
        mouth: side m of the mouth region, 256 in the paper; a multiple of 32. A crop is 13/8 m x 10/8 m.
        sizes: of its networks.
        alignment: false for Table 2's "w/o alignment".
        supervision: false for Table 2's "w/o supervision".
        fusion: false for Table 2's "w/o fusion".

    Raises:
        DubbenchError: if the sizes do not go together.
    """

    def __init__(
        self,
        mouth: int = 256,
        sizes: NetworkOptions | None = None,
        *,
        alignment: bool = True,
        supervision: bool = True,
        fusion: bool = True,
    ) -> None:
        super().__init__()
        sizes = sizes or NetworkOptions()
        _check(mouth, sizes)
        dim, channels = sizes.dim, sizes.channels
        self.mouth, self.height, self.width, self.dim = mouth, *crop_shape(mouth), dim
        self.audio_encoder = SpeechEncoder(
            dim, sizes.speech_widths, sizes.speech_blocks, BANDS, standardised=sizes.speech_norm
        )
        self.source_encoder = PictureEncoder(3, sizes.widths, channels, dim)
        self.reference_encoder = PictureEncoder(3 * REFERENCES, sizes.widths, channels, dim)
        # Table 2's "w/o alignment" (4.6): without AdaIN nothing is left that landmarks would be used for.
        self.landmark_encoder = LandmarkEncoder(sizes.landmark_widths, dim) if alignment else None
        self.intra = IntraModality(dim, sizes.hidden, sizes.alignment_blocks, alignment)
        self.inter = InterModality(dim)
        self.deformation = Deformation(2 * dim, channels, sizes.hidden)
        self.decoder = Decoder(sizes.widths, channels, sizes.decoder_blocks, supervision)
        self.blend = BlendNet(sizes.blend_widths) if fusion else None

    def occlude(self, frames: Tensor) -> Tensor:
        """Frames [..., 3, H, W] with the mouth region, the face's lower half, set to zero."""
        rows, columns = mouth_region(self.mouth)
        occluded = frames.clone()
        occluded[..., rows, columns] = 0
        return occluded

    def audio(self, mel: Tensor) -> Tensor:
        """Eq. 1: a [N, d] of mel windows [N, 80, 16]."""
        encoded: Tensor = self.audio_encoder(mel)
        return encoded

    def heard(self, mel: Tensor, others: Tensor | None) -> tuple[Tensor, Tensor]:
        """Eq. 1 of mel windows [N, 80, 16] and of others [L, 80, 16], or none, in one go: [N, d] and [L, d].

        Where audio features are standardised, all are by the same mean and deviation.
        """
        every = self.audio(mel if others is None else torch.cat([mel, others]))
        return every[: len(mel)], every[len(mel) :]

    def landmark(self, maps: Tensor) -> Tensor:
        """Eq. 4: l [N, d] of landmark maps [N, 1, H, W]; zeros where alignment is ablated."""
        if self.landmark_encoder is None:
            return maps.new_zeros(len(maps), self.dim)
        encoded: Tensor = self.landmark_encoder(maps)
        return encoded

    def encode_references(self, references: Tensor, landmarks: Tensor) -> References:
        """Eqs. 3 and 4, once a clip.

        Args:
            references: I_r [M, 15, H, W], five pictures in [-1, 1].
            landmarks: L_r [M, 1, H, W], the first one's landmark map.
        """
        feature, embedding = self.reference_encoder(references)
        return References(feature, embedding, self.landmark(landmarks))

    def aligned(self, occluded: Tensor, references: References, landmarks: Tensor | None = None) -> Tensor:
        """The aligned visual feature v [N, d] (3.1.1).

        Args:
            occluded: I_s [N, 3, H, W], of `occlude`.
            references: of M clips, each serving N / M neighbours.
            landmarks: maps [N, 1, H, W] to align with instead of the first reference's. An occluded face and a
                reference do not tell what is said, so eqs. 6 to 10 can only hold with the frame's own map.
        """
        landmark = None if landmarks is None else self.landmark(landmarks)
        return self._align(self.source_encoder(occluded)[1], references, landmark)

    def forward(
        self,
        frames: Tensor,
        references: References,
        mel: Tensor,
        face_mask: Tensor,
        landmarks: Tensor | None = None,
        others: Tensor | None = None,
    ) -> GeneratorOutput:
        """Draw N frames of M clips, N / M neighbours each.

        Args:
            frames: source frames [N, 3, H, W] in [-1, 1]; the mouth region is not looked at but where ``face_mask`` is
                below 1.
            references: of `encode_references`.
            mel: [N, 80, 16].
            face_mask: G [N, 1, H, W] in [0, 1], of `face_mask`.
            landmarks: the frames' own maps [N, 1, H, W], in training: ``visual`` is then of them, as in `aligned`. What
                the deformation gets is always aligned with the reference's, all that there is when dubbing.
            others: mel windows [L, 80, 16] of other moments, in training, for the negatives of eq. 8.
        """
        occluded = self.occlude(frames)
        source, embedding = self.source_encoder(occluded)
        visual, (speech, rest) = self._align(embedding, references), self.heard(mel, others)
        deformed = self.deformation(references.feature, torch.cat([visual, speech], 1))
        generated, scales = self.decoder(source, deformed)
        if landmarks is not None:
            visual = self._align(embedding, references, self.landmark(landmarks))
        image = self._fuse(frames, occluded, generated, face_mask)
        return GeneratorOutput(
            image,
            scales,
            visual=self.inter.see(visual),
            speech=self.inter.hear(speech),
            others=self.inter.hear(rest),
        )

    def _align(self, embedding: Tensor, references: References, landmark: Tensor | None = None) -> Tensor:
        share = len(embedding) // len(references.embedding)
        landmark = references.landmark.repeat_interleave(share, 0) if landmark is None else landmark
        aligned: Tensor = self.intra(embedding, references.embedding.repeat_interleave(share, 0), landmark)
        return aligned

    def _fuse(self, frames: Tensor, occluded: Tensor, generated: Tensor, mask: Tensor) -> Tensor:
        if self.blend is not None:
            final: Tensor = self.blend(composite(generated, frames, mask), generated, occluded)
            return final
        # Table 2's "w/o fusion": what was occluded is filled in as it is.
        rows, columns = mouth_region(self.mouth)
        filled = frames.to(generated.dtype, copy=True)
        filled[..., rows, columns] = generated[..., rows, columns]
        return filled


def _check(mouth: int, sizes: NetworkOptions) -> None:
    """Raise `DubbenchError` where sizes do not go together."""
    stages = (sizes.widths, sizes.landmark_widths, sizes.blend_widths, sizes.speech_widths, sizes.speech_blocks)
    if tuple(map(len, stages)) != (2, 2, 3, 4, 4):
        raise DubbenchError(
            "widths and landmark_widths are two numbers, blend_widths three, speech_widths and speech_blocks four; "
            f"these are {', '.join(str(list(numbers)) for numbers in stages)}"
        )
    if sizes.dim % POSITIONS or sizes.dim < POSITIONS or mouth % 32:
        raise DubbenchError(
            f"a mouth of {mouth} pixels and features of {sizes.dim} cannot be divided as the networks do; give "
            f"multiples of 32 and {POSITIONS}"
        )
