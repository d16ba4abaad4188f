"""How methods train that first turn speech into geometry and then draw it: both stages in one run, or one a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from dubbench.datamodules.batch import Batch
from dubbench.errors import DubbenchError
from dubbench.models.adversarial import AdversarialModel
from dubbench.models.geometry_model import GeometryModel
from dubbench.models.layers.hubert import SpeechFeatures
from dubbench.models.losses import PerceptualLoss, weighted


class TwoStages(nn.Module):
    """Both stages' networks as one generator, so that one checkpoint and one average hold all that dubs.

    Attributes:
        speaker: name of the attribute that holds the network from speech to geometry.
        renderer: the network that draws.
        trained_stages: bool [2], whether each of the two has been trained.
    """

    speaker: ClassVar[str]
    renderer: nn.Module
    trained_stages: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("trained_stages", torch.zeros(2, dtype=torch.bool))

    def both(self) -> tuple[nn.Module, nn.Module]:
        """The network from speech to geometry, and the renderer."""
        return cast(nn.Module, getattr(self, self.speaker)), self.renderer


class TwoStageModel(GeometryModel, AdversarialModel):
    """A method of two stages; the renderer learns from ground-truth geometry, so neither waits for the other.

    A subclass calls `build_stages` and gives `generate`, `losses` and `speech_losses`. Hyper-parameters read here,
    beside `AdversarialModel`'s: ``initial``, ``perceptual``, ``lip_weight``, and ``<first stage>_lr``.

    Attributes:
        stages: names of the two, as ``--model.stages`` takes them.
        trained: those that this run trains.
        speech_weights: of each term that `speech_losses` returns.
    """

    stages: ClassVar[tuple[str, str]]
    trained: tuple[str, ...]
    speech_weights: dict[str, float]

    def build_stages(
        self,
        generator: TwoStages,
        discriminator: Callable[[], nn.Module],
        weights: dict[str, float],
        speech_weights: dict[str, float],
    ) -> None:
        """Set the networks up; ``trained`` must be known.

        Args:
            generator: both networks; the one that is not trained is frozen here.
            discriminator: makes one, if the renderer is trained and its weight is not 0.
            weights: of the renderer's terms.
            speech_weights: of the first stage's terms.
        """
        for name, network in zip(self.stages, generator.both(), strict=True):
            if name not in self.trained:
                network.requires_grad_(False)
        self.speech_weights = speech_weights
        self.build(generator, discriminator, weights if self.draws else {**weights, "adversarial": 0.0})

    @property
    def speaks(self) -> bool:
        """Whether this run trains the first stage."""
        return self.stages[0] in self.trained

    @property
    def draws(self) -> bool:
        """Whether this run trains the renderer."""
        return self.stages[1] in self.trained

    def speech_losses(self, generator: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Terms of the first stage's loss, unweighted."""
        raise TypeError(f"{type(self).__name__} does not define speech_losses")

    def setup(self, stage: str) -> None:
        """Take the face model, and start from ``initial`` or from HuBERT's published weights."""
        super().setup(stage)
        if stage != "fit" or self.ema.n_averaged:
            return
        if self.hparams["initial"]:
            self.start_from(Path(self.hparams["initial"]))
        elif self.speaks:
            speech = cast(TwoStages, self.generator).both()[0].speech
            cast(SpeechFeatures, speech).load_pretrained()

    def take_over(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Take the face model, too."""
        self._adopt_from(checkpoint, f"the face model of {path}")

    def build_frozen(self) -> dict[str, nn.Module]:
        """VGG, if its loss is wanted."""
        if self.hparams["perceptual"] == "vgg19" and self.draws:
            return {"perceptual": PerceptualLoss.pretrained()}
        return {}

    def compiled(self) -> list[nn.Module]:
        """The networks that are called; the generator as a whole never is."""
        return [net for net in (*cast(TwoStages, self.generator).both(), self.discriminator) if net is not None]

    def configure_optimizers(self) -> list[Optimizer]:
        """Renderer's and discriminator's as in `AdversarialModel`, then the first stage's, as far as trained."""
        options = self.hparams
        speaker, renderer = cast(TwoStages, self.generator).both()
        betas = tuple(options["betas"])
        optimizers: list[Optimizer] = []
        if self.draws:
            optimizers.append(Adam(renderer.parameters(), options["lr"], betas=betas))
        if self.discriminator is not None:
            optimizers.append(Adam(self.discriminator.parameters(), options["discriminator_lr"], betas=(0.0, 0.99)))
        if self.speaks:
            learning = [p for p in speaker.parameters() if p.requires_grad]
            optimizers.append(Adam(learning, options[f"{self.stages[0]}_lr"], betas=betas))
        return optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """First stage, then rendering, as far as they are trained."""
        self.check_face(batch)
        now = torch.tensor([name in self.trained for name in self.stages], device=self.device)
        cast(TwoStages, self.generator).trained_stages.logical_or_(now)
        if self.speaks:
            self._train_speech(batch, batch_idx)
        if self.draws:
            super().training_step(batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score the average: what `AdversarialModel` does of the renderer, and the first stage's terms."""
        self.check_face(batch)
        if self.draws:
            super().validation_step(batch, batch_idx)
        if self.speaks:
            terms = self.speech_losses(self.ema.module, batch)
            self.log_dict(
                {f"val_{name}": value for name, value in terms.items()},
                on_epoch=True,
                sync_dist=True,
                batch_size=len(batch),
            )

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
        cast(TwoStages, self.ema.module).trained_stages.fill_(True)

    def _train_speech(self, batch: Batch, batch_idx: int) -> None:
        last = (batch_idx + 1) % self.hparams["accumulate"] == 0 or self.trainer.is_last_batch
        found = self.optimizers()
        optimizer = found[-1] if isinstance(found, list) else found
        with self.optimizing(optimizer, last) as backward:
            terms = self.speech_losses(self.generator, batch)
            total = weighted(terms, self.speech_weights)
            backward(total)
        if last and not self.draws:
            self.ema.update_parameters(self.generator)
        logs = {self.stages[0]: total, **terms}
        self._log({f"train_{name}": value.detach() for name, value in logs.items()})


def required(tensor: Tensor | None) -> Tensor:
    """A field of a batch that the method's own window asks for."""
    assert tensor is not None
    return tensor
