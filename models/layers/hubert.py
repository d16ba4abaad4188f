"""Speech features: HuBERT (Hsu et al. 2021) at the video frames (PersonaTalk 3.1) or at its own rate (RealTalk 4.1).

What stands in for it in minutes of training on two cores is a spectrogram and two convolutions: a HuBERT that starts
from nothing takes hours to hear anything.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import Self

from dubbench.assets import store
from dubbench.datamodules.batch import Mel
from dubbench.datamodules.mel import filter_bank, spectrogram
from dubbench.errors import DubbenchError, misfit
from dubbench.media import SAMPLES_PER_FRAME

WEIGHTS = "hubert-base-ls960.bin"
HOP, FIELD = 320, 400
# One more feature than fits into T frames, so that each frame has two of its own.
OVERHANG = FIELD - HOP
# Feature k sees the samples 320 k to 320 k + 399, so its centre is 320 k + 200; frame t's is 640 t + 320.
PHASE = (SAMPLES_PER_FRAME / 2 - FIELD / 2) / HOP

TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": (32,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
# What differs from the published network's configuration.
SIZES: dict[str, dict[str, Any]] = {"base": {}, "tiny": TINY}


Kind = Literal["base", "tiny", "mel"]


class MelFeatures(nn.Module):
    """Log-mel spectra at HuBERT's 50 Hz, two convolutions over time; a feature hears 200 ms around HuBERT's.

    Args:
        width: of the features.
        bands: mel bands, Slaney's filters from 0 to 8 kHz.
    """

    FFT = 640
    bank: Tensor

    def __init__(self, width: int, bands: int = 80) -> None:
        super().__init__()
        self.spectra = Mel(fft=self.FFT, hop=HOP, bands=bands)
        self.register_buffer("bank", filter_bank(self.spectra), persistent=False)
        self.layers = nn.Sequential(
            nn.Conv1d(bands, width, 5, padding=2), nn.GELU(), nn.Conv1d(width, width, 5, padding=2), nn.GELU()
        )

    def forward(self, wave: Tensor) -> Tensor:
        """Features [B, 2 T, width] of waveforms [B, 640 T + 80], each centred as HuBERT's."""
        margin = (self.FFT - FIELD) // 2
        mel = spectrogram(F.pad(wave, (margin, margin)), self.spectra, self.bank)
        features: Tensor = self.layers(mel)
        return features.transpose(1, 2)


