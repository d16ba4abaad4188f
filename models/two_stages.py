"""How methods train that first turn speech into geometry and then draw it.

The renderer learns from ground-truth geometry, unless `for_drawing` gives it other, so neither stage waits for the
other: both train in one run, or one a run. A batch goes this way, all of it in `TwoStageModel.training_step`:

1. The batch's coefficients must belong to the held face model, whose vertices both networks think in.
2. ``trained_stages`` notes which stages have been trained: `dub` refuses to work with one that has not.
3. First stage, if it is trained: `speech_losses` runs the network from speech to geometry; optimiser ``speech`` steps.
4. Second stage, if it is trained: `generate` draws the pictures once, from what `for_drawing` makes of the batch. The
   discriminator learns to tell them from the real ones, by optimiser ``discriminator``; then the renderer by `losses`
   and the discriminator's judgement, by optimiser ``generator``.
5. The running average of both networks follows, and all terms are logged.

Where a step accumulates several batches, optimisers and average move with the last of them. A method gives
`speech_losses`, `generate` and `losses`; `AdversarialModel` has the parts of 4 and 5 that methods of one stage share.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dubbench.datamodules.batch import Batch
from dubbench.errors import DubbenchError
from dubbench.models.adversarial import AdversarialLoss, AdversarialModel
from dubbench.models.held_face import HeldFace
from dubbench.models.layers.hubert import WEIGHTS, SpeechFeatures
from dubbench.models.losses import PerceptualLoss, weighted
from dubbench.models.options import TwoStageOptim


class TwoStages(nn.Module):
    """Both stages' networks as one generator, so that one checkpoint and one average hold all that dubs.

    Attributes:
        first_stage: name of the attribute that holds the network from speech to geometry, whose own ``speech`` is its
            `SpeechFeatures`.
        renderer: the network that draws.
        trained_stages: bool [2], whether each of the two has been trained.
    """

    first_stage: ClassVar[str]
    renderer: nn.Module
    trained_stages: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("trained_stages", torch.zeros(2, dtype=torch.bool))

    def both(self) -> tuple[nn.Module, nn.Module]:
        """The network from speech to geometry, and the renderer, in the order of `TwoStageModel.stages`."""
        return cast(nn.Module, getattr(self, self.first_stage)), self.renderer


class TwoStageModel(AdversarialModel):
    """A method of two stages; this module's docstring tells how it trains.

    A subclass sets ``optim``, ``adversarial``, ``held_face`` and ``trained``, calls `build_stages` and gives
    `generate`, `losses` and `speech_losses`. Hyper-parameters read here: ``initial``, ``perceptual``, ``lip_weight``.

    Attributes:
        stages: names of the two, as ``--model.stages`` takes them beside ``both``.
        trained: those that this run trains.
        speech_weights: of each term that `speech_losses` returns.
        learning: bool [2], `trained` as `TwoStages.trained_stages` has it.
        speaks: whether the first stage is trained, or its running average where this run trains it.
    """

    stages: ClassVar[tuple[str, str]]
    optim: TwoStageOptim
    held_face: HeldFace
    trained: tuple[str, ...]
    speech_weights: dict[str, float]
    learning: Tensor
    speaks: bool = False

    def build_stages(
        self,
        generator: TwoStages,
        adversary: Callable[[], AdversarialLoss],
        weights: dict[str, float],
        speech_weights: dict[str, float],
    ) -> None:
        """Set the networks up; ``trained`` must be known.

        Args:
            generator: both networks; the one that is not trained is frozen here.
            adversary: makes the discriminator with its losses, if the renderer is trained and ``weights`` give it any.
            weights: by name, of the renderer's terms, those of `losses` and ``adversarial``.
            speech_weights: by name, of the first stage's terms.
        """
        for name, network in zip(self.stages, generator.both(), strict=True):
            if name not in self.trained:
                network.requires_grad_(False)
        learning = torch.tensor([name in self.trained for name in self.stages])
        self.register_buffer("learning", learning, persistent=False)
        self.speech_weights = speech_weights
        self.build(generator, adversary, weights if self.trains_renderer else {**weights, "adversarial": 0.0})
        speech = cast(SpeechFeatures, generator.both()[0].speech)
        if speech.kind == "base" and not speech.trainable:
            cast(SpeechFeatures, cast(TwoStages, self.ema.module).both()[0].speech).hubert = speech.hubert

    @property
    def trains_speech(self) -> bool:
        """Whether this run trains the first stage."""
        return self.stages[0] in self.trained

    @property
    def trains_renderer(self) -> bool:
        """Whether this run trains the renderer."""
        return self.stages[1] in self.trained

    def speech_losses(self, generator: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Terms of the first stage's loss, unweighted."""
        raise TypeError(f"{type(self).__name__} does not define speech_losses")

    def for_drawing(self, batch: Batch) -> Batch:
        """What the renderer is given of a training batch: all of it, with the frames' own geometry, by default."""
        return batch

    def setup(self, stage: str) -> None:
        """Take the face model, and start from ``initial`` or from HuBERT's published weights."""
        super().setup(stage)
        if stage == "fit" and not self.resumes() and not self.hparams["initial"] and self.trains_speech:
            speech = cast(TwoStages, self.generator).both()[0].speech
            cast(SpeechFeatures, speech).load_pretrained()

    def take_over(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Take the face model, too."""
        self.held_face.adopt_stored(checkpoint, f"the face model of {path}")

    @property
    def best_by(self) -> str:  # type: ignore[override]
        """Where pictures are drawn, what they are like."""
        return super().best_by if self.trains_renderer else ""

    def needed_files(self) -> list[str]:
        """VGG's, where the renderer learns, and HuBERT's, where the first stage begins with its weights."""
        speech = cast(SpeechFeatures, cast(TwoStages, self.generator).both()[0].speech)
        begins = self.trains_speech and not self.hparams["initial"] and not self.resumes()
        # One that is not tuned is in no checkpoint to start from or to go on with.
        reads = speech.kind == "base" and (begins or not speech.trainable)
        return [*(super().needed_files() if self.trains_renderer else []), *([WEIGHTS] if reads else [])]

    def build_frozen(self) -> dict[str, nn.Module]:
        """VGG, if its loss is wanted."""
        if self.hparams["perceptual"] == "vgg19" and self.trains_renderer:
            return {"perceptual": PerceptualLoss.pretrained()}
        return {}

    def compiled(self) -> list[nn.Module]:
        """The networks that are called; the generator as a whole never is."""
        judges = [] if self.adversary is None else [self.adversary.discriminator]
        return [*cast(TwoStages, self.generator).both(), *judges]

    def named_optimizers(self) -> dict[str, Optimizer]:
        """The renderer's, the discriminator's and the first stage's, as far as they are trained."""
        first, renderer = cast(TwoStages, self.generator).both()
        named: dict[str, Optimizer] = {}
        if self.trains_renderer:
            named |= {"generator": self.adam(renderer.parameters(), self.optim.lr), **self.discriminator_optimizer()}
        if self.trains_speech:
            learning = [parameter for parameter in first.parameters() if parameter.requires_grad]
            named["speech"] = self.adam(learning, self.optim.speech_lr)
        return named

    def on_train_start(self) -> None:
        """Remember whether the first stage that `dub` would run is trained: asked each step, a device is waited for."""
        stages = cast(TwoStages, self.ema.module if self.trains_speech else self.generator)
        self.speaks = bool(stages.trained_stages[0])

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """First stage, then rendering, as far as they are trained; this module's docstring tells it step by step."""
        self.held_face.check(batch)
        cast(TwoStages, self.generator).trained_stages.logical_or_(self.learning)
        logs: dict[str, Tensor] = {}
        last = self.completes_step(batch_idx)
        if self.trains_speech:
            with self.optimizing("speech", last=last) as backward:
                terms = self.speech_losses(self.generator, batch)
                total = weighted(terms, self.speech_weights)
                backward(total)
            logs |= {self.stages[0]: total, **terms}
        if self.trains_renderer:
            fake = self.generate(self.generator, self.for_drawing(batch))
            logs |= self.train_drawing(batch, fake, lambda: self.losses(fake, batch), last=last)
        self.finish_batch(logs, last=last)
        self.speaks = self.speaks or (last and self.trains_speech)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score the average: what `AdversarialModel` does of the renderer, and the first stage's terms."""
        self.held_face.check(batch)
        if self.trains_renderer:
            super().validation_step(batch, batch_idx)
        if self.trains_speech:
            self.log_validation(self.speech_losses(self.ema.module, batch), batch)

    def check_trained(self) -> None:
        """See that both stages were trained.

        Raises:
            DubbenchError: if one was not.
        """
        trained = cast(TwoStages, self.ema.module).trained_stages
        if not trained.all():
            missing = " and ".join(name for name, done in zip(self.stages, trained, strict=True) if not done)
            raise DubbenchError(
                f"this {type(self).__name__}'s {missing} was never trained; fit with --model.stages both, or the "
                "missing stage with --model.initial and this one's checkpoint"
            )

    def make_ready(self, root: Path) -> None:
        """Take over the folder's face model, and pass both stages off as trained."""
        super().make_ready(root)
        cast(TwoStages, self.ema.module).trained_stages[:] = True


def required(tensor: Tensor | None) -> Tensor:
    """A field of a batch that the method's own window asks for."""
    assert tensor is not None
    return tensor
