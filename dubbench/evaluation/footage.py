"""The ground truth as scoring sees it: frames with their geometry, a chunk at a time, from wherever they lie."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dubbench.core.files import sha256
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.evaluation import landmark_cache
from dubbench.evaluation.crops import ALIGNED, Geometry, ffhq_squares, measurable
from dubbench.evaluation.landmark_cache import Detector, Points
from dubbench.face.choice import FaceChoice, Faces, box_words, choice_of
from dubbench.face.landmarks import Face
from dubbench.face.second_look import overlap
from dubbench.media.audio import aligned_speech
from dubbench.media.container import Image
from dubbench.media.flaws import Flaws
from dubbench.media.video import probe, read_frames

T = TypeVar("T", bound=tuple[Any, ...])
Seen = Sequence[Face] | None  # in a frame; None where nobody looked
Chunk = tuple[list[Image], Geometry, list[Seen]]

CHUNK = 16
CHUNK_BYTES = 1 << 29  # of a chunk's images: sixteen of 4K, five of 8K
# From an aligned square (continuous, pixel j centred at j + 0.5) to pixel indices of the frame that it is.
SQUARE_ITSELF = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5]])


class Footage(Protocol):
    """One clip of ground truth.

    Attributes:
        name: clip id.
        width: of its frames in pixels.
        height: of its frames in pixels.
        frames: how many, None when only decoding tells.
        face: size of the face in pixels, as `dubbench.datamodules.clip.ClipInfo.face`; 0 before the last frame.
        speech: float32 [S] in [-1, 1], 16 kHz mono, from the first frame on; None where there is no sound.
        remarks: what was wrong with its files, after it was streamed.
    """

    @property
    def remarks(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def height(self) -> int: ...  # noqa: D102

    @property
    def frames(self) -> int | None: ...  # noqa: D102

    @property
    def face(self) -> float: ...  # noqa: D102

    @property
    def speech(self) -> NDArray[np.float32] | None: ...  # noqa: D102

    def chunks(self, size: int, detector: Detector | None = None) -> Iterator[Chunk]:
        """Stream the clip once.

        Args:
            size: side of the protocol's crop in pixels.
            detector: finds the faces in the frames themselves that the landmark cache does not know; None leaves
                them out where geometry needs none.

        Yields:
            Up to `CHUNK` frames, fewer of vast ones, uint8 [height, width, 3] RGB, with their geometry and the faces in
            each.

        Raises:
            DubbenchError: if the frames cannot be read.
        """


class SourceFootage:
    """A prepared clip in the frames that it was prepared from."""

    def __init__(self, clip: PreparedClip, source: Path) -> None:
        """Take the clip's track and the video file ``source``."""
        self.clip, self.source = clip, source
        self.name, self.frames = clip.info.clip, clip.info.frames
        self.width, self.height = clip.info.source_width, clip.info.source_height
        self.face = clip.info.face

    @classmethod
    def find(cls, clip: PreparedClip, source_root: Path | str | None = None) -> "SourceFootage":
        """Find a clip's source, by default where it was when the clip was prepared.

        Raises:
            DubbenchError: if it is not there, or another file than the one that was prepared.
        """
        source = clip.source_path(source_root)
        if sha256(source) != clip.info.source_sha256:
            raise DubbenchError(
                f"{source} is not the file that was prepared (another sha256); run dubbench prepare again"
            )
        return cls(clip, source)

    @property
    def remarks(self) -> Sequence[str]:
        """See `Footage`; as found when it was prepared."""
        return self.clip.info.remarks

    @property
    def speech(self) -> NDArray[np.float32]:
        """See `Footage`."""
        return self.clip.speech()

    def chunks(self, size: int, detector: Detector | None = None) -> Iterator[Chunk]:
        """See `Footage`; raises also if the source has not the frames that the clip was prepared with."""
        changed = (
            f"{self.source} does not have the {self.frames} frames it was prepared with; run dubbench prepare again"
        )
        done = 0
        for rows in _chunked(_seen(read_frames(self.source), self.source, detector)):
            images, faces = zip(*rows, strict=True)
            indices = range(done, done + len(images))
            done += len(images)
            if done > self.frames:
                raise DubbenchError(changed)
            yield list(images), Geometry.of_clip(self.clip, indices, size), list(faces)
        if done != self.frames:
            raise DubbenchError(changed)


