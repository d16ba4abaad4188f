"""How far a mouth is open, frame by frame."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

INNER_LIPS = (62, 66)
EYE_CORNERS = (36, 45)
DIGITS = 4


def mouth_opening(
    points: NDArray[np.floating[Any]], truth: NDArray[np.floating[Any]], found: NDArray[np.bool_]
) -> list[float | None]:
    """Distance between the middles of the inner lips over the ground truth's distance of the outer eye corners.

    The lips are the landmarks 62 and 66 of the 68. The eyes are those of the ground truth in the same frame, as in
    ``lmd_iod``, so that size and turn of the head count alike for every method and a method cannot change the ruler.

    Args:
        points: [N, 68, 2] landmarks of the frames to measure.
        truth: [N, 68, 2] landmarks of the ground truth in the same frames and the same coordinates.
        found: [N] whether a frame has both.

    Returns:
        N numbers without unit (0.1 is a tenth of the distance of the eyes), with four decimals; None where there is no
        face.
    """
    (upper, lower), (left, right) = INNER_LIPS, EYE_CORNERS
    lips = np.linalg.norm(points[:, upper] - points[:, lower], axis=-1)
    eyes = np.linalg.norm(truth[:, left] - truth[:, right], axis=-1)
    return [
        round(float(gap / width), DIGITS) if seen and width > 0 else None
        for gap, width, seen in zip(lips, eyes, found, strict=True)
    ]
