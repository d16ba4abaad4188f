"""How the style encoder trains, and styles of prepared clips (PersonaTalk 4.2, 4.5, Figure 5)."""

from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from dubbench.datamodules.batch import Batch, Window
from dubbench.datamodules.geometry import read_geometry
from dubbench.errors import DubbenchError
from dubbench.models.base import DubbingModel
from dubbench.models.held_face import Geometry, HeldFace
from dubbench.models.layers.gather import gathered
from dubbench.models.style_encoder.networks import StyleNetwork, pair_loss, triplet_accuracy

if TYPE_CHECKING:
    from dubbench.datamodules.clip import PreparedClip

# Deviation of a vertex coordinate from the face model's span, in outer-eye distances: about a third of a pixel at 256.
VERTEX_NOISE = 0.003


class StyleEncoder(DubbingModel):
    """Maps the expression of a stretch of video to its speaking style, the same for one speaker and unlike others'.

    It sees expression-only vertices, as PersonaTalk's StyleSim does: neither head pose nor the face's shape. They are
    brought to coefficients of the face model, which DiffPoseTalk's encoder works on too, by ridge least squares: in
    standard deviations a brow counts as much as the jaw, whose millimetres would drown it.

    A training window is two stretches of one clip, ``gap`` frames apart; other speakers of the batch are their
    negatives (DiffPoseTalk 3.2).

    Args:
        geometry: source of the face model, ``mesh``, ``ict`` or ``bfm``.
        vertices: of the face model, by default its source's.
        frames: of a stretch, 100 in DiffPoseTalk (4 s).
        gap: frames between the two stretches of a training window, 10 in DiffPoseTalk.
        components: expression components that the network sees: of a face model that has fewer the rest are zero, of
            one that has more the later ones are left out.
        offset: of a constant that is added to each training stretch, its deviation as a share of each coefficient's
            own; 0 in DiffPoseTalk. From a few speakers the network learns how they move rather than where each clip's
            fit happens to rest.
        width: of the style.
        layers: of the transformer.
        heads: of each layer.
        dropout: in training.
        temperature: tau of NT-Xent.
        lr: learning rate of Adam.
        weight_decay: of Adam.
        compile: true, or a torch.compile backend, speeds the network up.
        batch_size: windows a batch of all processes together, when the data module is told none.
        iterations: optimiser steps of training when the command line gives no length.
    """

    held_face: HeldFace

    def __init__(
        self,
        geometry: Geometry = "mesh",
        vertices: int | None = None,
        frames: int = 100,
        gap: int = 10,
        components: int = 64,
        offset: float = 0.0,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
        temperature: float = 0.1,
        lr: float = 1e-4,
        weight_decay: float = 0.0,
        compile: bool | str = False,
        batch_size: int = 32,
        iterations: int = 30_000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if frames < 2 or gap < 0:
            raise DubbenchError(
                f"stretches of {frames} frames with a gap of {gap} make no pair; take 2 or more and a gap from 0 on"
            )
        self.held_face = HeldFace(self, geometry, vertices)
        # No pictures are decoded, so their size is of no account.
        self.window = Window(frames=2 * frames + gap, references=0, size=64, geometry=geometry, pictures=0)
        self.batch_size, self.iterations = batch_size, iterations
        self.network = StyleNetwork(components, width=width, layers=layers, heads=heads, dropout=dropout)
        self._seen: list[tuple[Tensor, list[str]]] = []
        self._solved: tuple[str, Tensor | None] = "", None

    def compiled(self) -> list[nn.Module]:
        """The one network."""
        return [self.network]

    def configure_optimizers(self) -> Optimizer:
        """Adam, as DiffPoseTalk."""
        return Adam(self.network.parameters(), self.hparams["lr"], weight_decay=self.hparams["weight_decay"])

    def forward(self, vertices: Tensor) -> Tensor:
        """Style of expression-only vertices, as `dubbench.metrics.style` wants its encoder.

        Args:
            vertices: [N, T, V, 3] or [N, T, V * 3], model units, without pose and shape.

        Returns:
            [N, width].
        """
        with torch.autocast(vertices.device.type, enabled=False):
            motion = (vertices.flatten(2).to(self.face.mean) - self.face.mean.flatten()) @ self._recovery()
        style: Tensor = self.network(self._components(motion))
        return style

    def styles(self, expression: Tensor, moved: Tensor | None = None) -> Tensor:
        """Style [N, width] of expression coefficients [N, T, E] of the model's face model, as of their vertices.

        In training ``moved`` [N, 1, E] moves whole stretches, in deviations of all that the batch's faces do.
        """
        with torch.autocast(expression.device.type, enabled=False):
            motion = expression.to(self.face.mean) @ (self.face.expression_basis.flatten(1) @ self._recovery())
        if moved is not None:
            motion = motion + moved * gathered(motion).std((0, 1))
        style: Tensor = self.network(self._components(motion))
        return style

    def _recovery(self) -> Tensor:
        """Matrix [3 V, E] from displacements to coefficients, whose prior is the unit normal.

        It is kept: a face model has one, and what solves for it waits for the device.
        """
        basis = self.face.expression_basis.flatten(1)
        known, recovery = self._solved
        here = self.face.hash(), basis.device, basis.dtype
        if recovery is None or (known, recovery.device, recovery.dtype) != here:
            # What inference mode makes could never be learnt through.
            with torch.inference_mode(mode=False):
                noise = VERTEX_NOISE**2 * torch.eye(len(basis), dtype=basis.dtype, device=basis.device)
                recovery = torch.linalg.solve(basis @ basis.T + noise, basis).T
            self._solved = self.face.hash(), recovery
        return recovery

    def _components(self, motion: Tensor) -> Tensor:
        """Coefficients [N, T, E] as the network wants them: [N, T, components]."""
        return F.pad(motion, (0, self.hparams["components"] - motion.shape[2]))

    def pairs(self, batch: Batch, offset: float = 0.0) -> Tensor:
        """Styles [B, 2, width] of the first and last ``frames`` frames of each window."""
        self.held_face.check(batch)
        assert batch.expression is not None
        frames = self.hparams["frames"]
        halves = torch.cat([batch.expression[:, :frames], batch.expression[:, -frames:]])
        moved = None
        if offset:
            drawn = self.random.normal(len(batch), 2, 1, halves.shape[2], device=halves.device)
            moved = offset * drawn.transpose(0, 1).flatten(0, 1)
        return torch.stack(self.styles(halves, moved).chunk(2), 1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """NT-Xent over the batch."""
        if len(set(batch.speakers)) == 1:
            rank_zero_warn("a batch of one speaker teaches nothing about style: give more speakers or larger batches")
        styles = self.pairs(batch, self.hparams["offset"])
        loss = pair_loss(styles, batch.speakers, self.hparams["temperature"])
        # On Lightning's own bar it would be read from the device each step.
        self.log("train_loss", loss.detach(), batch_size=len(batch), sync_dist=self.logs_together())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss, and the styles for the triplets over all windows."""
        styles = self.pairs(batch)
        loss = pair_loss(styles, batch.speakers, self.hparams["temperature"])
        self.log("val_loss", loss, sync_dist=True, batch_size=len(batch))
        self._seen.append((styles.flatten(0, 1).detach(), [name for name in batch.speakers for _ in range(2)]))

    def on_validation_epoch_end(self) -> None:
        """Log the share of rightly ordered triplets; 0.5 is chance."""
        styles = torch.cat([styles for styles, _ in self._seen])
        speakers = [name for _, names in self._seen for name in names]
        self._seen.clear()
        self.log("val_triplet_accuracy", triplet_accuracy(styles, speakers), prog_bar=True, sync_dist=True)


@torch.inference_mode()
def embed(
    model: StyleEncoder,
    clip: "PreparedClip",
    part: tuple[float, float] = (0.0, 1.0),
    hop: int | None = None,
) -> Tensor:
    """Styles of the stretches of a clip, side by side as in StyleSim.

    Args:
        model: in eval mode.
        clip: with geometry of the model's face model.
        part: begin and end of what is looked at, shares of the clip: a later part that training left out, for one.
        hop: frames from one stretch to the next, by default a stretch.

    Returns:
        float32 [n, width] on the CPU; one stretch of all that is there where that is shorter than the model's.

    Raises:
        DubbenchError: if the clip has no such geometry, or the part no two frames.
    """
    first, last = round(part[0] * len(clip)), round(part[1] * len(clip))
    if last - first < 2:
        raise DubbenchError(f"frames {first} to {last} of {clip.info.clip} hold no style; give a part of 2 or more")
    length = min(model.hparams["frames"], last - first)
    expression = torch.from_numpy(read_geometry(clip, model.face.hash()).expression[first:last])
    stretches = expression.unfold(0, length, hop or length).transpose(1, 2)
    return model.styles(stretches.to(model.device)).float().cpu()
