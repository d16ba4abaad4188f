"""The photographs that speak: real ones that scikit-image and insightface carry in their wheels."""

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
"""Width of a face in the frames in pixels; from 93 to 112 in the photographs."""

HEIGHT = 0.53
"""Where the middle of the face is, from the top of the frame."""


@dataclass(frozen=True)
class Portrait:
    """A face in a photograph, and the voice that suits it.

    Attributes:
        speaker: name in the corpus.
        package: the installed package that ships the photograph.
        file: of the photograph, below the package's folder.
        centre: of the face, right and down, in pixels of the photograph.
        width: of the face in pixels of the photograph.
        voice: espeak-ng's voice variant, added to each language.
        pitch: of the voice, 0 to 100.
        rate: of the voice in words a minute.
        gap: as `TalkingFace` takes it; below 1 where the detector takes a bright lower lip for teeth.
    """

    speaker: str
    package: str
    file: str
    centre: tuple[int, int]
    width: int
    voice: str
    pitch: int
    rate: int
    gap: float = 1.0

    def photo(self) -> "Image":
        """Cut the face out and enlarge it: uint8 [SIZE, SIZE, 3] RGB.

        Raises:
            DubbenchError: if the package or its photograph is not there.
        """
        import cv2
        import numpy as np

        image = cv2.imread(str(_shipped(self.package, self.file)), cv2.IMREAD_COLOR)
        if image is None:
            raise DubbenchError(f"the photograph {self.file} of {self.package} does not decode; install it again")
        scale = FACE / self.width
        x, y = self.centre
        placed = np.array([[scale, 0, SIZE / 2 - scale * x], [0, scale, SIZE * HEIGHT - scale * y]])
        cut = cv2.warpAffine(image, placed, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        return np.asarray(cv2.cvtColor(cut, cv2.COLOR_BGR2RGB), np.uint8)


ASTRONAUT = Portrait(
    speaker="astronaut",
    package="skimage",
    file="data/astronaut.png",
    centre=(224, 123),
    width=93,
    voice="f2",
    pitch=55,
    rate=165,
)
"""Eileen Collins, NASA's photograph of 1993, in the public domain."""

_DISTRIBUTIONS = {"skimage": "scikit-image", "insightface": "insightface"}


def _shipped(package: str, file: str) -> Path:
    """Path of a package's data file; the package is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DubbenchError(
            f"the demo corpus needs the photographs of {_DISTRIBUTIONS[package]}, which is not here: "
            "pip install dubbench[demo]"
        )
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise DubbenchError(f"{_DISTRIBUTIONS[package]} has no {file}: install a release that does, as constraints.txt")
    return path
