"""How the sync expert trains (RADIO 3.3, eqs. 4 and 5)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar, Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer

from dubbench.datamodules.batch import Batch, Mel, Window
from dubbench.models.base import DubbingModel
from dubbench.models.layers.constants import places
from dubbench.models.sync_expert.losses import contrastive_loss, sync_loss
from dubbench.models.sync_expert.networks import CROP, FACE_CROP, FRAMES, SyncNetwork
from dubbench.models.sync_expert.watch import ACCURACY, Overfitting, SyncLossStuck


class SyncExpert(DubbingModel):
    """Tells whether five frames of lips and the speech around them belong together.

    Every five frames of a training window meet the speech of every other five: equal positions are in sync, positions 5
    to 15 frames apart off sync, and those between are left out, since they share frames.

    Args:
        size: side of the aligned frames that this network judges; of the mouth region in face crops.
        crop: ``square`` judges aligned frames, as RADIO's; ``face`` G4G's face crops by its speech features.
        frames: frames of a training window; 20 hold 16 times five frames, up to 15 apart.
        crop_size: side of the grey crops.
        widths: channels of the lip network's stages.
        blocks: blocks of the lip network's stages.
        speech_widths: channels of the speech network's stages.
        speech_blocks: blocks of the speech network's stages.
        embedding: width of the embeddings.
        objective: `bce` is eq. 5; `contrastive` a symmetric cross-entropy over the windows of a clip, which overfits a
            small corpus less.
        temperature: where the contrastive temperature begins.
        dropout: share of features dropped before each embedding.
        shift: largest shift of a clip's crops in training, a share of the crop.
        brightness: largest change of brightness and contrast in training.
        flip: whether crops are mirrored at random in training.
        lr: learning rate of AdamW.
        weight_decay: of AdamW.
        compile: true, or a torch.compile backend, speeds the network up.
        batch_size: windows a batch of all processes together, when the data module is told none.
        iterations: optimiser steps of training when the command line gives no length.
    """

    FRAMES: ClassVar[int] = FRAMES
    best_by = ACCURACY

    def __init__(
        self,
        size: int = 192,
        crop: Literal["square", "face"] = "square",
        frames: int = 20,
        crop_size: int = 144,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (3, 4, 6, 3),
        speech_widths: Sequence[int] = (16, 32, 64, 128),
        speech_blocks: Sequence[int] = (3, 4, 6, 3),
        embedding: int = 512,
        objective: Literal["bce", "contrastive"] = "bce",
        temperature: float = 0.07,
        dropout: float = 0.0,
        shift: float = 0.0,
        brightness: float = 0.0,
        flip: bool = False,
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        compile: bool | str = False,
        batch_size: int = 16,
        iterations: int = 200_000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        # 20 columns: the 200 ms of the five frames whose middle frame the mel window is centred on.
        mel = Mel(columns=20) if crop == "square" else Mel(fft=800, hop=200, columns=16)
        self.window = Window(frames=frames, references=0, size=size, mel=mel, crop=crop)
        self.batch_size, self.iterations = batch_size, iterations
        self.network = SyncNetwork(
            crop_size=crop_size,
            widths=widths,
            blocks=blocks,
            speech_widths=speech_widths,
            speech_blocks=speech_blocks,
            embedding=embedding,
            dropout=dropout,
            temperature=temperature,
            part=CROP if crop == "square" else FACE_CROP,
        )

    def compiled(self) -> list[nn.Module]:
        """The one network."""
        return [self.network]

    def configure_callbacks(self) -> list[L.Callback]:
        """Watch for the loss that never leaves chance, and for what holds of the training clips alone."""
        stuck: list[L.Callback] = [SyncLossStuck()] if self.hparams["objective"] == "bce" else []
        return [*stuck, Overfitting()]

    def configure_optimizers(self) -> Optimizer:
        """AdamW; the temperature is no weight and does not decay."""
        decayed = [p for name, p in self.network.named_parameters() if p.ndim > 1]
        free = [p for name, p in self.network.named_parameters() if p.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.hparams["weight_decay"]},
            {"params": free, "weight_decay": 0.0},
        ]
        return AdamW(groups, self.hparams["lr"])

    def similarities(self, batch: Batch, transform: Tensor | None = None) -> Tensor:
        """Cosines (eq. 4) [B, N, N] of each of N lip windows (rows) with each speech window of its clip."""
        assert batch.mel is not None
        lips, speech = self.network(batch.frames, batch.mel, transform)
        with torch.autocast(lips.device.type, enabled=False):
            return F.normalize(lips.float(), dim=-1) @ F.normalize(speech.float(), dim=-1).transpose(1, 2)

    def loss(self, similarities: Tensor) -> Tensor:
        """Chosen objective over the pairs of similarities [B, N, N]."""
        if self.hparams["objective"] == "contrastive":
            off = off_sync(similarities.shape[-1], similarities.device)
            diagonal = torch.eye(len(off), dtype=torch.bool, device=off.device)
            return contrastive_loss(similarities * self.network.scale(), off | diagonal)
        # By their places: a device that is asked where a mask is true is waited for.
        apart = similarities.flatten(1)[:, places(_off_sync_pairs(similarities.shape[-1]), similarities)]
        # In-sync pairs are fewer; each side weighs one half, as in batches drawn half and half.
        in_sync = sync_loss(similarities.diagonal(dim1=1, dim2=2), in_sync=True)
        return (in_sync + sync_loss(apart, in_sync=False)) / 2

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss on augmented crops."""
        loss = self.loss(self.similarities(self._brighten(batch), self._shifts(batch)))
        # On Lightning's own bar it would be read from the device each step.
        self.log("train_loss", loss.detach(), batch_size=len(batch), sync_dist=self.logs_together())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss, and the share of (in-sync, off-sync) pairs that are ordered rightly."""
        similarities = self.similarities(batch)
        logs = {"val_loss": self.loss(similarities), ACCURACY: pair_accuracy(similarities)}
        self.log_dict(logs, prog_bar=True, sync_dist=True, batch_size=len(batch))

    def _shifts(self, batch: Batch) -> Tensor:
        """Random flip and shift of each clip's crops: [B, 2, 3], see `crop_mouth`."""
        count, device = len(batch), batch.frames.device
        transform = torch.eye(2, 3, device=device).repeat(count, 1, 1)
        transform[:, :, 2] = (self.random.uniform(count, 2, device=device) * 2 - 1) * 2 * self.hparams["shift"]
        if self.hparams["flip"]:
            transform[:, 0, 0] = self.random.integers(0, 2, count, device=device) * 2.0 - 1
        return transform

    def _brighten(self, batch: Batch) -> Batch:
        """Random brightness and contrast of each clip."""
        reach = self.hparams["brightness"]
        if not reach:
            return batch
        noise = (self.random.uniform(len(batch), 2, device=batch.frames.device) * 2 - 1) * reach
        contrast, brightness = noise.view(len(batch), 2, 1, 1, 1, 1).unbind(1)
        return replace(batch, frames=batch.frames * (1 + contrast) + brightness)


def off_sync(count: int, device: torch.device | str = "cpu") -> Tensor:
    """Pairs of windows that are 5 to 15 frames apart: bool [count, count].

    RADIO 3.3 says "off-sync" and no more. Windows less than five frames apart share frames; 15 is the farthest that a
    training window of 20 frames holds. Both are of one clip, so neither voice nor face can tell them from pairs in
    sync.
    """
    position = torch.arange(count, device=device)
    distance = (position[:, None] - position).abs()
    return (distance >= 5) & (distance <= 15)


@lru_cache
def _off_sync_pairs(count: int) -> tuple[int, ...]:
    """Places of the pairs of `off_sync` in rows laid end to end."""
    return tuple(off_sync(count).flatten().nonzero()[:, 0].tolist())


def pair_accuracy(similarities: Tensor) -> Tensor:
    """Share of (in-sync, off-sync) pairs of similarities [B, N, N] whose in-sync one is the larger; ties are wrong."""
    right = similarities.diagonal(dim1=1, dim2=2)[..., None] > similarities
    return right[:, off_sync(similarities.shape[-1], similarities.device)].float().mean()
