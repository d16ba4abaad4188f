"""What methods share that think in a face model's vertices: the face model travels with the network."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from typing_extensions import Self

from dubbench.datamodules.batch import Batch
from dubbench.datamodules.geometry import model_path
from dubbench.errors import DubbenchError
from dubbench.face3d.model import LinearFaceModel
from dubbench.models.base import DubbingModel

Geometry: TypeAlias = Literal["mesh", "ict", "bfm"]
# Outer-eye distances: about how far speech moves a vertex.
UNIT = 0.02
VERTICES: dict[str, int] = {"mesh": 468, "ict": 9409, "bfm": 35709}


class GeometryModel(DubbingModel):
    """A method whose networks take or give the vertices of one face model.

    Coefficients mean nothing without the bases they belong to. So the face model is taken from the prepared folder when
    training begins, lies in every checkpoint, comes back with it, and every batch is checked against it. It is no part
    of ``state_dict``, ``parameters`` or an average of the weights, but moves with the model from device to device.

    A subclass may inherit from this class and `AdversarialModel`; it calls `expect` in its constructor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.geometry: Geometry = "mesh"
        self.vertices = VERTICES["mesh"]
        self._faces: list[LinearFaceModel] = []  # a plain list hides the module, as `frozen` does

    def expect(self, geometry: Geometry, vertices: int | None = None) -> int:
        """Settle the source of the face model and return its number of vertices V.

        Args:
            geometry: ``mesh``, ``ict`` or ``bfm``.
            vertices: V, for a face model of another size than the source's own.
        """
        self.geometry, self.vertices = geometry, vertices or VERTICES[geometry]
        return self.vertices

    @property
    def face_model(self) -> LinearFaceModel | None:
        """The face model, or None if it has none yet: it was neither trained nor loaded."""
        return self._faces[0] if self._faces else None

    def make_ready(self, root: Path) -> None:
        """Take over the folder's face model."""
        self.adopt_from(root)

    @property
    def face(self) -> LinearFaceModel:
        """`face_model`, where there must be one.

        Raises:
            DubbenchError: if the model has none yet: it was neither trained nor loaded.
        """
        if not self._faces:
            raise DubbenchError(f"this {type(self).__name__} has no face model yet; load a checkpoint or train it")
        return self._faces[0]

    def adopt(self, face: LinearFaceModel, where: str = "the face model") -> None:
        """Take over a face model; ``where`` names it in messages.

        Raises:
            DubbenchError: if it is of another source or size, or not the one that the model already has.
        """
        if face.source != self.geometry or face.sizes[0] != self.vertices:
            raise DubbenchError(
                f"{where} is {face.source} with {face.sizes[0]} vertices, but this {type(self).__name__} is for "
                f"{self.geometry} with {self.vertices}; give the matching --model.geometry and --model.vertices"
            )
        if self._faces and self._faces[0].hash() != face.hash():
            raise DubbenchError(
                f"{where} ({face.hash()}) is not the face model that this {type(self).__name__} was trained with "
                f"({self._faces[0].hash()}); prepare the data with that one's file: --geometry_file"
            )
        self._faces = [face.to(self.device).requires_grad_(False)]

    def adopt_from(self, root: Path) -> None:
        """Take over a prepared folder's face model.

        Raises:
            DubbenchError: as `adopt`, or if the folder has none.
        """
        path = model_path(root, self.geometry)
        if not path.is_file():
            raise DubbenchError(
                f"{root} holds no face model {path.name}; run dubbench prepare on it again with "
                f"--geometry {self.geometry}"
            )
        self.adopt(LinearFaceModel.load(path), str(path))

    def setup(self, stage: str) -> None:
        """Take the face model of the data when there is a data module, and build the frozen helpers."""
        super().setup(stage)
        root: Path | None = getattr(getattr(self.trainer, "datamodule", None), "root", None)
        if root is not None:
            self.adopt_from(root)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the face model beside the stamp."""
        super().on_save_checkpoint(checkpoint)
        if self._faces:
            checkpoint["face_model"] = {"source": self.face.source, "arrays": self.face.arrays()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse, when Lightning resumes, a checkpoint of another face model than the data's."""
        super().on_load_checkpoint(checkpoint)
        self._adopt_from(checkpoint, "the checkpoint's face model")

    def load_checkpoint(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Put a loaded checkpoint's weights and face model into this model; see `DubbingModel.load_checkpoint`."""
        super().load_checkpoint(checkpoint, path)
        self._adopt_from(checkpoint, f"the face model of {path}")

    def check_face(self, batch: Batch) -> None:
        """See that a batch's coefficients belong to this model's face model.

        Raises:
            DubbenchError: if they are of another face model, or the batch has none.
        """
        if batch.face != self.face.hash():
            raise DubbenchError(
                f"the batch has coefficients of face model {batch.face or 'none'}, this {type(self).__name__} was "
                f"trained with {self.face.hash()}; prepare the data with that one's file: --geometry_file"
            )

    def _adopt_from(self, checkpoint: Mapping[str, Any], where: str) -> None:
        stored = checkpoint.get("face_model")
        if stored is None:
            raise DubbenchError(f"{where} is missing: the training had not begun; name a later checkpoint")
        self.adopt(LinearFaceModel.of(stored["arrays"], stored["source"]), where)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Let the hidden face model follow to another device or type."""
        for face in self._faces:
            face._apply(fn)  # type: ignore[no-untyped-call]  # torch gives its hook no types
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self
