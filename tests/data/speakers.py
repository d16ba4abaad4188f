"""Several speakers from the demo corpus' one photograph: herself and permutations of her with voices of their own."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dubbench.datamodules.demo.portraits import ASTRONAUT, HEIGHT, SIZE, Portrait
from dubbench.datamodules.sources import RawClip
from dubbench.datamodules.sources.demo import make_clip, talking_face


@dataclass(frozen=True, kw_only=True)
class Permuted(Portrait):
    """Her photograph, mirrored or not, with another shape and other colours.

    Attributes:
        mirrored: left and right change places.
        stretch: of the face's height over its width; its area stays.
        tint: factors of red, green and blue.
    """

    mirrored: bool
    stretch: float
    tint: tuple[float, float, float]

    def photo(self) -> NDArray[np.uint8]:
        """As `Portrait.photo`: uint8 [SIZE, SIZE, 3] RGB."""
        photo = super().photo()
        across, down = self.stretch**-0.5 * (-1 if self.mirrored else 1), self.stretch**0.5
        x, y = (SIZE - 1) / 2, SIZE * HEIGHT
        about_the_face = np.array([[across, 0, x - across * x], [0, down, y - down * y]])
        bent = cv2.warpAffine(
            photo, about_the_face, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(np.clip(np.rint(bent * np.array(self.tint)), 0, 255), np.uint8)


_HERS = asdict(ASTRONAUT)
MIRRORED = Permuted(
    **{**_HERS, "speaker": "mirrored", "voice": "m3", "pitch": 40},
    mirrored=True,
    stretch=1.15,
    tint=(0.8, 0.9, 1.0),
)
BROAD = Permuted(
    **{**_HERS, "speaker": "broad", "voice": "f4", "pitch": 70, "rate": 150},
    mirrored=False,
    stretch=0.9,
    tint=(1.0, 0.85, 0.7),
)
SPEAKERS: tuple[Portrait, ...] = (ASTRONAUT, MIRRORED, BROAD)


def make(root: Path, sentences: Iterable[str], speakers: Sequence[Portrait] = SPEAKERS) -> list[RawClip]:
    """Make ``root/<speaker>/<sentence>.mp4`` with viseme tracks, as the demo corpus does with seed 0."""
    clips = []
    for portrait in speakers:
        face = talking_face(portrait)
        for sentence in sentences:
            clip = f"{portrait.speaker}/{sentence}"
            make_clip(root / f"{clip}.mp4", portrait, face=face, sentence=sentence, seed=0)
            clips.append(RawClip(clip, portrait.speaker, root / f"{clip}.mp4"))
    return clips