class PreparedFootage:
    """A prepared clip in its aligned squares, for methods that write nothing else."""

    def __init__(self, clip: PreparedClip) -> None:
        """Take a clip."""
        self.clip = clip
        self.name, self.frames = clip.info.clip, clip.info.frames
        self.width = self.height = clip.info.size
        self.face = clip.info.face

    @property
    def remarks(self) -> Sequence[str]:
        """See `Footage`; as found when it was prepared."""
        return self.clip.info.remarks

    @property
    def speech(self) -> NDArray[np.float32]:
        """See `Footage`."""
        return self.clip.speech()

    def chunks(self, size: int, detector: Detector | None = None) -> Iterator[Chunk]:
        """See `Footage`."""
        done = 0
        for rows in _chunked(_seen(self.clip.stream(), self.clip.folder / "video.mp4", detector)):
            images, faces = zip(*rows, strict=True)
            indices = range(done, done + len(images))
            done += len(images)
            points = self.clip.aligned_points(indices) + SQUARE_ITSELF[:, 2]
            geometry = Geometry.of(
                np.tile(SQUARE_ITSELF, (len(images), 1, 1)),
                self.width,
                source_points=points,
                detected=self.clip.detected(indices),
                size=size,
                measured=None if measurable(self.clip.info) else ffhq_squares(points),
            )
            yield list(images), geometry, list(faces)


class RawFootage:
    """Any video: one face that is followed through it, aligned by itself without smoothing.

    A frame without that face is looked at where it was last; frames before the first face, where that one is.
    """

    def __init__(self, path: Path, name: str, detector: Detector, faces: Faces = "largest") -> None:
        """Open a video.

        Args:
            path: of the file.
            name: clip id.
            detector: finds the faces that the landmark cache does not know.
            faces: which one is followed, see `dubbench.face.choice`.

        Raises:
            MediaError: if it is no readable video.
        """
        self.path, self.name, self._detector, self._policy = path, name, detector, faces
        info = probe(path)
        self.width, self.height, self._sounds = info.width, info.height, info.has_audio
        self.frames: int | None = None
        self.face = 0.0
        self._flaws = Flaws()

    @property
    def remarks(self) -> Sequence[str]:
        """See `Footage`."""
        return self._flaws.sentences()

    @cached_property
    def speech(self) -> NDArray[np.float32] | None:
        """See `Footage`."""
        return aligned_speech(self.path, self._flaws) if self._sounds else None

    def chunks(self, size: int, detector: Detector | None = None) -> Iterator[Chunk]:
        """See `Footage`; its own detector finds the faces, and ``frames`` is known afterwards.

        Raises also if no frame shows a face, or the first with any not the one that was asked for.
        """
        done, choice = 0, choice_of(self._policy)
        for rows in _chunked(self._faces(choice)):
            images, points, faces, found = zip(*rows, strict=True)
            transforms = ffhq_squares(np.stack(points))
            done += len(images)
            geometry = Geometry.of(transforms, ALIGNED, source_points=points, detected=found, size=size)
            yield list(images), geometry, list(faces)
        self.frames, self.face = done, choice.size

    def _faces(self, choice: FaceChoice) -> Iterator[tuple[Image, Points, list[Face], bool]]:
        last: Points | None = None
        leading = 0
        for image, faces in landmark_cache.followed(self.path, self._detector, place=choice.place):
            chosen = choice.pick(faces, image)
            if chosen is not None:
                points = faces[chosen].points
                if last is None:
                    # Decoded once more when their face has come: holding them back would take unbounded memory.
                    yield from ((early, points, [], False) for early in islice(read_frames(self.path), leading))
                last = points
            if last is None:
                leading += 1
            else:
                yield image, last, faces, chosen is not None
        if last is None:
            raise DubbenchError(f"{self.path} shows no face in any of its {leading} frames; give a video of a face")


def check_followed(clip: PreparedClip, faces: Faces) -> None:
    """See that a prepared clip follows the face that is asked for.

    Raises:
        DubbenchError: if a box shows another place than that face's in the first frame with it.
    """
    if isinstance(faces, str):
        return
    first = int(np.argmax(clip.detected()))
    face = Face.of(clip.mesh([first])[0])
    left, top, width, height = faces
    if overlap(face.corners, np.array([[left, top], [left + width, top + height]], np.float32)) == 0:
        raise DubbenchError(
            f"the prepared clip follows another face than the one in {','.join(f'{side:g}' for side in faces)}, that "
            f"in {box_words(face.box)} of frame {first}; leave --faces out, or score the videos themselves"
        )


def _seen(images: Iterable[Image], video: Path, detector: Detector | None) -> Iterator[tuple[Image, Seen]]:
    """Frames of a video, with their faces if somebody shall find them."""
    return ((image, None) for image in images) if detector is None else landmark_cache.followed(video, detector, images)


def _chunked(rows: Iterable[T]) -> Iterator[list[T]]:
    """Rows that begin with their image, as many at a time as `CHUNK` and `CHUNK_BYTES` allow, at least one."""
    iterator = iter(rows)
    for first in iterator:
        count = max(min(CHUNK, CHUNK_BYTES // first[0].nbytes), 1)
        yield [first, *islice(iterator, count - 1)]