class SpeechFeatures(nn.Module):
    """HuBERT's last layer, interpolated to 25 fps or at its own 50 Hz, and projected.

    ``base`` is facebook/hubert-base-ls960, which `load_pretrained` fills. Building it needs no file, so that a trained
    model takes its weights from its own checkpoint. ``tiny`` is a small network of the same class, learnt from scratch:
    for tests. ``mel`` is `MelFeatures` in its place, of the waveform as it is, for trainings of minutes.

    For HuBERT the waveform is brought to zero mean and unit variance as a whole, as the published model's preprocessor
    does (its makers trained without; the group norm after the first convolution takes most of it out again). That norm
    and the self-attention make a frame's features depend on the window it is in: give windows as long as in training.

    A ``base`` that is not tuned is in no state: 94 M parameters that nobody changes would be a third of a checkpoint.
    A state without it is loaded beside the published weights.

    Neither SpecAugment nor layer drop is used, so nothing but dropout is random, and that in training alone.

    Args:
        kind: ``base`` (94.4 M parameters), ``tiny`` (0.1 M) or ``mel``.
        width: of the projected features.
        trainable: whether the transformer is tuned. The convolutions of ``base`` stay as they are even then, as in
            HuBERT's own fine-tuning; ``tiny`` has nothing to keep and learns them.
        per_frame: features a video frame: 1 at its centre (PersonaTalk 3.1), or 2 as HuBERT gives them (RealTalk 4.1:
            l = 32 for T = 16).
    """

    def __init__(self, kind: Kind, width: int, trainable: bool = True, per_frame: Literal[1, 2] = 1) -> None:
        super().__init__()
        self.kind, self.trainable, self.per_frame = kind, trainable, per_frame
        if kind == "mel":
            self.mel = MelFeatures(width)
            self.project = nn.Linear(width, width)
            return
        from transformers import HubertConfig, HubertModel  # 2 s, which nobody else should wait for

        config = HubertConfig(**SIZES[kind], apply_spec_augment=False, mask_time_prob=0.0, layerdrop=0.0)
        self.hubert = HubertModel(config)
        if not trainable:
            self.hubert.requires_grad_(False)
        if kind == "base" or not trainable:
            self.hubert.feature_extractor._freeze_parameters()
        # Its input is made to want a gradient, for checkpointing that nobody uses: a graph could not be compiled whole.
        self.hubert.feature_extractor._requires_grad = False
        self.project = nn.Linear(config.hidden_size, width)
        # Of the network and not of this module: the running average has the same one.
        self.hubert.filled = False
        if kind == "base" and not trainable:
            self.register_state_dict_post_hook(_without_hubert)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_pre_hook(_with_hubert)  # type: ignore[no-untyped-call]
        self.train()

    def train(self, mode: bool = True) -> Self:
        """As ever, but a HuBERT that is not trained stays without dropout."""
        super().train(mode)
        if not self.trainable and self.kind != "mel":
            self.hubert.eval()
        return self

    def load_pretrained(self) -> None:
        """Fill ``base`` with the published weights; ``tiny`` stays random.

        Raises:
            DubbenchError: if the file is not here, or of another layout.
        """
        if self.kind == "base" and not self.hubert.filled:
            self.load_hubert(store.load_tensors(store.find(WEIGHTS)), WEIGHTS)

    def load_hubert(self, state: Mapping[str, Tensor], where: str) -> None:
        """Take over the weights of a HuBERT, also of one with a head on top; ``where`` names them in messages.

        Raises:
            DubbenchError: if a tensor is missing or has another shape.
        """
        prefix = "hubert." if any(name.startswith("hubert.") for name in state) else ""
        body = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        body.pop("masked_spec_embed", None)  # what masked stretches are replaced by in pre-training
        try:
            self.hubert.load_state_dict(body)
            self.hubert.filled = True
        except RuntimeError as error:
            raise DubbenchError(f"{where} is no HuBERT of this size ({misfit(error)}); give {WEIGHTS}") from error

    def forward(self, waveform: Tensor, frames: int) -> Tensor:
        """Features of each video frame.

        Args:
            waveform: [B, N] speech at 16 kHz from the first frame on; silence follows where it is shorter than
                ``frames`` * 640 samples, and what is longer is not looked at.
            frames: T.

        Returns:
            [B, T * per_frame, width].

        Raises:
            DubbenchError: if there is no sample or no frame.
        """
        if frames < 1 or waveform.ndim != 2 or not waveform.shape[1]:
            raise DubbenchError(
                f"speech of shape {list(waveform.shape)} has no features at {frames} frames; give [B, N] and a frame"
            )
        wave = waveform[:, : frames * SAMPLES_PER_FRAME]
        missing = frames * SAMPLES_PER_FRAME + OVERHANG - wave.shape[1]
        if self.kind == "mel":
            return self._projected(self.mel(F.pad(wave, (0, missing))))
        wave = F.pad(normalise(wave), (0, missing))
        with torch.set_grad_enabled(self.trainable and torch.is_grad_enabled()):
            features: Tensor = self.hubert(wave).last_hidden_state
        return self._projected(features)

    def _projected(self, features: Tensor) -> Tensor:
        projected: Tensor = self.project(at_frames(features) if self.per_frame == 1 else features)
        return projected


def normalise(waveform: Tensor) -> Tensor:
    """Zero mean and unit variance of each row [B, N], in float32."""
    waveform = waveform.float()
    spread = (waveform.var(1, correction=0, keepdim=True) + 1e-7).sqrt()
    return (waveform - waveform.mean(1, keepdim=True)) / spread


def at_frames(features: Tensor) -> Tensor:
    """Linear interpolation of features [B, 2 T, C] at 50 Hz at the centres of T frames: [B, T, C].

    The centre of frame t is feature 2 t + 0.375, so each frame lies between two features of its own.
    """
    return features[:, 0::2].lerp(features[:, 1::2], PHASE)


def _without_hubert(module: nn.Module, state: dict[str, Any], prefix: str, _: dict[str, Any]) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}hubert.")]:
        del state[name]


def _with_hubert(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Let a state without HuBERT load; one of an earlier version, which has it, loads as it is."""
    features = cast(SpeechFeatures, module)
    if any(name.startswith(f"{prefix}hubert.") for name in state):
        features.hubert.filled = True
        return
    features.load_pretrained()
    # By the hooks, the module's own state has it no more than what is loaded.
    state |= {f"{prefix}hubert.{name}": value for name, value in features.hubert.state_dict().items()}
