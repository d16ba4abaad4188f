"""From faces per frame to one transform per frame, as a chain of generators with bounded look-ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dubbench.face import points_68
from dubbench.face.alignment import ALIGNMENTS, smooth
from dubbench.media.container import Image

Mesh = NDArray[np.float32]

FILL_AHEAD = 12


@dataclass
class FilledFrame:
    """A source frame with the face that its clip follows.

    Attributes:
        rgb: uint8 [H, W, 3].
        mesh: float32 [478, 3] in pixels of ``rgb``; of the nearest frame with a face where ``detected`` is False.
        detected: whether the face was found in this frame.
    """

    rgb: Image
    mesh: Mesh
    detected: bool


def filled(frames: Iterable[tuple[Image, Mesh | None]], again: Callable[[], Iterator[Image]]) -> Iterator[FilledFrame]:
    """Give frames without a face the mesh of the nearest frame with one, the earlier of two.

    Only `FILL_AHEAD` frames are held back: further than that into a gap the face before it stands in. Frames before
    the first face are not held at all but decoded once more when it has come, so memory stays bounded.

    Args:
        frames: images with the chosen mesh [478, 3] or None.
        again: reads the images from the beginning once more.
    """
    last: Mesh | None = None
    gap: deque[Image] = deque()
    leading = passed = 0
    for rgb, mesh in frames:
        if mesh is not None:
            for early in gap if last is not None else islice(again(), leading):
                yield FilledFrame(early, mesh, detected=False)
            gap.clear()
            last, leading, passed = mesh, 0, 0
            yield FilledFrame(rgb, mesh, detected=True)
        elif last is None:
            leading += 1
        else:
            gap.append(rgb)
            # Once the frame waiting longest is no nearer to what may come than to the face before it, it is decided.
            if len(gap) > min(passed, FILL_AHEAD):
                yield FilledFrame(gap.popleft(), last, detected=False)
                passed += 1
    if last is not None:
        for rgb in gap:
            yield FilledFrame(rgb, last, detected=False)


def aligned(
    rows: Iterable[FilledFrame], size: int, align: str, sigma: float
) -> Iterator[tuple[FilledFrame, NDArray[np.float64]]]:
    """Add to every row its transform, smoothed over time.

    Args:
        rows: a clip.
        size: side of the aligned square in pixels.
        align: a name of `ALIGNMENTS`.
        sigma: of the smoothing in frames, 0 for none; rows are held back for its look-ahead.

    Yields:
        The rows with float64 [2, 3] from the aligned square to the source frame.
    """
    waiting: deque[FilledFrame] = deque()

    def transforms() -> Iterator[NDArray[np.float64]]:
        for row in rows:
            waiting.append(row)
            yield ALIGNMENTS[align](points_68(row.mesh), size)

    for transform in smooth(transforms(), sigma):
        yield waiting.popleft(), transform
