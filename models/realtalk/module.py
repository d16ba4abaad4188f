"""How RealTalk trains and dubs (3.1, 3.2, 4.1)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.datamodules.batch import SAMPLES_PER_FRAME, Batch, Window
from dubbench.datamodules.geometry import read_geometry
from dubbench.errors import DubbenchError
from dubbench.models.adversarial import AdversarialLoss
from dubbench.models.base import faces_among, lower_half
from dubbench.models.held_face import Geometry, HeldFace
from dubbench.models.layers.batch_random import BatchRandom
from dubbench.models.layers.hubert import SpeechFeatures
from dubbench.models.options import Adversarial, TwoStageOptim
from dubbench.models.realtalk.expression import AudioToExpression, expression_losses
from dubbench.models.realtalk.mask import teeth_mask
from dubbench.models.realtalk.networks import RealTalkStages, keep_mask, render_coefficients, stages_of
from dubbench.models.realtalk.options import RendererOptions, TransformerOptions
from dubbench.models.realtalk.other_speech import other_speech
from dubbench.models.realtalk.renderer import Renderer, blend
from dubbench.models.realtalk.streaming import DubbingStream, Speaker, StreamSettings, Target
from dubbench.models.two_stages import TwoStageModel, required

if TYPE_CHECKING:
    from dubbench.datamodules.clip import PreparedClip


TRANSFORMER, RENDERER = TransformerOptions(), RendererOptions()
OPTIM = TwoStageOptim(clip=1.0)
ADVERSARIAL = Adversarial(widths=(64, 128, 256, 512, 512, 512))


class RealTalk(TwoStageModel):
    """RealTalk (Ji et al., 2024).

    The renderer learns from ground-truth expressions and only at last from predicted ones, so neither stage waits for
    the other: both train in one run, each by its own losses and optimiser, or one a run. The paper prints no widths,
    depths, learning rates or lengths.

    Args:
        size: side of the frames, 256 in the paper.
        geometry: source of the face model.
        vertices: V, for a face model of another size than the source's own.
        shapes: S, shape coefficients alpha that the networks take; a face model may have fewer.
        expressions: E, expression coefficients beta that the networks take and give; a face model may have fewer.
        stages: what is trained.
        initial: checkpoint of this method to start from, as one of the other stage; null starts anew.
        speech: HuBERT ``base`` from its published weights, frozen, or ``tiny`` from nothing.
        transformer: the network from speech to expressions.
        frames: T, expressions that are predicted at once, 16 in the paper; they are heard as l = 2 T features.
        history: N, historical expressions, 16 in the paper.
        renderer: the network from expressions to faces.
        mask: the paper's learnable one, or the naive lower half (Table 6).
        pictures: how many of the T frames the renderer draws.
        predicted: share of the training, its last part, in which the renderer draws from predicted expressions, see
            `for_drawing`; from the frames' own before it, and always where the first stage is untrained.
        vertex_weight: of eq. 4 beside eq. 3, 0.1 in the paper.
        perceptual: `vgg19`, lambda_2 = 1 of eq. 10, or `none`. Lambda_1 = 1 is fixed.
        teeth_weight: lambda_4 of eq. 10, 1 in the paper.
        lip_weight: weight of the L1 term's pixels around the lips, 1 in the paper.
        adversarial: the discriminator, and what it weighs, lambda_3 of eq. 10, 0.1 in the paper.
        optim: optimisers, running average, clipping, compilation, the last also when dubbing.
        batch_size: windows a batch of all processes together, when the data module is told none.
        iterations: optimiser steps of training when the command line gives no length.
    """

    # The historical expressions are drawn from all frames of the clip (4.1): a protocol that allows them gives them.
    chooses_references = True
    stages = ("expression", "rendering")

    def __init__(
        self,
        size: int = 256,
        geometry: Geometry = "mesh",
        vertices: int | None = None,
        shapes: int = 80,
        expressions: int = 64,
        stages: Literal["both", "expression", "rendering"] = "both",
        initial: str | None = None,
        speech: Literal["base", "tiny", "mel"] = "base",
        transformer: TransformerOptions = TRANSFORMER,
        frames: int = 16,
        history: int = 16,
        renderer: RendererOptions = RENDERER,
        mask: Literal["learnable", "naive"] = "learnable",
        pictures: int = 1,
        predicted: float = 0.25,
        vertex_weight: float = 0.1,
        perceptual: Literal["none", "vgg19"] = "vgg19",
        teeth_weight: float = 1.0,
        lip_weight: float = 1.0,
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
        width, heads = transformer.width, transformer.heads
        if size % 16 or width % heads or width % 2:
            raise DubbenchError(
                f"size {size} must be divisible by 16, and width {width} by 2 and {heads} heads; choose others"
            )
        if not 1 <= pictures <= frames or history < 1:
            raise DubbenchError(
                f"{pictures} pictures of {frames} frames with {history} historical expressions do not go together: "
                "each is at least 1, and pictures are some of the frames"
            )
        if not 0 <= predicted <= 1:
            raise DubbenchError(f"predicted is {predicted}; give the share of a training, from 0 to 1")
        self.held_face = HeldFace(self, geometry, vertices, (shapes, expressions))
        self.trained = tuple(name for name in self.stages if stages in ("both", name))
        self.window = Window(
            frames=frames,
            references=1 + history,
            reference_rule="history",
            reference_pictures=int(self.trains_renderer),
            size=size,
            geometry=geometry,
            pictures=pictures if self.trains_renderer else 0,
        )
        self.batch_size, self.iterations = batch_size, iterations
        self.build_stages(
            RealTalkStages(
                AudioToExpression(
                    shapes=shapes,
                    expressions=expressions,
                    # 3.1 extracts HuBERT's features and speaks of no tuning; a small one has nothing to extract yet.
                    speech=SpeechFeatures(speech, width, trainable=speech != "base", per_frame=2),
                    width=width,
                    heads=heads,
                    encoder_layers=transformer.encoder_layers,
                    decoder_layers=transformer.decoder_layers,
                    frames=frames,
                    shape=transformer.shape_prior,
                    history=transformer.history_prior,
                    dropout=transformer.dropout,
                ),
                Renderer(size, shapes + expressions + 6, renderer),
            ),
            lambda: AdversarialLoss.of_frames(size, self.adversarial),
            {
                "l1": 1.0,
                "perceptual": float(perceptual != "none"),
                "teeth": teeth_weight,
                "adversarial": self.adversarial.weight,
            },
            {"expression": 1.0, "vertices": vertex_weight},
        )

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Draw the batch's pictures from its coefficients and the clip's first frame (eqs. 5 to 8).

        Eqs. 5 and 7 write each frame's own shape. A face has one; what is fitted to a frame follows the mouth, too. It
        is alpha_1 here, the identity's, which the first stage has as well (3.1).
        """
        expression, pose = (
            required(field)[:, self.window.pictured].flatten(0, 1) for field in (batch.expression, batch.pose)
        )
        shape = required(batch.reference_shape)[:, 0].repeat_interleave(batch.frames.shape[1], 0)
        mask = keep_mask(
            self.face, shape, expression, pose, size=self.window.size, learnable=self.hparams["mask"] == "learnable"
        )
        source = batch.frames.flatten(0, 1)
        coefficients = render_coefficients(
            shape, expression, pose, (self.hparams["shapes"], self.hparams["expressions"])
        )
        drawn = stages_of(generator).renderer(source * mask, batch.references[:, 0], coefficients)
        return blend(source, drawn, mask).view_as(batch.frames)

    def for_drawing(self, batch: Batch) -> Batch:
        """In the last part of training, as long as ``predicted`` says, a batch with predicted expressions.

        Eqs. 5 and 7 write them, for mask and renderer alike, and the paper does not say since when. Early ones have
        nothing to do with the frame that the picture is compared with; late ones, of the frame's own speech, are near
        it, and the renderer learns what dubbing will give it. They are the running average's, which dubs. Where this
        run trains the renderer alone, the first stage stands still.
        """
        done = self.done() if self.hparams["predicted"] else None
        # Tenths have no exact binary form; a batch is more than a billionth of any training.
        if done is None or 1 - done > self.hparams["predicted"] + 1e-9:
            return batch
        stages = stages_of(self.ema.module if self.trains_speech else self.generator)
        return self.with_predictions(stages, batch) if self.speaks else batch

    def with_predictions(self, stages: RealTalkStages, batch: Batch) -> Batch:
        """A batch with the expressions of its frames as dubbing predicts them: no gradient, no dropout."""
        network = stages.expression
        training = network.training
        with torch.no_grad():
            made = self._heard(network.eval(), batch, required(batch.reference_expression)[:, 1:])
        network.train(training)
        return replace(batch, expression=made)

    def on_train_start(self) -> None:
        """Say so if ``predicted`` cannot be done."""
        super().on_train_start()
        if not self.hparams["predicted"] or not self.trains_renderer:
            return
        why = ""
        if not self.trains_speech and not self.speaks:
            why = "its expression stage is untrained; give --model.initial a checkpoint of that one"
        elif self.done() is None:
            why = "the length of this training is not known in batches; give --model.iterations or --trainer.max_epochs"
        if why:
            rank_zero_warn(
                f"RealTalk's renderer learns from the frames' own expressions alone, since {why}, or say that you want "
                "it so: --model.predicted 0"
            )

    def losses(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Eq. 9 but for L_3, the adversarial term: `AdversarialLoss` has it, of logits in place of D's probabilities.

        The paper writes sums over the pixels; means over all of them keep its weights at any size, and the teeth then
        count as often as there.
        """
        fake = fake.float()
        teeth = teeth_mask(batch.points.flatten(0, 1).float(), fake.shape[-1])
        error = (fake - batch.frames).abs().flatten(0, 1)
        return {**self.pixel_losses(fake, batch), "teeth": (teeth * error).mean()}

    def speech_losses(self, generator: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Eqs. 3 and 4 of the window's expressions, with shape and history of the references.

        In training some of the N historical expressions, any number from one on, stand for all: a protocol may show a
        single frame, and the network must know how that looks.
        """
        history = required(batch.reference_expression)[:, 1:]
        if self.training:
            history = _fewer(history, self.random)
        made = self._heard(stages_of(generator).expression, batch, history)
        return expression_losses(self.face, made, required(batch.expression))

    def _heard(self, network: AudioToExpression, batch: Batch, history: Tensor) -> Tensor:
        """Expressions [B, T, E] of a batch's frames from its speech, the shape of its references and a history."""
        made: Tensor = network(batch.waveform, required(batch.reference_shape)[:, 0], history)
        return made

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """As every method of two stages; beside it what the renderer draws of predictions, and the scale of eq. 3.

        The scale's ends are the error of other speech, another clip's where the batch holds one (see `other_speech`),
        and of what no speech is needed for, the mean of the historical expressions.
        """
        super().validation_step(batch, batch_idx)
        stages = stages_of(self.ema.module)
        if self.trains_renderer and stages.trained_stages[0]:
            scores = self.picture_scores(self.generate(stages, self.with_predictions(stages, batch)).float(), batch)
            self.log_validation({f"{name}_predicted": value for name, value in scores.items()}, batch)
        if not self.trains_speech:
            return
        mean = required(batch.reference_expression)[:, 1:].mean(1, keepdim=True)
        still = expression_losses(self.face, mean, required(batch.expression))["expression"]
        logs = {"expression_mean": still}
        if (waveform := other_speech(batch)) is None:
            rank_zero_warn(
                "val_expression_other_speech leaves out batches of one clip whose windows overlap; give larger batches "
                "(--data.batch_size), or more windows (--data.val_windows)"
            )
        else:
            other = replace(batch, waveform=waveform)
            logs["expression_other_speech"] = self.speech_losses(self.ema.module, other)["expression"]
        self.log_validation(logs, batch)

    def dub(
        self,
        clip: "PreparedClip",
        speech: NDArray[np.float32],
        references: Sequence[int],
        precision: torch.dtype | None = None,
        start: int = 0,
    ) -> Iterator[NDArray[np.uint8]]:
        """Dub a clip as a stream; identity and shape come from the first of ``references`` that shows a face.

        The historical expressions are drawn from all ``references``; pose and everything outside the mask are the
        target frame's. See `DubbingModel.dub` and `DubbingStream`.

        Raises:
            DubbenchError: here, if a stage is untrained, the clip has no coefficients of this face model, or none of
                ``references`` shows a face.
        """
        self.check_trained()
        coefficients = read_geometry(clip, self.face.hash())
        seen = faces_among(clip, references)
        size, count = self.window.size, self.hparams["history"]
        history = np.random.default_rng(0).choice(seen, count, replace=len(seen) < count)
        speaker = Speaker(
            clip.frames(seen[:1].tolist(), size)[0],
            torch.from_numpy(coefficients.rows("shape", seen[:1].tolist())[0]),
            torch.from_numpy(coefficients.rows("expression", history.tolist())),
        )
        pose = torch.from_numpy(coefficients.rows("pose"))
        stream = self.stream(speaker, precision, start)

        def frames() -> Iterator[NDArray[np.uint8]]:
            for number, picture in enumerate(clip.stream(size)):
                heard = speech[number * SAMPLES_PER_FRAME : (number + 1) * SAMPLES_PER_FRAME]
                # Frames that waited for speech that never comes would all be held until the end.
                heard = np.pad(heard, (0, SAMPLES_PER_FRAME - len(heard)))
                yield from stream.push(heard, [Target(picture, pose[number])])
            yield from stream.finish()

        return frames()

    def stream(self, speaker: Speaker, precision: torch.dtype | None = None, start: int = 0) -> DubbingStream:
        """Begin to dub frames that come in piece by piece.

        Args:
            speaker: who is dubbed.
            precision: run under autocast of this type.
            start: first frame that leaves; all must come in, since the speech before it tells, too.

        Raises:
            DubbenchError: if a stage is untrained.
        """
        self.check_trained()
        settings = StreamSettings(
            size=self.window.size,
            frames=self.window.frames,
            learnable=self.hparams["mask"] == "learnable",
            precision=precision,
            compile=self.optim.compile,
        )
        return DubbingStream(stages_of(self.ema.module).eval(), self.face, speaker, settings, start=start)

    def exportable(self) -> tuple[nn.Module, dict[str, Tensor], list[str]]:
        """The renderer: masked frame, reference and coefficients to a frame; see `DubbingModel.exportable`."""
        self.check_trained()
        size, count = self.window.size, self.hparams["shapes"] + self.hparams["expressions"] + 6
        # Not zeros: norms over uniform pictures blow rounding up to whole frames, and equal rows hide a mix-up.
        draw = torch.Generator().manual_seed(0)
        inputs = {
            "masked": torch.rand(2, 3, size, size, generator=draw) * 2 - 1,
            "reference": torch.rand(1, 3, size, size, generator=draw) * 2 - 1,
            "coefficients": torch.randn(2, count, generator=draw),
        }
        return stages_of(self.ema.module).renderer.eval(), inputs, ["frame"]

    def paste_mask(self) -> NDArray[np.float32]:
        """The lower half, which the mask's region lies in but for the bridge of the nose; outside it nothing is new."""
        return lower_half(self.window.size)


def _fewer(history: Tensor, random: BatchRandom) -> Tensor:
    """History [B, N, E] of which only the first one to N expressions, drawn for each row, are used, in turn."""
    batch, count, _ = history.shape
    used = random.integers(1, count + 1, batch, 1, device=history.device)
    rows = torch.arange(count, device=history.device) % used
    return history.gather(1, rows[..., None].expand_as(history))
