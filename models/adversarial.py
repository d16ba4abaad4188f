"""The one way that methods train adversarially: manual optimisation, EMA, validation."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer
from torch.optim.swa_utils import AveragedModel

from dubbench.datamodules.batch import Batch
from dubbench.errors import DubbenchError, misfit
from dubbench.models.base import DubbingModel, class_path, read_checkpoint
from dubbench.models.losses import discriminator_loss, generator_loss, gradient_penalty, lip_map, weighted

TensorList: TypeAlias = list[Tensor] | tuple[Tensor, ...]
R1_EVERY = 16


def warming_average(decay: float) -> Callable[[TensorList, TensorList, Tensor | int], None]:
    """Exponential average whose decay rises to ``decay``: else a run of hundreds of batches keeps its first weights."""

    @torch.no_grad()
    def update(averages: TensorList, values: TensorList, count: Tensor | int) -> None:
        count = torch.as_tensor(count, dtype=torch.float32, device=averages[0].device)
        keep = ((1 + count) / (10 + count)).clamp(max=decay)
        torch._foreach_mul_(averages, keep)
        torch._foreach_add_(averages, torch._foreach_mul(values, 1 - keep))

    return update


class AdversarialModel(DubbingModel):
    """A generator, and a discriminator if the adversarial term has a weight.

    A subclass calls `build` and gives `generate` and `losses`. Hyper-parameters read here: ``lr``,
    ``discriminator_lr``, ``betas``, ``r1_gamma``, ``accumulate``, ``clip``, ``compile``.

    Lightning's ``global_step`` counts both optimisers' steps: ``max_steps`` is twice the number of batches; prefer
    ``max_epochs``. Logged values have the number of batches as their step.

    Attributes:
        weights: of each term that `losses` returns and of ``adversarial``.
        ema: running average of the generator: what validation, `dub` and scores use.
    """

    generator: nn.Module
    discriminator: nn.Module | None
    ema: AveragedModel
    weights: dict[str, float]

    def build(self, generator: nn.Module, discriminator: Callable[[], nn.Module], weights: dict[str, float]) -> None:
        """Set the networks up; without an adversarial weight there is no discriminator."""
        self.automatic_optimization = False
        self.weights = weights
        self.generator = generator
        self.discriminator = discriminator() if weights.get("adversarial") else None
        self.ema = AveragedModel(generator, multi_avg_fn=warming_average(self.hparams["ema_decay"]))
        self.ema.requires_grad_(False)

    def generate(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Run a generator on a batch: frames [B, T, 3, size, size]."""
        raise TypeError(f"{type(self).__name__} does not define generate")

    def losses(self, fake: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Terms of the generator's loss, unweighted, all but the adversarial one."""
        raise TypeError(f"{type(self).__name__} does not define losses")

    def compiled(self) -> list[nn.Module]:
        """Generator and discriminator; the frozen helpers and the average stay as they are."""
        return [net for net in (self.generator, self.discriminator) if net is not None]

    def parameter_count(self) -> int:
        """Parameters of the generator."""
        return sum(parameter.numel() for parameter in self.generator.parameters())

    def configure_optimizers(self) -> list[Optimizer]:
        """One Adam a network, the generator's first."""
        options = self.hparams
        optimizers: list[Optimizer] = [Adam(self.generator.parameters(), options["lr"], betas=tuple(options["betas"]))]
        if self.discriminator is not None:
            # StyleGAN2's momentum-free Adam; equalised layers want its larger rate, too.
            optimizers.append(Adam(self.discriminator.parameters(), options["discriminator_lr"], betas=(0.0, 0.99)))
        return optimizers

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Discriminator, then generator, on one set of generated frames."""
        last = (batch_idx + 1) % self.hparams["accumulate"] == 0 or self.trainer.is_last_batch
        found = self.optimizers()
        optimizers = found if isinstance(found, list) else [found]
        fake = self.generate(self.generator, batch)
        logs: dict[str, Tensor] = {}
        if self.discriminator is not None:
            with self.optimizing(optimizers[1], last) as backward:
                logs |= self._train_discriminator(fake.detach(), batch.frames, backward)
        with self.optimizing(optimizers[0], last) as backward:
            terms = self.losses(fake, batch)
            if self.discriminator is not None:
                terms["adversarial"] = generator_loss(self.discriminator(fake.flatten(0, 1)))
            total = weighted(terms, self.weights)
            backward(total)
        if last:
            self.ema.update_parameters(self.generator)
        logs |= {"loss": total, **terms}
        self._log({f"train_{name}": value.detach() for name, value in logs.items()})

    @contextmanager
    def optimizing(self, optimizer: LightningOptimizer, last: bool) -> Iterator[Callable[[Tensor], None]]:
        """Train only what ``optimizer`` holds; step when the accumulation is complete."""
        with optimizer.toggle_model(sync_grad=last):
            yield lambda loss: self.manual_backward(loss / self.hparams["accumulate"])
            if last:
                optimizer.step()
                optimizer.zero_grad()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here, where gradients are unscaled."""
        if self.hparams["clip"]:
            self.clip_gradients(optimizer, gradient_clip_val=self.hparams["clip"], gradient_clip_algorithm="norm")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score the averaged generator: L1, PSNR of the lower half, and the generator's own terms."""
        fake = self.generate(self.ema.module, batch).float()
        logs = self.picture_scores(fake, batch)
        if self.frozen:
            logs |= self.losses(fake, batch)
        self.log_dict(
            {f"val_{name}": value for name, value in logs.items()}, on_epoch=True, sync_dist=True, batch_size=len(batch)
        )
        if batch_idx == 0:
            self._picture(fake, batch)

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
        """L1, with more weight on the lips if ``lip_weight`` says so, and VGG features."""
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

    def _train_discriminator(self, fake: Tensor, real: Tensor, backward: Callable[[Tensor], None]) -> dict[str, Tensor]:
        assert self.discriminator is not None
        fake, real = fake.flatten(0, 1), real.flatten(0, 1)
        logs = {"discriminator": discriminator_loss(self.discriminator(real), self.discriminator(fake))}
        loss = logs["discriminator"]
        if self.hparams["r1_gamma"] and self.trainer.fit_loop.epoch_loop.total_batch_idx % R1_EVERY == 0:
            # RADIO is silent on regularisation; the discriminator is StyleGAN2's, so its lazy R1 comes along.
            with torch.autocast(real.device.type, enabled=False):
                images = real.detach().float().requires_grad_()
                # forward, not call: a compiled network cannot be differentiated twice.
                logs["r1"] = gradient_penalty(self.discriminator.forward(images), images)
            loss = loss + self.hparams["r1_gamma"] / 2 * R1_EVERY * logs["r1"]
        backward(loss)
        return logs

    def _log(self, values: dict[str, Tensor]) -> None:
        batches = float(self.trainer.fit_loop.epoch_loop.total_batch_idx)
        self.log_dict({**values, "step": batches}, batch_size=1)

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
