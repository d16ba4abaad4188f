"""Whose mouth a dubbed face follows when it is driven by another clip's speech: the driver's, or its own of before."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.clips import NoValue

DEFINITIONS = (
    Definition(
        name="drive",
        text="partial correlation of the dubbed mouth's opening with the driver's, the source's own held fixed: "
        "distance of the inner lips over the eyes' distance, a clip's mean removed",
        unit="1",
        better="higher",
        version=1,
        needs="driver",
        order=900,
        title="Drive",
        reference="definition",
        deviation="landmarks by MediaPipe's mesh",
        reached="analytic",
    ),
    Definition(
        name="ghost",
        text="partial correlation of the dubbed mouth's opening with the source's own, the driver's held "
        "fixed: as drive",
        unit="1",
        better="lower",
        version=1,
        needs="driver",
        order=910,
        title="Ghost",
        reference="definition",
        deviation="landmarks by MediaPipe's mesh",
        reached="analytic",
    ),
)

FEWEST_FRAMES = 10
# Share of a curve's variance below which nothing is left of it that could follow another.
STILL = 1e-9


@dataclass(frozen=True)
class Openings:
    """How far three mouths are open in the same frames, NaN where there is no face; see `dubbench.face.opening`.

    Attributes:
        dubbed: [T], of the video that is judged.
        source: [T], of the clip that was dubbed, as it was filmed.
        driver: [T], of the clip whose speech drives it; the clips may end apart, what only one has counts for nothing.
    """

    dubbed: ArrayLike
    source: ArrayLike
    driver: ArrayLike


def drive(dubbed: ArrayLike, source: ArrayLike, driver: ArrayLike) -> float:
    """How much a dubbed mouth follows whoever speaks, beyond what it has in common with its own filmed one.

    Args:
        dubbed: openings [T] of the video that is judged, NaN where there is no face.
        source: of the clip as it was filmed, in the same frames.
        driver: of the clip whose speech drives it.

    Returns:
        In [-1, 1]: 1 is the driver's own mouth, 0 a mouth that does not move or follows something else.

    Raises:
        DubbenchError: if fewer than ten frames show all three faces, or source or driver do not move.
    """
    return _partial(dubbed, driver, source)


def ghost(dubbed: ArrayLike, source: ArrayLike, driver: ArrayLike) -> float:
    """How much a dubbed mouth follows what it said before it was dubbed; as `drive`, with the roles exchanged.

    Of a method that is told nothing of the source's mouth it is 0 but for chance.
    """
    return _partial(dubbed, source, driver)


def _partial(dubbed: ArrayLike, followed: ArrayLike, fixed: ArrayLike) -> float:
    """Partial correlation of the first two, the third held fixed."""
    curves = [np.asarray(curve, np.float64) for curve in (dubbed, followed, fixed)]
    if any(curve.ndim != 1 for curve in curves):
        shapes = ", ".join(str(list(curve.shape)) for curve in curves)
        raise DubbenchError(f"openings of shapes {shapes} cannot be compared; give a number a frame, [T] each")
    length = min(map(len, curves))
    rows = np.stack([curve[:length] for curve in curves])
    rows = rows[:, np.isfinite(rows).all(0)]
    if rows.shape[1] < FEWEST_FRAMES:
        raise NoValue(f"only {rows.shape[1]} frames show dubbed, source and driving face, of at least {FEWEST_FRAMES}")
    rows = rows - rows.mean(1, keepdims=True)
    judged, other, held = rows
    if held @ held <= STILL or other @ other <= STILL:
        raise NoValue("the source's or the driver's mouth does not move")
    left, right = (_residual(curve, held) for curve in (judged, other))
    if right @ right <= STILL * (other @ other):
        raise NoValue("source and driver have the same mouth")
    if left @ left <= STILL * max(float(judged @ judged), STILL):
        return 0.0
    return float(left @ right / np.sqrt((left @ left) * (right @ right)))


def _residual(curve: NDArray[np.float64], held: NDArray[np.float64]) -> NDArray[Any]:
    return np.asarray(curve - held * (curve @ held) / (held @ held))


COMPUTE = {
    "drive": lambda openings: drive(openings.dubbed, openings.source, openings.driver),
    "ghost": lambda openings: ghost(openings.dubbed, openings.source, openings.driver),
}
