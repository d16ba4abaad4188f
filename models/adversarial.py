"""The one way that methods train adversarially: manual optimisation, EMA, validation."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from dubbench.datamodules.batch import Batch
from dubbench.errors import DubbenchError, misfit
from dubbench.models.average import RunningAverage
from dubbench.models.base import DubbingModel, class_path
from dubbench.models.checkpoint import read_checkpoint
from dubbench.models.layers.discriminator import Discriminator
from dubbench.models.layers.mouth import cut_mouth, mouth_side
from dubbench.models.losses import (
    VGG19,
    discriminator_loss,
    feature_loss,
    generator_loss,
    gradient_penalty,
    lip_map,
    weighted,
)
from dubbench.models.options import Adversarial, Group, Optim, settled

R1_EVERY = 16  # batches from one R1 penalty to the next, which then weighs as much more (StyleGAN2's lazy penalty)


class AdversarialLoss(nn.Module):
    """A discriminator of single frames: what it learns by, and what the generator learns from it.

    Both are StyleGAN2's: non-saturating losses (RADIO eq. 3) and a lazy R1 penalty. RADIO is silent on regularisation;
    the discriminator is StyleGAN2's, so its penalty comes along.

    Args:
        discriminator: from pictures [N, 3, H, W] to their `Judgement`.
        r1_gamma: weight of the R1 penalty, 0 for none.
    """

    def __init__(self, discriminator: nn.Module, r1_gamma: float) -> None:
        super().__init__()
        self.discriminator, self.r1_gamma = discriminator, r1_gamma

    @classmethod
    def of_frames(cls, size: int, options: Adversarial) -> "AdversarialLoss":
        """With StyleGAN2's discriminator of what ``options.region`` shows of frames [size, size]."""
        side = size if options.region == "frame" else mouth_side(size)
        return cls(Discriminator(side, options.widths), options.r1_gamma)

    def discriminator_terms(self, real: Tensor, fake: Tensor, step: int) -> dict[str, Tensor]:
        """Terms of the discriminator's loss on frames [B, T, 3, H, W], and their sum as ``total``.

        Args:
            real: frames of the data.
            fake: generated frames, without gradient.
            step: number of the batch in training; R1 is taken at every `R1_EVERY`-th.
        """
        real, fake = real.flatten(0, 1), fake.flatten(0, 1)
        loss = discriminator_loss(self.discriminator(real).logits, self.discriminator(fake).logits)
        if not self.r1_gamma or step % R1_EVERY:
            return {"total": loss, "discriminator": loss}
        with torch.autocast(real.device.type, enabled=False):
            images = real.detach().float().requires_grad_()
            # forward, not call: a compiled network cannot be differentiated twice.
            penalty = gradient_penalty(self.discriminator.forward(images).logits, images)
        return {"total": loss + self.r1_gamma / 2 * R1_EVERY * penalty, "discriminator": loss, "r1": penalty}

    def judge(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the generator learns from of frames [B, T, 3, H, W]: its adversarial term, unweighted, and features."""
        logits, features = self.discriminator(frames.flatten(0, 1))
        return generator_loss(logits), features

    def generator_terms(self, real: Tensor, fake: Tensor, *, features: bool) -> dict[str, Tensor]:
        """Terms of the generator's loss on frames [B, T, 3, H, W], unweighted.

        Args:
            real: frames of the data.
            fake: generated frames.
            features: whether to match the discriminator's features, too.
        """
        term, drawn = self.judge(fake)
        if not features:
            return {"adversarial": term}
        with torch.no_grad():
            _, filmed = self.judge(real)
        return {"adversarial": term, "features": feature_loss(drawn, filmed)}


class AdversarialModel(DubbingModel):
    """A generator, and what it is trained against if the adversarial term has a weight.

    A subclass sets ``optim`` and ``adversarial``, calls `build` and gives `generate` and `losses`. One step of training
    is `training_step`: the generator draws the batch once; the discriminator learns from that, then the generator from
    its losses and the discriminator's judgement; then the running average follows. Each learns by the optimiser of its
    name in `named_optimizers`. A subclass whose `losses` call `pixel_losses` has the hyper-parameter ``lip_weight``,
    and one that can start from another run's networks has ``initial``.

    Lightning's ``global_step`` and ``max_steps`` count every optimiser's steps, ``iterations`` each step once. Logged
    values have the number of batches as their step.

    Attributes:
        optim: options of optimisation.
        adversarial: options of the adversarial term.
        generator: what learns to draw.
        adversary: the discriminator with its losses, or None.
        ema: running average of the generator: what validation, `dub` and scores use.
        weights: of each term that `losses` returns, of ``adversarial``, and of ``features`` where they are matched.
    """

    optim: Optim
    adversarial: Adversarial
    generator: nn.Module
    adversary: AdversarialLoss | None
    ema: RunningAverage
    weights: dict[str, float]
    best_by = "val_psnr_lower"

    def settle(self, name: str, given: Group | Mapping[str, Any], default: Group) -> Group:
        """`settled` options, kept as plain values among the hyper-parameters; after ``save_hyperparameters``."""
        options = settled(given, default)
        self.save_hyperparameters({name: asdict(options)})
        return options

    def build(self, generator: nn.Module, adversary: Callable[[], AdversarialLoss], weights: dict[str, float]) -> None:
        """Set the networks up once ``optim`` and ``adversarial`` are set.

        Args:
            generator: what learns to draw, and by whose average the method dubs.
            adversary: makes the discriminator with its losses; not called where ``weights`` give it none.
            weights: by name, of each term that `losses` returns and of ``adversarial``.

        Raises:
            DubbenchError: if features are to weigh and their discriminator is not.
        """
        options = self.adversarial
        if options.feature_weight and not options.weight:
            raise DubbenchError(
                f"adversarial.feature_weight is {options.feature_weight} and adversarial.weight 0, but features are "
                "those of a discriminator, which trains only where it weighs; give a weight, or 0 for both"
            )
        self.automatic_optimization = False
        self._optimizer_names: tuple[str, ...] = ()
        self.weights = {**weights, "features": options.feature_weight} if options.feature_weight else weights
        self.generator = generator
        self.adversary = adversary() if weights.get("adversarial") else None
        self.ema = RunningAverage(generator, self.optim.ema_decay)

    def setup(self, stage: str) -> None:
        """Start from ``initial``, if that is given and no checkpoint is about to be restored."""
        super().setup(stage)
        if stage == "fit" and not self.resumes() and (initial := self.hparams.get("initial")):
            self.start_from(Path(initial))

    def needed_files(self) -> list[str]:
        """VGG's, if its loss is wanted."""
        return [VGG19] if self.hparams.get("perceptual") == "vgg19" else []

    def resumes(self) -> bool:
        """Whether this training goes on from a checkpoint of its own, or went on already."""
        # Lightning's own trainer does not say so before the checkpoint is restored.
        return bool(self.ema.n_averaged) or getattr(self._trainer, "resumed_from", None) is not None

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Run a generator on a batch: frames [B, T, 3, size, size]."""
        raise TypeError(f"{type(self).__name__} does not define generate")

    def losses(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Terms of the generator's loss, unweighted, all but the adversarial one."""
        raise TypeError(f"{type(self).__name__} does not define losses")

    def compiled(self) -> list[nn.Module]:
        """Generator and discriminator; the frozen helpers and the average stay as they are."""
        return [self.generator] if self.adversary is None else [self.generator, self.adversary.discriminator]

    def compile_backend(self) -> bool | str:
        """``optim.compile``."""
        return self.optim.compile

    def parameter_count(self) -> int:
        """Parameters of the generator."""
        return sum(parameter.numel() for parameter in self.generator.parameters())

    def named_optimizers(self) -> dict[str, Optimizer]:
        """One Adam a network that learns."""
        return {"generator": self.adam(self.generator.parameters(), self.optim.lr), **self.discriminator_optimizer()}

    def adam(self, parameters: Iterable[nn.Parameter], lr: float) -> Optimizer:
        """Adam with the options' betas."""
        first, second = self.optim.betas
        return Adam(parameters, lr, betas=(first, second))

    def discriminator_optimizer(self) -> dict[str, Optimizer]:
        """The discriminator's, if there is one."""
        if self.adversary is None:
            return {}
        # By default StyleGAN2's momentum-free Adam; equalised layers want its larger rate, too.
        first, second = self.adversarial.betas
        return {"discriminator": Adam(self.adversary.parameters(), self.adversarial.lr, betas=(first, second))}

    def optimizers_a_step(self) -> int:
        """As many as learn."""
        return len(self._optimizer_names or self.named_optimizers())

    @property
    def batches_a_step(self) -> int:  # type: ignore[override]  # a number of the class by default
        """``optim.accumulate``."""
        return self.optim.accumulate

    def configure_optimizers(self) -> list[Optimizer]:
        """Those of `named_optimizers`."""
        named = self.named_optimizers()
        self._optimizer_names = tuple(named)
        return list(named.values())

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Discriminator, generator, average."""
        last = self.completes_step(batch_idx)
        fake = self.generate(self.generator, batch)
        logs = self.train_drawing(batch, fake, lambda: self.losses(fake, batch), last=last)
        self.finish_batch(logs, last=last)

    def train_drawing(
        self, batch: Batch, fake: Tensor, losses: Callable[[], dict[str, Tensor]], *, last: bool
    ) -> dict[str, Tensor]:
        """Train the discriminator, if there is one, then the generator, on one set of generated frames.

        Args:
            batch: gives the real frames.
            fake: generated from it, [B, T, 3, H, W].
            losses: computes the terms of the generator's loss but the adversarial one, unweighted.
            last: whether the optimisers step.

        Returns:
            What is logged, by name.
        """
        logs: dict[str, Tensor] = {}
        if self.adversary is not None:
            real, made = (self._judged(frames, batch) for frames in (batch.frames, fake))
            with self.optimizing("discriminator", last=last) as backward:
                logs |= self.adversary.discriminator_terms(real, made.detach(), self._batches())
                backward(logs.pop("total"))
        with self.optimizing("generator", last=last) as backward:
            terms = losses()
            if self.adversary is not None:
                terms |= self.adversary.generator_terms(real, made, features="features" in self.weights)
            logs["loss"] = weighted(terms, self.weights)
            backward(logs["loss"])
        return {**logs, **terms}

    def _judged(self, frames: Tensor, batch: Batch) -> Tensor:
        """What the discriminator sees of frames [B, T, 3, H, W]: of real and generated ones the same box."""
        return frames if self.adversarial.region == "frame" else cut_mouth(frames, batch.points)

    def completes_step(self, batch_idx: int) -> bool:
        """Whether this batch is the last that an optimiser step accumulates."""
        return (batch_idx + 1) % self.batches_a_step == 0 or self.trainer.is_last_batch

    @contextmanager
    def optimizing(self, name: str, *, last: bool) -> Iterator[Callable[[Tensor], None]]:
        """Train only what the optimiser ``name`` holds; step when the accumulation is complete."""
        found = self.optimizers()
        every = found if isinstance(found, list) else [found]
        optimizer = dict(zip(self._optimizer_names, every, strict=True))[name]
        with optimizer.toggle_model(sync_grad=last):
            yield lambda loss: self.manual_backward(loss / self.optim.accumulate)
            if last:
                optimizer.step()
                optimizer.zero_grad()

    def finish_batch(self, logs: Mapping[str, Tensor], *, last: bool) -> None:
        """Let the average follow after an optimiser step, and log what the batch gave."""
        if last:
            self.ema.update_parameters(self.generator)
        values = {f"train_{name}": value.detach() for name, value in logs.items()}
        # A number of the host's would be copied, for which the device is waited for.
        step = torch.full((), float(self._batches()), device=self.device)
        self.log_dict({**values, "step": step}, batch_size=1, sync_dist=self.logs_together())

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here, where gradients are unscaled."""
        if self.optim.clip:
            self.clip_gradients(optimizer, gradient_clip_val=self.optim.clip, gradient_clip_algorithm="norm")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score the averaged generator: L1, PSNR of the lower half, and the generator's own terms.

        The terms come where frozen helpers were built for them, which `fit` does and scoring alone does not.
        """
        fake = self.generate(self.ema.module, batch).float()
        logs = self.picture_scores(fake, batch)
        if self.frozen:
            logs |= self.losses(fake, batch)
        self.log_validation(logs, batch)
        if batch_idx == 0:
            self._picture(fake, batch)

    def log_validation(self, values: Mapping[str, Tensor], batch: Batch) -> None:
        """Log means over the validation's batches."""
        named = {f"val_{name}": value for name, value in values.items()}
        self.log_dict(named, on_epoch=True, sync_dist=True, batch_size=len(batch))

    def start_from(self, path: Path) -> None:
        """Take over the averaged networks of another run of this method.

        Raises:
            DubbenchError: if there is no such checkpoint, or it is of another method or of other sizes.
        """
        checkpoint = read_checkpoint(path)
        if checkpoint.get("dubbench", {}).get("class_path") != class_path(type(self)):
            raise DubbenchError(f"{path} is no checkpoint of {type(self).__name__}; give --model.initial one that is")
        self.take_over(checkpoint, path)
        prefix = "ema.module."
        state = {n.removeprefix(prefix): v for n, v in checkpoint["state_dict"].items() if n.startswith(prefix)}
        try:
            self.generator.load_state_dict(state)
        except RuntimeError as error:
            raise DubbenchError(
                f"{path} has other networks ({misfit(error)}); give the sizes that it was trained with"
            ) from error

    def take_over(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Take what `start_from` needs of a checkpoint beside the networks: nothing, here."""

    def pixel_losses(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Terms ``l1``, with more weight on the lips if ``lip_weight`` says so, and ``perceptual``, of VGG features."""
        error = (fake - batch.frames).abs().flatten(0, 1)
        if self.hparams["lip_weight"] != 1:
            error = error * lip_map(batch.points.flatten(0, 1).float(), fake.shape[-1], self.hparams["lip_weight"])
        terms = {"l1": error.mean()}
        if "perceptual" in self.frozen:
            terms["perceptual"] = self.frozen["perceptual"](fake.flatten(0, 1), batch.frames.flatten(0, 1))
        return terms

    def picture_scores(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """L1, and PSNR of the lower half, of pictures [B, T, 3, H, W]."""
        lower = (..., slice(fake.shape[-2] // 2, None), slice(None))
        error = F.mse_loss(fake.clamp(-1, 1)[lower] / 2, batch.frames[lower] / 2, reduction="none").mean((2, 3, 4))
        return {"l1": F.l1_loss(fake, batch.frames), "psnr_lower": -10 * error.clamp(min=1e-10).log10().mean()}

    def done(self) -> float | None:
        """How much of the training lay behind when this batch began, 0 to 1; None where its length is a time or open.

        Lightning ends a training that has two lengths at the nearer one.
        """
        trainer = self.trainer
        shares: list[float] = []
        if trainer.max_steps > 0:
            shares.append(trainer.global_step / trainer.max_steps)
        batches = (trainer.max_epochs or 0) * trainer.num_training_batches
        if 0 < batches < float("inf"):
            shares.append(self._batches() / batches)
        return max(shares, default=None)

    def _batches(self) -> int:
        return self.trainer.fit_loop.epoch_loop.total_batch_idx

    def _picture(self, fake: Tensor, batch: Batch) -> None:
        """Log target, generated and reference frames, a row an example, where the logger takes pictures."""
        add_image = getattr(getattr(self.logger, "experiment", None), "add_image", None)
        if add_image is None:
            return
        columns = [batch.frames[:4, 0], fake[:4, 0]]
        if batch.references.shape[1]:
            columns.append(batch.references[:4, 0])
        grid = torch.cat([torch.cat(list(column.clamp(-1, 1) / 2 + 0.5), 1) for column in columns], 2)
        add_image("validation", grid.cpu(), self.global_step)
