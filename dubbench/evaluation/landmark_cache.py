"""Landmarks of a video, detected once: later runs read them from a cache that goes by the file's content."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from dubbench.core.files import atomic, sha256
from dubbench.core.folders import cache_folder
from dubbench.face.landmarks import Face
from dubbench.media.container import Image
from dubbench.media.video import read_frames

FORM = 3  # raised when what a file holds changes
DIGEST = hashlib.sha256().digest_size
POINTS = 68
ROW = (POINTS + 2, 2)  # the landmarks, then the box's corners

Points = NDArray[np.float32]


class Detector(Protocol):
    """What finds faces, frame by frame: `dubbench.face.landmarks.FaceMesh`.

    Attributes:
        backend: names library and version; belongs to what was found.
        max_faces: how many faces a frame can have.
    """

    backend: str
    max_faces: int

    def detect(self, rgb: Image) -> list[Points]:
        """Meshes [478, 3] in the next frame, largest first."""

    def reset(self, place: Points | None = None) -> None:
        """Begin another clip, in which the face at a place [2, 2] is wanted."""


def folder() -> Path:
    """Where landmarks are kept: below ``DUBBENCH_CACHE``, or the user's cache."""
    return Path(os.environ.get("DUBBENCH_CACHE") or cache_folder()) / "landmarks"


def followed(
    video: Path, detector: Detector, images: Iterable[Image] | None = None, place: Points | None = None
) -> Generator[tuple[Image, list[Face]], None, None]:
    """Stream a video at 25 fps with the faces in each frame.

    What is detected goes into the cache when the last frame was taken. A file there that is damaged counts as absent,
    and where none can be written, nothing is kept.

    Args:
        video: file.
        detector: used only if the cache does not know the video.
        images: its frames, where they are read already.
        place: of the face that is wanted at first, left and top, right and bottom, [2, 2]; None for any.

    Yields:
        uint8 [H, W, 3] RGB, and its faces, largest first.

    Raises:
        MediaError: if the video is unreadable.
    """
    path = _place(video, detector, place)
    images = read_frames(video) if images is None else images
    rows = _read(path, detector.max_faces)
    if rows is None:
        yield from _detected(images, detector, path, place)
        return
    for image, row in zip(images, rows, strict=True):
        found = [np.array(face) for face in row if not np.isnan(face[0, 0])]
        yield image, [Face(face[:POINTS], face[POINTS:].reshape(4)) for face in found]


def _place(video: Path, detector: Detector, place: Points | None) -> Path:
    facts: list[Any] = [FORM, sha256(video), av.__version__, detector.backend, detector.max_faces]
    if place is not None:
        facts.append(place.tolist())
    return folder() / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()}.landmarks"


def _detected(
    images: Iterable[Image], detector: Detector, path: Path, place: Points | None
) -> Iterator[tuple[Image, list[Face]]]:
    detector.reset(place)
    with ExitStack() as stack:
        keep: Callable[[list[Face]], None] | None = None
        with suppress(OSError):  # a home that cannot be written to is no reason not to score
            keep = stack.enter_context(_kept(path, detector.max_faces))
        for image in images:
            faces = [Face.of(mesh) for mesh in detector.detect(image)]
            if keep is not None:
                keep(faces)
            yield image, faces


@contextmanager
def _kept(path: Path, max_faces: int) -> Iterator[Callable[[list[Face]], None]]:
    """Rows [max_faces, 70, 2], NaN without a face, in a file that ends with their sha256; memory stays the same."""
    digest = hashlib.sha256()
    with atomic(path) as temporary, temporary.open("wb") as file:

        def keep(faces: list[Face]) -> None:
            row = np.full((max_faces, *ROW), np.nan, "<f4")
            for k, face in enumerate(faces):
                row[k] = np.vstack([face.points, face.box.reshape(2, 2)])
            digest.update(row.tobytes())
            file.write(row.tobytes())

        yield keep
        file.write(digest.digest())


def _read(path: Path, max_faces: int) -> Points | None:
    """Rows [frames, max_faces, 70, 2] as they lie in the file; None if it is absent or damaged."""
    try:
        content = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError):  # ValueError: an empty file
        return None
    rows, digest = content[:-DIGEST], content[-DIGEST:].tobytes()
    row = max_faces * math.prod(ROW) * 4
    if len(rows) % row or hashlib.sha256(rows.data).digest() != digest:
        return None
    return rows.view("<f4").reshape(-1, max_faces, *ROW)
