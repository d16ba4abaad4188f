"""A training step through Lightning against the same networks in a plain loop, for every method.

python -m benchmarks.training [--methods radio g4g]

Lightning's side has what ``dubbench fit`` adds to a step: logs, seeds, the look at losses, progress. The plain side
calls the same networks and losses. Both take one synthetic batch again and again, in turns in one process; compared is
processor time, which other programs disturb little. Beside it, what options of RADIO's discriminator cost.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dubbench.datamodules.batch import Batch, Window
from dubbench.face3d.model import REGIONS, LinearFaceModel
from dubbench.models.adversarial import AdversarialModel
from dubbench.models.g4g.module import G4G
from dubbench.models.g4g.options import NetworkOptions
from dubbench.models.losses import weighted
from dubbench.models.options import Adversarial, Optim, TwoStageOptim
from dubbench.models.personatalk import options as personatalk_options
from dubbench.models.personatalk.module import PersonaTalk
from dubbench.models.radio.module import Radio
from dubbench.models.realtalk import options as realtalk_options
from dubbench.models.realtalk.module import RealTalk
from dubbench.models.two_stages import TwoStageModel
from dubbench.training.finite import StaysFinite
from dubbench.training.progress_bar import TrainingProgress

LIMIT = 1.05
WINDOWS, STYLE, COEFFICIENTS = 2, 20, 16
BASES = "shape_basis", "expression_basis"
CHOICES: dict[str, dict[str, Any]] = {
    "a discriminator of the mouth": {"region": "mouth"},
    "of the mouth, and its features": {"region": "mouth", "feature_weight": 1.0},
    "of whole frames, and its features": {"feature_weight": 1.0},
}


def radio(**options: Any) -> AdversarialModel:  # noqa: ANN401
    """RADIO as small as its tiny config, with options of the adversarial term."""
    return Radio(
        size=96,
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


def personatalk() -> AdversarialModel:
    return PersonaTalk(
        size=128,
        speech="tiny",
        transformer=personatalk_options.TransformerOptions(width=96, layers=2, heads=4),
        renderer=personatalk_options.RendererOptions(channels=64, blocks=1),
        frames=25,
        face_references=2,
        lip_references=2,
        perceptual="none",
        adversarial=Adversarial(weight=0.01, widths=(8, 16, 32, 64, 64), r1_gamma=0.0),
        optim=TwoStageOptim(clip=1.0),
    )


def realtalk() -> AdversarialModel:
    return RealTalk(
        size=128,
        speech="tiny",
        transformer=realtalk_options.TransformerOptions(width=96, heads=4, encoder_layers=2, decoder_layers=1),
        renderer=realtalk_options.RendererOptions(widths=(24, 48, 96, 128), stem=12, blocks=1, heads=4),
        predicted=0.0,
        perceptual="none",
        adversarial=Adversarial(weight=0.01, widths=(8, 16, 32, 64, 64), r1_gamma=0.0),
        optim=TwoStageOptim(clip=1.0),
    )


def g4g() -> AdversarialModel:
    return G4G(
        size=64,
        aligned_size=192,
        networks=NetworkOptions(
            widths=(24, 48),
            channels=64,
            dim=128,
            hidden=128,
            alignment_blocks=2,
            decoder_blocks=1,
            landmark_widths=(16, 32),
            speech_widths=(8, 16, 24, 32),
            speech_blocks=(1, 1, 1, 1),
            blend_widths=(16, 24, 32),
        ),
        perceptual="none",
        moments=0,
        adversarial=Adversarial(weight=0.1, widths=(16, 32, 32), r1_gamma=0.0),
        optim=Optim(clip=1.0),
    )


METHODS: dict[str, Callable[..., AdversarialModel]] = {
    method.__name__: method for method in (radio, personatalk, realtalk, g4g)
}


def face_model() -> LinearFaceModel:
    """A face model of random vertices, as large as MediaPipe's mesh."""
    random, count = torch.Generator().manual_seed(0), 468
    arrays = {name: torch.randn(COEFFICIENTS, count, 3, generator=random) * 0.02 for name in BASES}
    regions = {f"region_{name}": torch.arange(300, 340) for name in REGIONS if name != "upper_face"}
    lower = {"region_lower_face": torch.arange(234, count)}
    return LinearFaceModel.of(
        {
            "mean": torch.randn(count, 3, generator=random),
            "triangles": torch.tensor([[0, 1, 2]]),
            "landmarks": torch.arange(68),
            **arrays,
            **regions,
            **lower,
        },
        "mesh",
    )


