"""How G4G trains and dubs (3.3, 4.3)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.datamodules.batch import Batch, Mel, Window
from dubbench.datamodules.clip import read_dataset
from dubbench.errors import DubbenchError
from dubbench.models.adversarial import AdversarialModel
from dubbench.models.base import lower_half
from dubbench.models.g4g import losses
from dubbench.models.g4g.dubbing import G4GDubbing
from dubbench.models.g4g.masks import UPPER_PARTS, face_mask, landmark_map, supervision_masks
from dubbench.models.g4g.networks import REFERENCES, Generator, GeneratorOutput, References
from dubbench.models.g4g.options import NetworkOptions
from dubbench.models.losses import PerceptualLoss, weighted
from dubbench.models.options import Adversarial, Optim
from dubbench.models.sync_expert.judge import load_judge
from dubbench.models.sync_expert.module import SyncExpert
from dubbench.models.sync_expert.networks import SyncNetwork

if TYPE_CHECKING:
    from dubbench.datamodules.clip import PreparedClip

# 3.1.1 prints 16 columns of 80 bands, 4.3 a window of 800 samples; the hop is Wav2Lip's, whose features these are.
MEL = Mel(fft=800, hop=200, bands=80, columns=16)

NETWORKS = NetworkOptions()
OPTIM = Optim(betas=(0.5, 0.99), clip=1.0)  # its rate 1e-4 is printed (4.3), no more
# LS-GAN's discriminators (eq. 14) learn by the same Adam as what they judge: one without momentum, and ten times as
# fast, is for StyleGAN2's equalised layers and softplus losses, which these are not.
ADVERSARIAL = Adversarial(weight=3.0, widths=(64, 128, 256, 256), lr=1e-4, r1_gamma=0.0, betas=OPTIM.betas)

# How often a window in training has one reference five times, and not five.
ALONE = 0.25


class G4G(AdversarialModel):
    """G4G (Zhang et al., 2024).

    Its loss needs the alignment's features beside the picture, and is `terms` in place of `AdversarialModel.losses`.

    Args:
        size: side m of the mouth region, 256 in the paper, in a face crop of 416 x 320.
        aligned_size: side of the aligned frames that `dub` gives; the crop is a part of them. The mouth region is 0.34
            to 0.48 of the side (84 clips of 24 speakers), so that a side of 3 m loses nothing that a crop can show, and
            a video is dubbed as fine as that.
        frames: T, consecutive target frames, five in the paper and where there is a sync expert.
        stages: ``alignment`` trains 3.1 alone, by the attribute and contrastive terms; ``all`` trains all at once.
        initial: checkpoint of this method to start from, as one of the alignment alone; null starts anew.
        alignment: False replaces the alignment by convolutions (Table 2).
        supervision: False leaves the multi-scale supervision out (Table 2).
        fusion: False leaves face mask and blend network out (Table 2).
        networks: sizes of the networks.
        sync_expert: checkpoint of a `SyncExpert` for face crops, for eq. 16; null does without.
        attribute_weight: lambda_v of eq. 17.
        perceptual: `vgg19` or `none`.
        perceptual_weight: lambda_p.
        reconstruction_weight: lambda_r.
        contrastive_weight: lambda_con, of eq. 10 and of eq. 16.
        adversarial: the discriminator, and what it weighs: lambda_GAN.
        moments: other moments of its own clip whose speech a window's frames are told apart from, in eqs. 8 and 16, at
            most; 0 leaves them the batch's other windows.
        optim: optimisers, running average, clipping, compilation.
        batch_size: windows a batch of all processes together, when the data module is told none.
        iterations: optimiser steps of training when the command line gives no length.
    """

    # 3.1.1 takes five reference images of the clip and does not say which: `dub` spreads them over what it may see.
    chooses_references = True

    def __init__(
        self,
        size: int = 256,
        aligned_size: int = 768,
        frames: int = 5,
        stages: Literal["all", "alignment"] = "all",
        initial: str | None = None,
        alignment: bool = True,
        supervision: bool = True,
        fusion: bool = True,
        networks: NetworkOptions = NETWORKS,
        sync_expert: str | None = None,
        attribute_weight: float = 1.0,
        perceptual: Literal["none", "vgg19"] = "vgg19",
        perceptual_weight: float = 2.0,
        reconstruction_weight: float = 4.0,
        contrastive_weight: float = 5.0,
        moments: int = 8,
        adversarial: Adversarial = ADVERSARIAL,
        optim: Optim = OPTIM,
        batch_size: int = 3,
        iterations: int = 200_000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        networks = self.settle("networks", networks, NETWORKS)
        self.optim = self.settle("optim", optim, OPTIM)
        self.adversarial = self.settle("adversarial", adversarial, ADVERSARIAL)
        if self.adversarial.r1_gamma:
            raise DubbenchError(
                "G4G's discriminators have no R1 penalty (eq. 14); leave --model.adversarial.r1_gamma 0"
            )
        if stages == "alignment" and not alignment:
            raise DubbenchError("stages alignment trains what alignment false leaves out; change one of them")
        if sync_expert and frames != SyncExpert.FRAMES:
            raise DubbenchError(f"a sync expert looks at {SyncExpert.FRAMES} frames; leave --model.frames {frames} out")
        if moments < 0:
            raise DubbenchError(f"{moments} other moments of a clip are too few; give --model.moments 0 or more")
        # Without alignment and sync expert nothing is told apart.
        self.moments = moments if alignment or sync_expert else 0
        # Whether anything is drawn: the alignment alone trains without deformation, decoder and fusion.
        self.draws = stages == "all"
        self.window = Window(
            frames=frames, references=REFERENCES, size=size, crop="face", mel=MEL, reference_rule="random"
        )
        self.batch_size, self.iterations = batch_size, iterations
        self.build(
            Generator(size, networks, alignment=alignment, supervision=supervision, fusion=fusion),
            lambda: losses.LeastSquaresLoss(losses.Discriminators(self.adversarial.widths, frames)),
            {
                "attribute": attribute_weight,
                "perceptual": perceptual_weight,
                "adversarial": self.adversarial.weight if self.draws else 0.0,
                "reconstruction": reconstruction_weight,
                "contrastive": contrastive_weight,
                "sync": contrastive_weight,
            },
        )

    def setup(self, stage: str) -> None:
        """Tell of clips that are coarser than the crops."""
        super().setup(stage)
        for root in self.prepared_folders():
            # Folders of earlier versions have no such file.
            if stage == "fit" and (root / "dataset.json").is_file():
                self._tell_of_coarse_clips(root)

    def _tell_of_coarse_clips(self, root: Path) -> None:
        wanted: int = self.hparams["aligned_size"]
        prepared = int(read_dataset(root).get("size", wanted))
        if prepared < wanted:
            rank_zero_warn(
                f"{root} was prepared at {prepared} pixels, so that face crops of a mouth of {self.window.size} are "
                f"enlarged; where the videos are finer, dubbench prepare --size {wanted} keeps what they show"
            )

    @property
    def best_by(self) -> str:  # type: ignore[override]
        """Where pictures are drawn, what they are like."""
        return super().best_by if self.draws else ""

    def needed_files(self) -> list[str]:
        """VGG's, where pictures are drawn."""
        return super().needed_files() if self.draws else []

    def build_frozen(self) -> dict[str, nn.Module]:
        """VGG and the sync expert, as far as their losses are wanted."""
        frozen: dict[str, nn.Module] = {}
        if not self.draws:
            return frozen
        if self.hparams["perceptual"] == "vgg19":
            vgg = PerceptualLoss.pretrained()
            vgg.weights = (1 / len(vgg.weights),) * len(vgg.weights)  # eq. 13 counts layers alike
            frozen["perceptual"] = vgg
        if self.hparams["sync_expert"]:
            frozen["sync"] = load_judge(self.hparams["sync_expert"], self.window)
        return frozen

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Discriminators, then generator, on one set of generated frames; or the alignment alone."""
        last = self.completes_step(batch_idx)
        if self.draws:
            made = self.run(self.generator, batch)
            fake = made.image.view_as(batch.frames)
            logs = self.train_drawing(batch, fake, lambda: self.terms(self.generator, made, batch), last=last)
        else:
            with self.optimizing("generator", last=last) as backward:
                terms = self.alignment_losses(self.generator, batch)
                logs = {"loss": weighted(terms, self.weights), **terms}
                backward(logs["loss"])
        self.finish_batch(logs, last=last)

    def run(self, generator: nn.Module, batch: Batch) -> GeneratorOutput:
        """Draw the batch's frames, with their own landmarks for the visual feature of eqs. 6 to 10."""
        network = cast(Generator, generator)
        points = batch.points.flatten(0, 1).float()
        own = landmark_map(points, network.height, network.width) if self.hparams["alignment"] else None
        references = self._references(network, batch)
        assert batch.mel is not None
        assert batch.steady_points is not None
        mask = face_mask(batch.steady_points.flatten(0, 1), self.window.size)
        made: GeneratorOutput = network(
            batch.frames.flatten(0, 1),
            references,
            batch.mel.flatten(0, 1),
            mask,
            landmarks=own,
            others=self._others(batch),
        )
        return made

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """The final pictures [B, T, 3, H, W]."""
        return self.run(generator, batch).image.view_as(batch.frames)

    def terms(self, generator: nn.Module, made: GeneratorOutput, batch: Batch) -> dict[str, Tensor]:
        """Eq. 17 but for the adversarial term, unweighted."""
        target, image = batch.frames.flatten(0, 1), made.image.float()
        masks = supervision_masks(batch.points.flatten(0, 1).float(), self.window.size)
        terms = {"reconstruction": losses.reconstruction(image, target, made.scales, masks)}
        if "perceptual" in self.frozen:
            terms["perceptual"] = losses.perception(cast(PerceptualLoss, self.frozen["perceptual"]), image, target)
        if "sync" in self.frozen:
            assert batch.mel is not None
            expert = cast(SyncNetwork, self.frozen["sync"])
            there = None if batch.other_starts is None else batch.other_starts >= 0
            terms["sync"] = expert.agreement_loss(
                image.view_as(batch.frames),
                batch.mel,
                "contrastive",
                others=batch.other_mel,
                there=there,
                told_apart=self._told_apart(batch),
            )
        if self.hparams["alignment"]:
            features = self._features(made.visual, made.speech, made.others, batch)
            terms |= self._alignment_terms(cast(Generator, generator), features, batch)
        return terms

    def alignment_losses(self, generator: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Attribute (eq. 12) and contrastive term (eqs. 6 to 10) without drawing anything."""
        network = cast(Generator, generator)
        return self._alignment_terms(network, self.embedded(network, batch), batch)

    def embedded(self, generator: nn.Module, batch: Batch) -> losses.Features:
        """g_v and g_a of the batch's frames, and g_a of other moments of their clips."""
        network = cast(Generator, generator)
        references = self._references(network, batch)
        maps = landmark_map(batch.points.flatten(0, 1).float(), network.height, network.width)
        visual = network.aligned(network.occlude(batch.frames.flatten(0, 1)), references, maps)
        assert batch.mel is not None
        speech, others = network.heard(batch.mel.flatten(0, 1), self._others(batch))
        return self._features(network.inter.see(visual), network.inter.hear(speech), network.inter.hear(others), batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score the average: pictures as `AdversarialModel` does, and how often speech finds its own frames.

        The share of windows whose speech is more alike to their own frames than to any other's of the batch is given as
        a multiple of chance, one over the number of windows. That tells faces and voices apart as well as words; so the
        same is given of frames that find their own speech among that of other moments of their clip, `found_in_clip`.
        """
        if self.draws:
            fake = self.generate(self.ema.module, batch).float()
            logs = self.picture_scores(fake, batch)
            if batch_idx == 0:
                self._picture(fake, batch)
        else:
            logs = {}
        features = self.embedded(self.ema.module, batch)
        visual, speech = features.visual.flatten(1), features.speech.flatten(1)
        found = (speech @ visual.T).argmax(1) == torch.arange(len(batch), device=visual.device)
        logs["retrieval_over_chance"] = found.float().mean() * len(batch)
        if features.there.any():
            logs["retrieval_in_clip_over_chance"] = losses.found_in_clip(features)
        self.log_validation(logs, batch)

    def dub(
        self,
        clip: "PreparedClip",
        speech: NDArray[np.float32],
        references: Sequence[int],
        precision: torch.dtype | None = None,
        start: int = 0,
    ) -> Iterator[NDArray[np.uint8]]:
        """Dub a clip in the face crops of its frames; see `DubbingModel.dub`.

        Five references are spread over the ``references`` that show a face; where there are fewer, they recur.

        Raises:
            DubbenchError: here, if the networks that draw were not trained, or no frame of ``references`` shows a face.
        """
        self.check_trained()
        generator = cast(Generator, self.ema.module).eval()
        size = self.hparams["aligned_size"]
        return G4GDubbing(generator, clip, speech, references, mel=MEL, size=size, precision=precision).frames(start)

    def check_trained(self) -> None:
        """See that the networks that draw were trained, and not the alignment alone.

        Raises:
            DubbenchError: if they were not.
        """
        if not self.draws:
            raise DubbenchError(
                f"this {type(self).__name__} was trained with stages alignment, which draws nothing; train with all"
            )

    def paste_mask(self) -> NDArray[np.float32]:
        """The lower half, which the mouth region lies in but for the bridge of the nose; outside it nothing is new."""
        return lower_half(self.hparams["aligned_size"])

    def _alignment_terms(self, network: Generator, features: losses.Features, batch: Batch) -> dict[str, Tensor]:
        # Eq. 12 does not say of what l_s and l_r are here. Like is compared with like, what an occluded face shows:
        # against the reference's mouth and jaw, the encoder would learn to see none.
        source, reference = (  # l_s and l_r of eq. 12
            network.landmark(landmark_map(points.float(), network.height, network.width, UPPER_PARTS))
            for points in (batch.points.flatten(0, 1), batch.reference_points[:, 0])
        )
        source = source.view(len(batch), -1, network.dim)
        return {
            "attribute": losses.attribute(source, reference, batch.speakers),
            "contrastive": losses.contrastive(features, network.inter.scale(), self._told_apart(batch)),
        }

    def _features(self, visual: Tensor, speech: Tensor, others: Tensor, batch: Batch) -> losses.Features:
        """Unit vectors by window: of [B * T, d], [B * T, d] and [B * K * T, d]."""
        count, each = len(batch), (self.window.frames, visual.shape[-1])
        starts = batch.other_starts if len(others) else batch.indices[:, :0]
        there = batch.indices[:, :0] >= 0 if starts is None else starts >= 0
        others = others.view(count, there.shape[1], *each)
        return losses.Features(visual.view(count, *each), speech.view(count, *each), others, there)

    def _others(self, batch: Batch) -> Tensor | None:
        """Mel windows [B * K * T, bands, columns] of other moments, where their features are wanted."""
        wanted = self.hparams["alignment"] and batch.other_mel is not None
        return batch.other_mel.flatten(0, 2) if wanted and batch.other_mel is not None else None

    def _told_apart(self, batch: Batch) -> Tensor:
        return losses.told_apart(batch.clips, batch.indices[:, 0], self.window.frames)

    def _references(self, network: Generator, batch: Batch) -> References:
        """The batch's references; in training the first of them is sometimes all five.

        A protocol shows one frame or the whole clip (`first_frame`, `native`): `dub` then takes that frame five times,
        or five frames. The networks must know how both look, and nothing between; the paper's are five frames.
        """
        pictures = batch.references
        if self.training:
            alone = self.random.uniform(len(batch), device=pictures.device) < ALONE
            pictures = torch.where(alone.view(-1, 1, 1, 1, 1), pictures[:, :1], pictures)
        points = batch.reference_points[:, 0].float()
        return network.encode_references(pictures.flatten(1, 2), landmark_map(points, network.height, network.width))
