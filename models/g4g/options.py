"""What G4G's networks are made of, as ``--model.networks.channels`` says."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class NetworkOptions:
    """Sizes of the networks; the paper prints 256 channels that are deformed.

    Args:
        widths: channels at the resolution and at its half.
        channels: of the features that eq. 11 deforms, 256 in the paper.
        dim: d of eqs. 1 to 4, a multiple of 16.
        hidden: width of the alignment and of the deformation's layers.
        alignment_blocks: residual blocks of the intra-modality alignment.
        decoder_blocks: residual blocks of the decoder.
        landmark_widths: channels of the landmark encoder.
        speech_widths: channels of the audio encoder's stages.
        speech_blocks: blocks of these stages.
        speech_norm: standardise the audio feature, see `SpeechEncoder`; not in the paper, for short
            trainings.
        blend_widths: channels of the blend network.
    """

    widths: Sequence[int] = (64, 128)
    channels: int = 256
    dim: int = 512
    hidden: int = 512
    alignment_blocks: int = 3
    decoder_blocks: int = 3
    landmark_widths: Sequence[int] = (32, 128)
    speech_widths: Sequence[int] = (32, 64, 128, 256)
    speech_blocks: Sequence[int] = (3, 4, 6, 3)
    speech_norm: bool = False
    blend_widths: Sequence[int] = (32, 64, 128)
