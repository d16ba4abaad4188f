"""Pictures of one or two people of known size and place, from the demo's photograph and permutations of it."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dubbench.datamodules.demo.portraits import FACE, HEIGHT, SIZE, Portrait

Image = NDArray[np.uint8]


@lru_cache(maxsize=8)
def photo_of(portrait: Portrait) -> Image:
    """Decoded once."""
    return portrait.photo()


class Person(NamedTuple):
    """A face of ``width`` pixels around (x, y)."""

    portrait: Portrait
    x: float
    y: float
    width: float


def picture(height: int, width: int, *people: Person) -> Image:
    """A frame uint8 [height, width, 3] of people before a grey wall; each photograph is a square of twice the face."""
    image = np.full((height, width, 3), 110, np.uint8)
    for portrait, x, y, size in people:
        scale = size / FACE
        photo = photo_of(portrait)
        if scale < 1:
            photo = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
            scale = 1.0
        side = photo.shape[0] / SIZE
        place = np.array([[scale, 0, x - scale * side * SIZE / 2], [0, scale, y - scale * side * SIZE * HEIGHT]])
        cv2.warpAffine(photo, place, (width, height), image, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT)
    return image


def film(count: int, height: int, width: int, *people: Person) -> list[Image]:
    """Frames in which the people sway a little."""
    return [
        picture(height, width, *(each._replace(x=each.x + each.width * 0.06 * np.sin(k / 3)) for each in people))
        for k in range(count)
    ]
