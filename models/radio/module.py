"""How RADIO trains and dubs (3.3, 4.1)."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.datamodules.batch import Batch, Mel, Window
from dubbench.errors import DubbenchError
from dubbench.models.adversarial import AdversarialLoss, AdversarialModel
from dubbench.models.base import AttentionMaps, faces_among, lower_half
from dubbench.models.layers.pictures import casting, to_frames, to_pictures
from dubbench.models.losses import PerceptualLoss
from dubbench.models.options import Adversarial, Optim
from dubbench.models.parts import part
from dubbench.models.radio.attention_maps import attend
from dubbench.models.radio.networks import Generator, Variant
from dubbench.models.sync_expert.judge import load_judge
from dubbench.models.sync_expert.module import SyncExpert
from dubbench.models.sync_expert.networks import SyncNetwork

if TYPE_CHECKING:
    from dubbench.datamodules.clip import PreparedClip

DUB_BATCH = 16  # frames in one batch, each of which is drawn for itself (3: T = 1)
OPTIM = Optim(betas=(0.5, 0.99))  # not printed
ADVERSARIAL = Adversarial(widths=(64, 128, 256, 512, 512))


class Radio(AdversarialModel):
    """RADIO (Lee et al., WACV 2024).

    Args:
        size: side of the frames, 192 in the paper, 96 in its ablations.
        widths: channels at size, size/2, size/4, size/8 and size/16; L = 6 layers have one more than there are widths.
        style_dim: width of f_s and f_a, 512 in the paper.
        speech_widths: channels of the speech encoder's stages.
        speech_blocks: blocks of the speech encoder's stages.
        speech_norm: standardise f_a, see `SpeechEncoder`; not in the paper, for short trainings.
        variant: of Table 2, D is RADIO; see `Generator`.
        vit_blocks: n of ViT(n, m), decoder layers with fidelity mapping.
        vit_layers: m of ViT(n, m), attention layers of each.
        vit_width: token width; not printed.
        vit_heads: attention heads, eight in the paper.
        frames: T, consecutive target frames, five in the paper; five when there is a sync loss.
        references: reference frames a window, T in the paper; 1 serves all T frames and costs less.
        sync_expert: checkpoint of a `SyncExpert`, the name of a model config that `fit` trains first, or null.
        sync_weight: lambda_s of eq. 6; 0 without a sync expert.
        sync_objective: `bce` is eq. 5; `contrastive` sets the batch's other speech against a window's own.
        perceptual: `vgg19` as in eq. 2, or `none`.
        lip_weight: weight of the L1 term's pixels around the lips; 1 in the paper.
        adversarial: the discriminator, and what it weighs: lambda_adv of eq. 6.
        initial: checkpoint of this method to start from, as one without the sync loss; null starts anew.
        optim: optimisers, running average, clipping, compilation.
        batch_size: windows a batch of all processes together, when the data module is told none.
        iterations: optimiser steps of training when the command line gives no length.
    """

    # 4.1 dubs from one frame, the first of the clip; training draws its references at random (3).
    dubs_from_first = True

    def __init__(
        self,
        size: int = 192,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        style_dim: int = 512,
        speech_widths: Sequence[int] = (16, 32, 64, 128),
        speech_blocks: Sequence[int] = (3, 4, 6, 3),
        speech_norm: bool = False,
        variant: Variant = "D",
        vit_blocks: int = 2,
        vit_layers: int = 2,
        vit_width: int = 512,
        vit_heads: int = 8,
        frames: int = 5,
        references: int = 5,
        sync_expert: str | None = None,
        sync_weight: float = 0.0,
        sync_objective: Literal["bce", "contrastive"] = "bce",
        perceptual: Literal["none", "vgg19"] = "vgg19",
        lip_weight: float = 1.0,
        adversarial: Adversarial = ADVERSARIAL,
        initial: str | None = None,
        optim: Optim = OPTIM,
        batch_size: int = 16,
        iterations: int = 210_000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.optim = self.settle("optim", optim, OPTIM)
        self.adversarial = self.settle("adversarial", adversarial, ADVERSARIAL)
        if bool(sync_weight) != bool(sync_expert):
            raise DubbenchError(
                f"sync_weight is {sync_weight} and sync_expert is {sync_expert!r}: "
                "give an expert and a weight, or null and 0"
            )
        if frames % references or (sync_weight and frames != SyncExpert.FRAMES):
            raise DubbenchError(
                f"{frames} frames with {references} references do not go together: references must divide frames, "
                f"and the sync loss needs {SyncExpert.FRAMES} frames"
            )
        if size % 2 ** len(widths):
            raise DubbenchError(f"size {size} cannot be halved {len(widths)} times; take 96 or 192")
        # 4.1 prints hop, FFT and bands, those of `Mel`, but no length: 20 columns are 200 ms, the five frames that the
        # sync expert sees.
        self.window = Window(frames=frames, references=references, size=size, mel=Mel(columns=20))
        self.batch_size, self.iterations = batch_size, iterations
        self.build(
            Generator(
                size=size,
                widths=widths,
                style_dim=style_dim,
                speech_widths=speech_widths,
                speech_blocks=speech_blocks,
                speech_norm=speech_norm,
                variant=variant,
                vit_blocks=vit_blocks,
                vit_layers=vit_layers,
                vit_width=vit_width,
                vit_heads=vit_heads,
            ),
            lambda: AdversarialLoss.of_frames(size, self.adversarial),
            {
                "l1": 1.0,
                "perceptual": float(perceptual != "none"),
                "adversarial": self.adversarial.weight,
                "sync": sync_weight,
            },
        )

    def build_frozen(self) -> dict[str, nn.Module]:
        """Sync expert and VGG, as far as their losses are wanted."""
        frozen: dict[str, nn.Module] = {}
        if self.hparams["sync_expert"]:
            frozen["sync"] = load_judge(self.hparams["sync_expert"], self.window)
        if self.hparams["perceptual"] == "vgg19":
            frozen["perceptual"] = PerceptualLoss.pretrained()
        return frozen

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Dub the batch's frames by their own speech."""
        frames: Tensor = generator(batch.frames, batch.references, batch.mel)
        return frames

    def losses(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Eq. 2's pixel and perceptual terms and eq. 5."""
        fake = fake.float()
        terms = self.pixel_losses(fake, batch)
        if "sync" in self.frozen:
            assert batch.mel is not None
            expert = cast(SyncNetwork, self.frozen["sync"])
            terms["sync"] = expert.agreement_loss(fake, batch.mel, self.hparams["sync_objective"])
        return terms

    def dub(
        self,
        clip: "PreparedClip",
        speech: NDArray[np.float32],
        references: Sequence[int],
        precision: torch.dtype | None = None,
        start: int = 0,
    ) -> Iterator[NDArray[np.uint8]]:
        """Dub a clip with one reference, the first of ``references`` that shows a face (3; 4.1: the first frame).

        See `DubbingModel.dub`.

        Raises:
            DubbenchError: here, if none of ``references`` shows a face.
        """
        seen = faces_among(clip, references)
        return self._dubbed(clip, speech, int(seen[0]), precision=precision, start=start)

    def _dubbed(
        self,
        clip: "PreparedClip",
        speech: NDArray[np.float32],
        seen: int,
        *,
        precision: torch.dtype | None,
        start: int,
    ) -> Iterator[NDArray[np.uint8]]:
        from dubbench.datamodules.mel import clip_windows

        generator, mel = cast(Generator, self.ema.module).eval(), self.window.mel
        assert mel is not None
        reference = to_pictures(clip.frames([seen], self.window.size), self.device)
        with torch.inference_mode(), casting(self.device, precision), part("generator"):
            encoded = generator.encode_reference(reference)
        # Never other batches: they would round otherwise, and where it began would be seen.
        first = start - start % DUB_BATCH
        stream = islice(clip.stream(self.window.size), first, None)
        while frames := list(islice(stream, DUB_BATCH)):
            with part("mel"):
                windows = torch.as_tensor(clip_windows(speech, mel, first, first + len(frames)))
            targets, windows = to_pictures(np.stack(frames), self.device), windows.to(self.device)
            with torch.inference_mode(), casting(self.device, precision), part("generator"):
                images = generator.render(targets, encoded, windows)
            yield from to_frames(images)[max(start - first, 0) :]
            first += len(frames)

    def attention_maps(self, clip: "PreparedClip", frame: int, reference: int) -> AttentionMaps:
        """Weights of the ViT blocks' layers Att_i,j (3.2, Figure 5); see `DubbingModel.attention_maps`.

        Raises:
            DubbenchError: if this variant has no ViT blocks.
        """
        from dubbench.datamodules.mel import clip_windows

        generator, mel = cast(Generator, self.ema.module).eval(), self.window.mel
        assert mel is not None
        if not generator.vit_blocks():
            raise DubbenchError(
                f"this RADIO (variant {generator.variant}) has no attention; give a checkpoint of variant D with "
                "vit_blocks"
            )
        pictures = clip.frames([frame, reference], self.window.size)
        target, shown = (to_pictures(picture[None], self.device) for picture in pictures)
        heard = torch.as_tensor(clip_windows(clip.speech(), mel, frame, frame + 1)).to(self.device)
        dubbed, maps = attend(generator, target, shown, heard)
        return AttentionMaps(
            to_frames(dubbed)[0], pictures[1], {layer: weights.cpu().numpy() for layer, weights in maps.items()}
        )

    def paste_mask(self) -> NDArray[np.float32]:
        """RADIO draws the whole frame; only its lower half is new."""
        return lower_half(self.window.size)
