"""Face landmarks by MediaPipe's 478-point mesh, and the 68 points that the metrics are written in."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dubbench.assets import store
from dubbench.errors import DubbenchError

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


class FaceMesh:
    """Detects and tracks faces over the frames of one clip after the other.

    Speaks the solutions API of mediapipe up to 0.10.21, which carries its model, and the Tasks API of later releases,
    which needs the asset ``face_landmarker.task``. The two differ by about 1.5 % of the
    eye distance, so ``backend`` belongs in the record of whatever is computed. Use as a context manager.

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
            self._graph: _Solutions | _Tasks = _Solutions(max_faces) if use_solutions else _Tasks(max_faces)
            self.backend = f"mediapipe-{'solutions' if use_solutions else 'tasks'}-{mediapipe.__version__}"
        self.max_faces = max_faces
        self._fresh = True

    def __enter__(self) -> "FaceMesh":
        return self

    def __exit__(self, *exception: object) -> None:
        self._graph.close()

    def detect(self, rgb: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Faces of the next frame, uint8 [H, W, 3] RGB, of a clip at 25 fps.

        Returns:
            float32 [478, 3] a face, largest first: x right and y down in pixels of the frame, z in the scale of x.
        """
        scale = np.array([rgb.shape[1], rgb.shape[0], rgb.shape[1]], np.float32)
        # Native threads speak up when the graph has started, so the start and the first frame share one quiet block.
        with _quiet() if self._fresh else nullcontext():
            if self._fresh:
                self._graph.start()
            found = self._graph.detect(np.ascontiguousarray(rgb))
        self._fresh = False
        faces = [np.array([(p.x, p.y, p.z) for p in face], np.float32) * scale for face in found]
        return sorted(faces, key=lambda face: -float(np.prod(np.ptp(face[:, :2], axis=0))))

    def reset(self) -> None:
        """Forget the clip so far: call between clips, so that none depends on the one before."""
        self._fresh = True


class _Solutions:
    def __init__(self, max_faces: int) -> None:
        self._max_faces = max_faces
        self._mesh: Any = None

    def start(self) -> None:
        from mediapipe import solutions

        if self._mesh is None:
            self._mesh = solutions.face_mesh.FaceMesh(
                static_image_mode=False, max_num_faces=self._max_faces, refine_landmarks=True
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
    def __init__(self, max_faces: int) -> None:
        try:
            bundle = store.find(BUNDLE)
        except DubbenchError as error:
            raise DubbenchError(f"{error}, or install mediapipe==0.10.21, which carries its model") from error
        self._model, self._max_faces = bundle.read_bytes(), max_faces
        self._landmarker: Any = None

    def start(self) -> None:
        from mediapipe.tasks import python
        from mediapipe.tasks.python import vision

        options = vision.FaceLandmarkerOptions(
            base_options=python.BaseOptions(model_asset_buffer=self._model),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=self._max_faces,
        )
        self.close()
        self._landmarker = vision.FaceLandmarker.create_from_options(options)
        self._time = 0

    def detect(self, rgb: NDArray[np.uint8]) -> list[Any]:
        from mediapipe import Image, ImageFormat

        image = Image(image_format=ImageFormat.SRGB, data=rgb)
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
