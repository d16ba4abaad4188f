"""Face landmarks by MediaPipe's 478-point mesh, and the 68 points that the metrics are written in."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dubbench.assets import store
from dubbench.errors import DubbenchError
from dubbench.face.second_look import SecondLook

MESH_TO_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)
BUNDLE = "face_landmarker.task"
FRAME_MS = 40
# Longer side of a frame that the first look takes as it is: that of 4K.
LARGEST = 4096
CHATTER = re.compile(
    r"^I\d{4} |^INFO: |^WARNING: All log messages before absl::InitializeLog|"
    r"^W\d{4} .*(single signature inference|NORM_RECT without IMAGE_DIMENSIONS|FaceBlendshapesGraph acceleration)"
)


def points_68(mesh: NDArray[Any]) -> NDArray[Any]:
    """Pick the 68 iBUG points from a face mesh.

    Args:
        mesh: [..., 478, 3] (or 468 vertices, or 2 coordinates).

    Returns:
        [..., 68, 2] in the mesh's own coordinates and type.
    """
    return mesh[..., list(MESH_TO_68), :2]


class Face(NamedTuple):
    """What following and scoring need of a face, in the frame's pixels.

    Attributes:
        points: float32 [68, 2] landmarks.
        box: float32 [4] x0, y0, x1, y1 around all points of the mesh.
    """

    points: NDArray[np.float32]
    box: NDArray[np.float32]

    @classmethod
    def of(cls, mesh: NDArray[np.float32]) -> "Face":
        """Take it from a mesh [478, 3]."""
        plane = np.asarray(mesh[:, :2], np.float32)
        return cls(points_68(plane), np.concatenate([plane.min(0), plane.max(0)]))

    @property
    def corners(self) -> NDArray[np.float32]:
        """Of the box, [2, 2]."""
        return self.box.reshape(2, 2)

    @property
    def size(self) -> float:
        """The longer side of the box in pixels."""
        return float(np.ptp(self.corners, axis=0).max())


class FaceMesh:
    """Detects and tracks faces over the frames of one clip after the other.

    Speaks the solutions API of mediapipe up to 0.10.21, which carries its model, and the Tasks API of later releases,
    which needs the asset ``face_landmarker.task``. The two differ by about 1.5 % of the
    eye distance, so ``backend`` belongs in the record of whatever is computed. A frame in which it finds no face is
    looked at a second time in parts, see `SecondLook`; frames with a face cost and give what they did without, unless
    another face is wanted.
    Use as a context manager.

    Args:
        max_faces: how many faces to look for; 2 tells a lone speaker from a pair.
        api: which API; ``auto`` takes solutions where the installed mediapipe has it.

    Raises:
        DubbenchError: if the API is not there, or its model file is not.
    """

    def __init__(self, max_faces: int = 2, api: Literal["auto", "solutions", "tasks"] = "auto") -> None:
        with _quiet():
            import mediapipe

            has_solutions = hasattr(mediapipe, "solutions")
            if api == "solutions" and not has_solutions:
                raise DubbenchError(
                    f"mediapipe {mediapipe.__version__} has no solutions API; install mediapipe==0.10.21 or use tasks"
                )
            use_solutions = has_solutions and api != "tasks"
            graph: type[_Solutions | _Tasks] = _Solutions if use_solutions else _Tasks
            self._graph = graph(max_faces)
            self._parts = graph(max_faces, still=True)
            self.backend = f"mediapipe-{'solutions' if use_solutions else 'tasks'}-{mediapipe.__version__}"
        self.max_faces = max_faces
        self._fresh, self._spoken = True, False
        self._parts_fresh, self._parts_spoken = True, False
        self._second = SecondLook(self._in_part, max_faces)

    def __enter__(self) -> "FaceMesh":
        return self

    def __exit__(self, *exception: object) -> None:
        self._graph.close()
        self._parts.close()

    def detect(self, rgb: NDArray[np.uint8], place: NDArray[np.float32] | None = None) -> list[NDArray[np.float32]]:
        """Faces of the next frame, uint8 [H, W, 3] RGB, of a clip at 25 fps.

        Args:
            rgb: the frame.
            place: as `reset` takes it, where it is known for this frame.

        Returns:
            float32 [478, 3] a face, largest first: x right and y down in pixels of the frame, z in the scale of x.
        """
        # Native threads speak up when the graph has started, and again with its first face.
        with nullcontext() if self._spoken else _quiet():
            if self._fresh:
                self._graph.start()
            faces = _in_pixels(self._graph.detect(_no_larger(rgb)), rgb)
        self._fresh, self._spoken = False, self._spoken or bool(faces)
        if faces:
            self._second.follow(faces)
        else:
            faces = self._second.faces(rgb)
        faces = self._second.beside(rgb, faces, place)
        return sorted(faces, key=lambda face: -float(np.prod(np.ptp(face[:, :2], axis=0))))

    def reset(self, place: NDArray[np.float32] | None = None) -> None:
        """Forget the clip so far: call between clips, so that none depends on the one before.

        Args:
            place: left and top, right and bottom, [2, 2] in pixels, of the face that is wanted, which is looked for
                where the first look finds others alone; None where any will do.
        """
        self._fresh, self._spoken = True, False
        self._second.reset(place)

    def _in_part(self, part: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Faces in a picture that stands alone."""
        with nullcontext() if self._parts_spoken else _quiet():
            if self._parts_fresh:
                self._parts.start()
            found = self._parts.detect(part)
        self._parts_fresh, self._parts_spoken = False, self._parts_spoken or bool(found)
        return _in_pixels(found, part)


