"""How PersonaTalk trains and dubs (3.1, 3.2, 4.1)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.datamodules.batch import Batch, Window
from dubbench.errors import DubbenchError
from dubbench.models.adversarial import AdversarialLoss
from dubbench.models.base import lower_half
from dubbench.models.held_face import UNIT, Geometry, HeldFace
from dubbench.models.layers.batch_random import BatchRandom
from dubbench.models.layers.hubert import SpeechFeatures
from dubbench.models.options import Adversarial, TwoStageOptim
from dubbench.models.personatalk.dubbing import DubbingSettings, PersonaTalkDubbing
from dubbench.models.personatalk.geometry import GeometryGenerator
from dubbench.models.personatalk.networks import PersonaTalkStages, stages_of
from dubbench.models.personatalk.options import RendererOptions, TransformerOptions
from dubbench.models.personatalk.renderer import DualAttentionRenderer
from dubbench.models.two_stages import TwoStageModel, required

if TYPE_CHECKING:
    from dubbench.datamodules.clip import PreparedClip


# Frames that tell style and template, at most, in training and when dubbing: enough for a mean and a deviation.
STYLE_FRAMES = 250
TRANSFORMER, RENDERER = TransformerOptions(), RendererOptions()
OPTIM = TwoStageOptim(clip=1.0)
ADVERSARIAL = Adversarial(widths=(64, 128, 256, 512, 512, 512))


class PersonaTalk(TwoStageModel):
    """PersonaTalk (Zhang et al., SIGGRAPH Asia 2024).

    The renderer learns from ground-truth geometry, so neither stage waits for the other: both train in one run, each by
    its own losses and optimiser, or one a run. The paper prints no losses, learning rates, widths or lengths.

    Args:
        size: side of the frames, 256 in the paper.
        geometry: source of the face model.
        vertices: L, for a face model of another size than the source's own.
        stages: what is trained.
        initial: checkpoint of this method to start from, as one of the other stage; null starts anew.
        speech: HuBERT ``base`` from its published weights, or ``tiny`` from nothing.
        transformer: the network from speech to geometry.
        renderer: the network from geometry to faces.
        frame_selection: False draws all references at random (Table 4).
        frames: T, frames of speech that the geometry generator sees at once.
        pictures: how many of them, the middle ones, the renderer draws.
        face_references: N_f in training, 5 in the paper.
        lip_references: N_l in training, 5 in the paper.
        dub_face_references: N_f when dubbing, 5 in the paper.
        dub_lip_references: N_l when dubbing, 25 in the paper.
        reach: how far before and behind the target a face reference lies in training, in frames; 3.2's "small window
            size" is not printed.
        vertex_lip_weight: of the lips' vertices in the vertex losses.
        velocity_weight: of the vertices' velocities, beside 1 for their places.
        perceptual: `vgg19` or `none`.
        lip_weight: weight of the L1 term's pixels around the lips.
        adversarial: the discriminator, and what it weighs.
        optim: optimisers, running average, clipping, compilation.
        batch_size: windows a batch of all processes together, when the data module is told none.
        iterations: optimiser steps of training when the command line gives no length.
    """

    # Algorithm 1 sorts the frames of a whole clip: a protocol that allows all of them gives all of them to `dub`.
    chooses_references = True
    stages = ("geometry", "rendering")

    def __init__(
        self,
        size: int = 256,
        geometry: Geometry = "mesh",
        vertices: int | None = None,
        stages: Literal["both", "geometry", "rendering"] = "both",
        initial: str | None = None,
        speech: Literal["base", "tiny", "mel"] = "base",
        transformer: TransformerOptions = TRANSFORMER,
        renderer: RendererOptions = RENDERER,
        frame_selection: bool = True,
        frames: int = 50,
        pictures: int = 1,
        face_references: int = 5,
        lip_references: int = 5,
        dub_face_references: int = 5,
        dub_lip_references: int = 25,
        reach: int = 12,
        vertex_lip_weight: float = 5.0,
        velocity_weight: float = 1.0,
        perceptual: Literal["none", "vgg19"] = "vgg19",
        lip_weight: float = 5.0,
        adversarial: Adversarial = ADVERSARIAL,
        optim: TwoStageOptim = OPTIM,
        batch_size: int = 8,
        iterations: int = 200_000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        transformer = self.settle("transformer", transformer, TRANSFORMER)
        renderer = self.settle("renderer", renderer, RENDERER)
        self.optim = self.settle("optim", optim, OPTIM)
        self.adversarial = self.settle("adversarial", adversarial, ADVERSARIAL)
        width, heads, channels = transformer.width, transformer.heads, renderer.channels
        if size % 4 or channels % 4 or width % heads or width % 2:
            raise DubbenchError(
                f"size {size} and channels {channels} must be divisible by 4, and width {width} by 2 and {heads} heads"
            )
        if not (renderer.face_attention or renderer.lip_attention):
            raise DubbenchError("without Face-Attention and Lip-Attention nothing is drawn; leave out one at most")
        if not 1 <= pictures <= frames or min(face_references, lip_references) < 1:
            raise DubbenchError(
                f"{pictures} pictures of {frames} frames with {face_references} and {lip_references} references do not "
                "go together: each is at least 1, and pictures are some of the frames"
            )
        self.held_face = HeldFace(self, geometry, vertices)
        self.trained = tuple(name for name in self.stages if stages in ("both", name))
        # References are the renderer's alone, style frames the geometry generator's: neither stage changes the other's,
        # and without the renderer no video is opened.
        self.window = Window(
            frames=frames,
            references=face_references + lip_references if self.trains_renderer else 0,
            size=size,
            reference_rule="adjacent" if frame_selection else "random",
            face_references=face_references if frame_selection and self.trains_renderer else 0,
            reach=reach,
            geometry=geometry,
            pictures=pictures if self.trains_renderer else 0,
            pncc=self.trains_renderer,
            lips=self.trains_renderer,
            style_frames=STYLE_FRAMES if self.trains_speech else 0,
        )
        self.batch_size, self.iterations = batch_size, iterations
        self.build_stages(
            PersonaTalkStages(
                GeometryGenerator(
                    vertices=self.held_face.vertices,
                    width=width,
                    layers=transformer.layers,
                    heads=heads,
                    speech=SpeechFeatures(speech, width),
                    style=transformer.style,
                    dropout=transformer.dropout,
                ),
                DualAttentionRenderer(
                    size=size,
                    channels=channels,
                    blocks=renderer.blocks,
                    face_attention=renderer.face_attention,
                    lip_attention=renderer.lip_attention,
                ),
            ),
            lambda: AdversarialLoss.of_frames(size, self.adversarial),
            {"l1": 1.0, "perceptual": float(perceptual != "none"), "adversarial": self.adversarial.weight},
            {"vertices": 1.0, "velocity": velocity_weight},
        )

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Draw the batch's pictures from their ground-truth geometry."""
        frames: Tensor = stages_of(generator).renderer(
            required(batch.pncc),
            required(batch.lips),
            batch.references,
            reference_pncc=required(batch.reference_pncc),
            reference_lips=required(batch.reference_lips),
            face_references=self.hparams["face_references"],
        )
        return frames

    def losses(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The renderer's: L1 with more weight on the lips, and VGG features. The paper prints none."""
        return self.pixel_losses(fake.float(), batch)

    def speech_losses(self, generator: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """See `geometry_losses`; in training, of some of the style frames."""
        there = required(batch.style_indices) >= 0
        return self.geometry_losses(generator, batch, _some(there, self.random) if self.training else there)

    def geometry_losses(self, generator: nn.Module, batch: Batch, keep: Tensor) -> dict[str, Tensor]:
        """The geometry generator's: distance of the lower face's vertices and of their velocities.

        Distances are in `UNIT`, and lips count more. The paper prints no losses. Style and template come from the
        style frames, none of which lies in the window: 3.1 takes both from the reference video, and of the target's own
        frames they would tell how far its mouth opens.

        Args:
            generator: the networks.
            batch: gives speech, the style frames' coefficients and the truth.
            keep: bool [B, N], the style frames that style and template are taken from, one at least of each example.
        """
        stages, face = stages_of(generator), self.face
        shape, expression = required(batch.shape), required(batch.expression)
        style = stages.geometry.embed_style(required(batch.style_expression), face.expression_basis, keep)
        template = face.vertices(_mean(required(batch.style_shape), keep), expression.new_zeros(expression.shape[-1]))
        made = template[:, None] + stages.geometry(batch.waveform, style, template - face.mean)
        lower = face.regions["lower_face"]
        error = (made - face.vertices(shape, expression))[:, :, lower] / UNIT
        weights = torch.ones(len(face.mean), device=error.device)
        weights[face.regions["lips"]] = self.hparams["vertex_lip_weight"]
        weights = weights[lower] / weights[lower].mean()
        terms = {"vertices": error, "velocity": error.diff(dim=1)}
        return {name: (weights * torch.linalg.vector_norm(e, dim=-1)).mean() for name, e in terms.items()}

    def dub(
        self,
        clip: "PreparedClip",
        speech: NDArray[np.float32],
        references: Sequence[int],
        precision: torch.dtype | None = None,
        start: int = 0,
    ) -> Iterator[NDArray[np.uint8]]:
        """Dub a clip; style, template and textures come from ``references`` alone, chosen among by Algorithm 1.

        Pose and upper face are the target frame's. See `DubbingModel.dub`.

        Raises:
            DubbenchError: here, if a stage is untrained, the clip has no coefficients of this face model, or none of
                ``references`` shows a face.
        """
        self.check_trained()
        stages = stages_of(self.ema.module).eval()
        options = self.hparams
        settings = DubbingSettings(
            size=self.window.size,
            frames=self.window.frames,
            style_frames=STYLE_FRAMES,
            face_references=options["dub_face_references"],
            lip_references=options["dub_lip_references"],
            selection=options["frame_selection"],
            precision=precision,
        )
        return PersonaTalkDubbing(
            stages, self.face, clip, speech=speech, references=references, settings=settings
        ).frames(start)

    @torch.inference_mode()
    def own_style(self, expression: Tensor) -> Tensor:
        """S of 3.1 as dubbing takes it (4.5, Figure 5): [N, D] of all frames of each of N videos [N, T, E].

        Raises:
            DubbenchError: if the geometry stage is untrained or has no style embedding.
        """
        stages = stages_of(self.ema.module).eval()
        if not stages.trained_stages[0]:
            raise DubbenchError("this PersonaTalk's geometry was never trained; fit with --model.stages geometry")
        if stages.geometry.style is None:
            raise DubbenchError("this PersonaTalk was trained without style embedding; name a checkpoint with one")
        return stages.geometry.embed_style(expression, self.face.expression_basis)

    def paste_mask(self) -> NDArray[np.float32]:
        """The lower half, all that is generated: the paper renders the whole crop and does not say how it goes back."""
        return lower_half(self.window.size)


def _mean(shape: Tensor, keep: Tensor) -> Tensor:
    """Mean over the frames [B, N, S] that count: the template's alpha [B, S]."""
    weights = keep[..., None].to(shape)
    return (shape * weights).sum(1) / weights.sum(1)


def _some(there: Tensor, random: BatchRandom) -> Tensor:
    """Which of the frames that are there, bool [B, N], tell the style: any number of them, from one to all.

    A protocol may show a single frame or a whole video, and the networks must know how either looks. One frame differs
    from two as 100 do from 200: the logarithm of the number is drawn evenly.
    """
    total = there.sum(1, keepdim=True)
    count = torch.exp(random.uniform(len(there), 1, device=there.device) * (total + 1).log()).long().clamp(max=total)
    order = random.uniform(*there.shape, device=there.device).masked_fill(~there, 2).argsort(1)
    return order.argsort(1) < count