def batch_of(window: Window, face: str) -> Batch:
    """Random pictures, speech and geometry of the shapes that a window has."""
    random = torch.Generator().manual_seed(0)
    (height, width), count = window.picture_shape, window.frames
    shown = len(range(count)[window.pictured])
    references = len(range(window.references)[window.references_pictured])

    def pictures(number: int, channels: int = 3) -> Tensor:
        return torch.rand(WINDOWS, number, channels, height, width, generator=random)

    def coefficients(number: int) -> Tensor:
        return torch.randn(WINDOWS, number, COEFFICIENTS, generator=random)

    def lips(number: int) -> Tensor:
        mask = torch.zeros((WINDOWS, number, 1, height, width))
        mask[..., height * 5 // 8 : height * 3 // 4, width // 3 : width * 2 // 3] = 1
        return mask

    points = torch.rand(WINDOWS, shown + references, 68, 2, generator=random) * width / 4 + width / 4
    mel = window.mel
    batch = Batch(
        frames=pictures(shown) * 2 - 1,
        references=pictures(references) * 2 - 1,
        mel=None if mel is None else torch.randn(WINDOWS, count, mel.bands, mel.columns, generator=random),
        waveform=torch.randn(WINDOWS, 640 * count, generator=random) * 0.1,
        points=points[:, :shown],
        reference_points=points[:, shown:],
        indices=torch.arange(count).expand(WINDOWS, count),
        reference_indices=torch.zeros(WINDOWS, window.references, dtype=torch.int64),
        speakers=["s"] * WINDOWS,
        clips=[f"c{k}" for k in range(WINDOWS)],
        steady_points=points[:, :shown] if window.crop == "face" else None,
    )
    if not window.geometry:
        return batch
    batch.face = face
    batch.shape, batch.expression = coefficients(count), coefficients(count)
    batch.reference_shape, batch.reference_expression = (coefficients(window.references) for _ in range(2))
    batch.pose = torch.tensor([0.0, 0, 0, 128, 160, 4.45]).expand(WINDOWS, count, 6)
    if window.pncc:
        batch.pncc, batch.reference_pncc = pictures(shown), pictures(references)
        batch.lips, batch.reference_lips = lips(shown), lips(references)
    if window.style_frames:
        batch.style_indices = torch.arange(STYLE).expand(WINDOWS, STYLE)
        batch.style_shape, batch.style_expression = coefficients(STYLE), coefficients(STYLE)
    return batch


def built(method: str, **options: Any) -> tuple[AdversarialModel, Batch]:  # noqa: ANN401
    """A model that is ready to train, and its batch."""
    torch.manual_seed(0)
    net = METHODS[method](**options)
    if net.held_face is not None:
        net.held_face.adopt(face_model())
    return net, batch_of(net.window, face_model().hash())


class Repeated(Dataset[Batch]):
    """One batch, again and again, so that no loading is timed."""

    def __init__(self, batch: Batch, length: int) -> None:
        self.batch, self.length = batch, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        return self.batch


class Clock(Callback):
    """Processor seconds from one batch's end to the next one's."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *args: object) -> None:
        self.ends.append(time.process_time())


def through_lightning(method: str, steps: int, **options: Any) -> list[float]:  # noqa: ANN401
    clock = Clock()
    net, batch = built(method, **options)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[clock, StaysFinite(Path(folder)), TrainingProgress(method)],
        )
        trainer.fit(net, DataLoader(Repeated(batch, steps + 1), batch_size=None))
    return [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]


def plainly(method: str, steps: int) -> list[float]:
    """What the method's ``training_step`` computes, without Lightning."""
    net, batch = built(method)
    optimizers = net.named_optimizers()
    net.train()
    times = []
    for _ in range(steps + 1):
        start = time.process_time()
        if isinstance(net, TwoStageModel):
            with learning(net, optimizers["speech"]):
                torch.autograd.backward(weighted(net.speech_losses(net.generator, batch), net.speech_weights))
        if isinstance(net, G4G):
            made = net.run(net.generator, batch)
            fake = made.image.view_as(batch.frames)
        else:
            fake = net.generate(net.generator, batch)
        assert net.adversary is not None
        with learning(net, optimizers["discriminator"]):
            torch.autograd.backward(net.adversary.discriminator_terms(batch.frames, fake.detach(), 1)["total"])
        with learning(net, optimizers["generator"]):
            terms = net.terms(net.generator, made, batch) if isinstance(net, G4G) else net.losses(fake, batch)
            terms |= net.adversary.generator_terms(batch.frames, fake, features=False)
            torch.autograd.backward(weighted(terms, net.weights))
        net.ema.update_parameters(net.generator)
        times.append(time.process_time() - start)
    return times[1:]


@contextmanager
def learning(net: AdversarialModel, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Gradients for what the optimiser holds alone, and its step."""
    own = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    others = [parameter for parameter in net.parameters() if parameter.requires_grad and parameter not in own]
    for parameter in others:
        parameter.requires_grad_(False)
    yield
    if net.optim.clip:
        nn.utils.clip_grad_norm_(own, net.optim.clip)
    optimizer.step()
    optimizer.zero_grad()
    for parameter in others:
        parameter.requires_grad_(True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--steps", type=int, default=20, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each both ways in turn")
    given = parser.parse_args()
    worst = 0.0
    ratios: dict[str, list[float]] = {method: [] for method in given.methods}
    choices: dict[str, list[float]] = {name: [] for name in CHOICES if "radio" in given.methods}
    for _ in range(given.rounds):
        for method, found in ratios.items():
            ours, bare = median(through_lightning(method, given.steps)), median(plainly(method, given.steps))
            found.append(ours / bare)
            print(f"{method}: Lightning {ours * 1000:.0f} ms, plain {bare * 1000:.0f} ms a step: {ours / bare:.3f}")
            if method == "radio":
                for name, options in CHOICES.items():
                    choices[name].append(median(through_lightning(method, given.steps, **options)) / ours)
    for name, found in choices.items():
        print(f"{name} against a discriminator of whole frames: ratio {median(found):.3f}")
    for method, found in ratios.items():
        print(f"{method}'s training step: ratio {median(found):.3f} (at most {LIMIT})")
        worst = max(worst, median(found))
    print(f"training step: ratio {worst:.3f} (at most {LIMIT})")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
