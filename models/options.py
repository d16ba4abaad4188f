"""Options that methods share, in groups: ``--model.optim.lr`` on the command line, ``optim: {lr: ...}`` in a config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Group = TypeVar("Group", bound="DataclassInstance")


@dataclass
class Optim:
    """How a method's networks are optimised.

    Args:
        lr: learning rate of the generator, in a method of two stages of the renderer.
        betas: of Adam; the discriminator's are its own.
        ema_decay: of the generator's running average, which is what dubs.
        accumulate: batches an optimiser step.
        clip: largest gradient norm of a network, 0 for none.
        compile: true, or a torch.compile backend, speeds the networks up.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    ema_decay: float = 0.999
    accumulate: int = 1
    clip: float = 0.0
    compile: bool | str = False


@dataclass
class TwoStageOptim(Optim):
    """How the networks of a method of two stages are optimised.

    Args:
        speech_lr: learning rate of the first stage, the network from speech to geometry.
    """

    speech_lr: float = 1e-4


@dataclass
class Adversarial:
    """The discriminator that a generator learns from.

    Args:
        weight: of the adversarial term; 0 trains without a discriminator.
        widths: channels of the discriminator's stages, largest picture first.
        lr: learning rate of the discriminator.
        r1_gamma: weight gamma of the discriminator's R1 penalty (Mescheder et al., 2018), 0 for none.
        betas: of the discriminator's Adam, StyleGAN2's unless a method says otherwise.
        feature_weight: of the distance between the discriminator's features of generated and real frames (pix2pixHD;
            Wang et al., 2018), which needs no pretrained file as VGG's does; 0 for none, as in the papers.
        region: what the discriminator sees: the ``frame``, as in the papers, or a square about the target's ``mouth``,
            half as wide as the frame, where a small discriminator has nothing to look at but lips, teeth and chin.
    """

    weight: float = 0.1
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    lr: float = 1e-3
    r1_gamma: float = 0.5
    betas: tuple[float, float] = (0.0, 0.99)
    feature_weight: float = 0.0
    region: Literal["frame", "mouth"] = "frame"


def settled(given: Group | Mapping[str, Any], default: Group) -> Group:
    """A group of options as a copy of its own.

    Args:
        given: the options, or as plain values those that differ from ``default``, as configs and checkpoints have them.
        default: the method's own.
    """
    return replace(default, **given) if isinstance(given, Mapping) else replace(given)
