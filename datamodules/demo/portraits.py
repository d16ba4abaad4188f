"""The photograph that speaks: a real one that scikit-image carries in its wheel."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    from dubbench.media.container import Image

SIZE = 320
"""Side of the square frames in pixels."""

FACE = 150
"""Width of a face in the frames in pixels."""

HEIGHT = 0.53
"""Where the middle of the face is, from the top of the frame."""


@dataclass(frozen=True)
class Portrait:
    """A face in a photograph, and the voice that suits it.

    Attributes:
        speaker: name in the corpus.
        file: of the photograph, below scikit-image's folder.
        centre: of the face, right and down, in pixels of the photograph.
        width: of the face in pixels of the photograph.
        voice: espeak-ng's voice variant, added to each language.
        pitch: of the voice, 0 to 100.
        rate: of the voice in words a minute.
    """

    speaker: str
    file: str
    centre: tuple[int, int]
    width: int
    voice: str
    pitch: int
    rate: int

    def photo(self) -> "Image":
        """Cut the face out and enlarge it: uint8 [SIZE, SIZE, 3] RGB.

        Raises:
            DubbenchError: if scikit-image or its photograph is not there.
        """
        import cv2
        import numpy as np

        image = cv2.imread(str(_shipped(self.file)), cv2.IMREAD_COLOR)
        if image is None:
            raise DubbenchError(f"scikit-image's photograph {self.file} does not decode; install scikit-image again")
        scale = FACE / self.width
        x, y = self.centre
        placed = np.array([[scale, 0, SIZE / 2 - scale * x], [0, scale, SIZE * HEIGHT - scale * y]])
        cut = cv2.warpAffine(image, placed, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(cv2.cvtColor(cut, cv2.COLOR_BGR2RGB), np.uint8)


ASTRONAUT = Portrait(
    speaker="astronaut",
    file="data/astronaut.png",
    centre=(224, 123),
    width=93,
    voice="f2",
    pitch=55,
    rate=165,
)
"""Eileen Collins, NASA's photograph of 1993, in the public domain."""


def _shipped(file: str) -> Path:
    """Path of a data file of scikit-image; the package is not imported."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise DubbenchError(
            "the demo corpus needs a photograph of scikit-image, which is not here: pip install dubbench[demo]"
        )
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise DubbenchError(f"scikit-image has no {file}: install a release that does, as constraints.txt")
    return path
