"""How the demo trains each method; chosen by measurement for two cores and the corpus of one speaker."""

from collections.abc import Sequence
from dataclasses import dataclass

# Side of the prepared frames in pixels.
SIZE = 192
# How they are aligned, and the protocol that has it so.
ALIGN, PROTOCOL = "upper", "fair_own"
# Length of the demo, in minutes, for which the steps below are meant, and seconds that pass without training.
MINUTES, OVERHEAD = 8.0, 120.0
# Expected seconds on two cores; `Training.seconds` are of one.
PREPARING, SCORING, RANKING = 80.0, 20.0, 5.0
# Seconds from one checkpoint to the next: a killed demo loses no more of a training than that.
CHECKPOINT_EVERY = 10.0
FEWEST_STEPS, FEWEST_EPOCHS = 4, 4


@dataclass(frozen=True)
class Training:
    """One training of a method.

    Attributes:
        model: config's name.
        steps: batches in a demo of `MINUTES`.
        seconds: that these take on one core.
        batch_size: windows a batch.
        words: more options of `dubbench fit`.
        previous: option that gets the checkpoint of the training before, such as ``--model.initial``.
        what: it trains, for people.
    """

    model: str
    steps: int
    seconds: float
    batch_size: int = 4
    words: Sequence[str] = ()
    previous: str = ""
    what: str = "train"

    def length(self, minutes: float) -> tuple[int, int]:
        """Batches in a demo of so many minutes, a multiple of the second value: those from one checkpoint to the next.

        Both depend on ``minutes`` alone, and in longer demos the second is the same, so that a longer training begins
        with all batches of a shorter one.
        """
        share = max(0.0, (60 * minutes - OVERHEAD) / (60 * MINUTES - OVERHEAD))
        between = max(1, round(self.steps / max(FEWEST_EPOCHS, round(self.seconds / CHECKPOINT_EVERY))))
        wanted = max(FEWEST_STEPS, round(self.steps * share))
        between = min(between, wanted)
        return between * round(wanted / between), between


@dataclass(frozen=True)
class Recipe:
    """A method's trainings, one after the other; the last one's checkpoint dubs.

    Attributes:
        title: the method's name, for people.
        trainings: in order.
    """

    title: str
    trainings: Sequence[Training]


# Without sync expert and discriminator: in minutes, the time that they take is better spent on drawing.
_RADIO = (
    *("--model.sync_weight", "0", "--model.sync_expert", "null", "--model.adversarial.weight", "0"),
    *("--model.frames", "1", "--model.widths", "[8,16,32,64,64]", "--model.vit_heads", "2", "--model.vit_width", "32"),
    *("--model.speech_norm", "true", "--model.lip_weight", "20"),
    *("--model.optim.lr", "0.001", "--model.optim.betas", "[0.9,0.99]"),
)
_G4G = (
    *("--model.networks.widths", "[12,24]", "--model.networks.channels", "48"),
    *("--model.networks.blend_widths", "[8,12,16]", "--model.networks.landmark_widths", "[8,16]"),
    *("--model.networks.alignment_blocks", "1", "--model.networks.speech_norm", "true", "--model.frames", "1"),
    *("--model.contrastive_weight", "0.1", "--model.optim.lr", "0.002", "--model.optim.betas", "[0.9,0.99]"),
)
# One reference each, so that the decoder learns to draw what a closed mouth does not show.
_PERSONATALK = (
    *("--model.speech", "mel", "--model.face_references", "1", "--model.lip_references", "1"),
    *("--model.lip_weight", "40", "--model.optim.lr", "0.003"),
)
# So few batches leave no last part in which predicted expressions would help (LMD 2.01 with them, 1.92 without).
_REALTALK = (
    *("--model.speech", "mel", "--model.lip_weight", "40", "--model.predicted", "0"),
    *("--model.optim.lr", "0.003"),
)


def _two_stages(model: str, first: str, words: Sequence[str], *, seconds: tuple[float, float], steps: int) -> Recipe:
    """Speech first, in large batches without pictures, then drawing."""
    config = f"{model.lower()}_tiny"
    return Recipe(
        model,
        [
            Training(
                config,
                steps=300,
                seconds=seconds[0],
                batch_size=8,
                words=("--model.stages", first, *words),
                what=f"train the {first} stage",
            ),
            Training(
                config,
                steps=steps,
                seconds=seconds[1],
                batch_size=2,
                words=("--model.stages", "rendering", *words),
                previous="--model.initial",
                what="train the renderer",
            ),
        ],
    )


RECIPES = {
    "radio": Recipe("RADIO", [Training("radio_tiny", steps=950, seconds=250, batch_size=8, words=_RADIO)]),
    "personatalk": _two_stages("PersonaTalk", "geometry", _PERSONATALK, seconds=(30, 190), steps=1200),
    "realtalk": _two_stages("RealTalk", "expression", _REALTALK, seconds=(25, 130), steps=550),
    "g4g": Recipe("G4G", [Training("g4g_tiny", steps=130, seconds=70, batch_size=6, words=_G4G)]),
}
