"""What was wrong with a file that could be read all the same: counted, told, and beyond a share refused."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from dubbench.media import MediaError

# Of a clip's frames, and of its packets of sound, that may be damaged: more is no material for training or scoring.
DAMAGED_SHARE = Fraction(1, 10)


@dataclass
class Flaws:
    """Counts what reading a file meets; given to several readings, it holds what all of them met.

    Attributes:
        frames: given, at the rate asked for.
        damaged: of those, that a decoder concealed, repeated for a lost one, or predicted from such a frame: every one
            from a damaged picture up to the next that needs no other.
        packets: of sound.
        spoilt: of those, that are silence because they do not decode.
        silence: seconds of those.
        clock: sentences about clocks that jump, sound that is zeros and the like, each once.
    """

    frames: int = 0
    damaged: int = 0
    packets: int = 0
    spoilt: int = 0
    silence: Fraction = Fraction(0)
    clock: dict[str, None] = field(default_factory=dict)

    def count(self, *, damaged: bool) -> None:
        """Count a frame that is given."""
        self.frames += 1
        self.damaged += damaged

    def tell(self, sentences: Iterable[str]) -> None:
        """Add sentences that are not there yet."""
        self.clock.update(dict.fromkeys(sentences))

    def sentences(self) -> list[str]:
        """What there is to tell of the file, nothing where all was well."""
        told = []
        if self.damaged:
            told.append(
                f"{self.damaged} of {self.frames} frames are damaged (concealed, repeated or predicted from such)"
            )
        if self.spoilt:
            told.append(
                f"{self.spoilt} of {self.packets} packets of sound are damaged, {float(self.silence):.3f} s of silence "
                "in their place"
            )
        return [*told, *self.clock]

    def judge(self, name: str) -> None:
        """See that no more than `DAMAGED_SHARE` of frames and of sound is damaged, or a single one of a few.

        Raises:
            MediaError: if more is.
        """
        for what, bad, total in (
            ("frames", self.damaged, self.frames),
            ("packets of sound", self.spoilt, self.packets),
        ):
            if bad > 1 and bad > DAMAGED_SHARE * total:
                raise MediaError(
                    f"{name} is damaged in {bad} of {total} {what}, more than {float(DAMAGED_SHARE):.0%}; fetch it "
                    "again or re-encode it"
                )
