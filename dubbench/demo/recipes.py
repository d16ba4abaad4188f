"""How the demo trains each method; chosen by measurement for two cores and the corpus of one speaker."""

from collections.abc import Sequence
from dataclasses import dataclass

# Side of the prepared frames in pixels.
SIZE = 256
# Length of the demo, in minutes, for which the steps below are meant, and seconds that pass without training.
MINUTES, OVERHEAD = 8.0, 120.0
# Expected seconds on two cores; `Training.seconds` are of one.
PREPARING, SCORING, RANKING = 60.0, 25.0, 5.0
# Seconds from one checkpoint to the next: a killed demo loses no more of a training than that.
CHECKPOINT_EVERY = 10.0
FEWEST_STEPS = 4


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
        between = max(1, round(self.steps * CHECKPOINT_EVERY / self.seconds))
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


_NO_EXPERT = ("--model.sync_weight", "0", "--model.sync_expert", "null", "--model.adversarial.weight", "0")
RECIPES = {
    "radio": Recipe("RADIO", [Training("radio_tiny", steps=350, seconds=120, words=_NO_EXPERT)]),
    "personatalk": Recipe("PersonaTalk", [Training("personatalk_tiny", steps=350, seconds=110)]),
    "realtalk": Recipe("RealTalk", [Training("realtalk_tiny", steps=350, seconds=110)]),
    "g4g": Recipe("G4G", [Training("g4g_tiny", steps=250, seconds=120, batch_size=2)]),
}