def _no_larger(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame, scaled down to `LARGEST` if it is larger: detector and mesh see less, and each copy takes memory."""
    height, width = rgb.shape[:2]
    scale = LARGEST / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(rgb)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _in_pixels(found: list[Any], rgb: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    scale = np.array([rgb.shape[1], rgb.shape[0], rgb.shape[1]], np.float32)
    return [np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale for face in found]


class _Solutions:
    def __init__(self, max_faces: int, still: bool = False) -> None:
        self._max_faces, self._still = max_faces, still
        self._mesh: Any = None

    def start(self) -> None:
        from mediapipe import solutions

        if self._mesh is None:
            self._mesh = solutions.face_mesh.FaceMesh(
                static_image_mode=self._still, max_num_faces=self._max_faces, refine_landmarks=True
            )
        else:
            self._mesh.reset()

    def detect(self, rgb: NDArray[np.uint8]) -> list[Any]:
        faces = self._mesh.process(rgb).multi_face_landmarks
        return [face.landmark for face in faces or []]

    def close(self) -> None:
        if self._mesh is not None:
            self._mesh.close()


class _Tasks:
    def __init__(self, max_faces: int, still: bool = False) -> None:
        try:
            bundle = store.find(BUNDLE)
        except DubbenchError as error:
            raise DubbenchError(f"{error}, or install mediapipe==0.10.21, which carries its model") from error
        self._model, self._max_faces, self._still = bundle.read_bytes(), max_faces, still
        self._landmarker: Any = None

    def start(self) -> None:
        from mediapipe.tasks import python
        from mediapipe.tasks.python import vision

        options = vision.FaceLandmarkerOptions(
            base_options=python.BaseOptions(model_asset_buffer=self._model),
            running_mode=vision.RunningMode.IMAGE if self._still else vision.RunningMode.VIDEO,
            num_faces=self._max_faces,
        )
        self.close()
        self._landmarker = vision.FaceLandmarker.create_from_options(options)
        self._time = 0

    def detect(self, rgb: NDArray[np.uint8]) -> list[Any]:
        from mediapipe import Image, ImageFormat

        image = Image(image_format=ImageFormat.SRGB, data=rgb)
        if self._still:
            return list(self._landmarker.detect(image).face_landmarks)
        self._time += FRAME_MS
        return list(self._landmarker.detect_for_video(image, self._time).face_landmarks)

    def close(self) -> None:
        if self._landmarker is not None:
            self._landmarker.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what native code writes to stderr meanwhile, and let through all but known chatter."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if line.strip() and not CHATTER.match(line):
                    print(line, file=sys.stderr)
