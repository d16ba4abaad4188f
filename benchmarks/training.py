"""A training step through Lightning against the same networks in a plain loop, and what options of adversaries cost.

python -m benchmarks.training
"""

import argparse
import sys
import time
from statistics import median
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dubbench.datamodules.batch import Batch
from dubbench.models.losses import discriminator_loss, generator_loss
from dubbench.models.options import Adversarial
from dubbench.models.radio.module import Radio

LIMIT = 1.05
SIZE, WINDOWS = 96, 2
CHOICES: dict[str, dict[str, Any]] = {
    "a discriminator of the mouth": {"region": "mouth"},
    "of the mouth, and its features": {"region": "mouth", "feature_weight": 1.0},
    "of whole frames, and its features": {"feature_weight": 1.0},
}


class Repeated(Dataset[Batch]):
    """One batch, again and again, so that no loading is timed."""

    def __init__(self, length: int) -> None:
        random = torch.Generator().manual_seed(0)
        shape = (WINDOWS, 5, 3, SIZE, SIZE)
        frames = torch.rand(shape, generator=random) * 2 - 1
        points = torch.rand(WINDOWS, 5, 68, 2, generator=random) * SIZE
        self.length = length
        self.batch = Batch(
            frames=frames,
            references=frames[:, :1],
            mel=torch.randn(WINDOWS, 5, 80, 20, generator=random),
            waveform=torch.zeros(WINDOWS, 3200),
            points=points,
            reference_points=points[:, :1],
            indices=torch.arange(5).expand(WINDOWS, 5),
            reference_indices=torch.zeros(WINDOWS, 1, dtype=torch.int64),
            speakers=["s"] * WINDOWS,
            clips=["c"] * WINDOWS,
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        return self.batch


class Clock(Callback):
    """Seconds from one batch's end to the next one's."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: object) -> None:
        self.ends.append(time.perf_counter())


def model(**options: Any) -> Radio:  # noqa: ANN401
    """RADIO as small as its tiny config, with options of the adversarial term."""
    torch.manual_seed(0)
    return Radio(
        size=SIZE,
        widths=(16, 32, 64, 128, 128),
        style_dim=128,
        speech_blocks=(1, 1, 1, 1),
        vit_blocks=1,
        vit_layers=1,
        vit_width=64,
        references=1,
        perceptual="none",
        adversarial=Adversarial(weight=0.01, widths=(8, 16, 32, 64), r1_gamma=0.0, **options),
    )


def through_lightning(steps: int, **options: Any) -> list[float]:  # noqa: ANN401
    clock = Clock()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )
    trainer.fit(model(**options), DataLoader(Repeated(steps + 1), batch_size=None))
    return [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]


def plainly(steps: int) -> list[float]:
    """What `AdversarialModel.training_step` computes, without Lightning."""
    net = model()
    assert net.adversary is not None
    judge, optimizers, batch = net.adversary.discriminator, net.named_optimizers(), Repeated(1).batch
    for_generator, for_discriminator = optimizers["generator"], optimizers["discriminator"]
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        fake: Tensor = net.generator(batch.frames, batch.references, batch.mel)
        net.generator.requires_grad_(False)
        real, made = batch.frames.flatten(0, 1), fake.flatten(0, 1)
        torch.autograd.backward(discriminator_loss(judge(real).logits, judge(made.detach()).logits))
        for_discriminator.step()
        for_discriminator.zero_grad()
        net.generator.requires_grad_(True)
        judge.requires_grad_(False)
        loss = (fake - batch.frames).abs().mean() + 0.01 * generator_loss(judge(made).logits)
        torch.autograd.backward(loss)
        for_generator.step()
        for_generator.zero_grad()
        judge.requires_grad_(True)
        net.ema.update_parameters(net.generator)
        times.append(time.perf_counter() - start)
    return times[1:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each both ways in turn")
    given = parser.parse_args()
    ratios: list[float] = []
    choices: dict[str, list[float]] = {name: [] for name in CHOICES}
    for _ in range(given.rounds):
        ours, bare = median(through_lightning(given.steps)), median(plainly(given.steps))
        ratios.append(ours / bare)
        print(f"Lightning {ours * 1000:.0f} ms, plain {bare * 1000:.0f} ms a step: ratio {ours / bare:.3f}")
        for name, options in CHOICES.items():
            choices[name].append(median(through_lightning(given.steps, **options)) / ours)
    for name, found in choices.items():
        print(f"{name} against a discriminator of whole frames: ratio {median(found):.3f}")
    print(f"training step: ratio {median(ratios):.3f} (at most {LIMIT})")
    return int(median(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
