"""The face model that a method thinks in: held by the model, it travels with its networks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lightning import LightningModule

from dubbench.datamodules.batch import Batch
from dubbench.datamodules.geometry import model_path
from dubbench.errors import DubbenchError
from dubbench.face3d.model import LinearFaceModel

Geometry: TypeAlias = Literal["mesh", "ict", "bfm"]
# Of model units, which are distances of the mean face's outer eye corners: about how far speech moves a vertex.
UNIT = 0.02
# V of each source's face model.
VERTICES: dict[str, int] = {"mesh": 468, "ict": 9409, "bfm": 35709}


class HeldFace:
    """Holds the face model whose vertices a method's networks take or give.

    Coefficients mean nothing without the bases they belong to. So the face model is taken from the prepared folder when
    training begins, lies in every checkpoint, comes back with it, and every batch is checked against it. It is no part
    of ``state_dict``, ``parameters`` or an average of the weights, but moves with the model from device to device:
    `DubbingModel` sees to that for every method that sets its ``held_face``.

    Args:
        owner: the model that holds it.
        source: of the face model: ``mesh``, ``ict`` or ``bfm``.
        vertices: V, for a face model of another size than the source's own.
        most: shape and expression coefficients that the networks take, where a face model can have too many.
    """

    def __init__(
        self,
        owner: LightningModule,
        source: Geometry,
        vertices: int | None = None,
        most: tuple[int, int] | None = None,
    ) -> None:
        self.source, self.vertices, self.most = source, vertices or VERTICES[source], most
        self._owner, self._name = owner, type(owner).__name__
        self._face: LinearFaceModel | None = None

    @property
    def face_model(self) -> LinearFaceModel | None:
        """The face model, or None if it has none yet: it was neither trained nor loaded."""
        return self._face

    @property
    def face(self) -> LinearFaceModel:
        """`face_model`, where there must be one.

        Raises:
            DubbenchError: if there is none yet: the method was neither trained nor loaded.
        """
        if self._face is None:
            raise DubbenchError(f"this {self._name} has no face model yet; load a checkpoint or train it")
        return self._face

    def adopt(self, face: LinearFaceModel, where: str = "the face model") -> None:
        """Take over a face model; ``where`` names it in messages.

        Raises:
            DubbenchError: if it is of another source or size, has too many coefficients, or is not the one that is
                already held.
        """
        total, shapes, expressions = face.sizes
        if self.most and (shapes > self.most[0] or expressions > self.most[1]):
            raise DubbenchError(
                f"{where} has {shapes} shape and {expressions} expression coefficients, this {self._name} takes "
                f"{self.most[0]} and {self.most[1]}; give --model.shapes {shapes} --model.expressions {expressions}"
            )
        if face.source != self.source or total != self.vertices:
            raise DubbenchError(
                f"{where} is {face.source} with {total} vertices, but this {self._name} is for "
                f"{self.source} with {self.vertices}; give the matching --model.geometry and --model.vertices"
            )
        if self._face is not None and self._face.hash() != face.hash():
            raise DubbenchError(
                f"{where} ({face.hash()}) is not the face model that this {self._name} was trained with "
                f"({self._face.hash()}); prepare the data with that one's file: --geometry_file"
            )
        self._face = face.to(self._owner.device).requires_grad_(False)

    def adopt_from(self, root: Path) -> None:
        """Take over a prepared folder's face model.

        Raises:
            DubbenchError: as `adopt`, or if the folder has none.
        """
        path = model_path(root, self.source)
        if not path.is_file():
            raise DubbenchError(
                f"{root} holds no face model {path.name}; run dubbench prepare on it again with "
                f"--geometry {self.source}"
            )
        self.adopt(LinearFaceModel.load(path), str(path))

    def adopt_stored(self, checkpoint: Mapping[str, Any], where: str) -> None:
        """Take over a checkpoint's face model; ``where`` names it in messages.

        Raises:
            DubbenchError: as `adopt`, or if the checkpoint has none.
        """
        stored = checkpoint.get("face_model")
        if stored is None:
            raise DubbenchError(f"{where} is missing: the training had not begun; name a later checkpoint")
        self.adopt(LinearFaceModel.of(stored["arrays"], stored["source"]), where)

    def store(self, checkpoint: dict[str, Any]) -> None:
        """Put the face model into a checkpoint, if there is one yet."""
        if self._face is not None:
            checkpoint["face_model"] = {"source": self._face.source, "arrays": self._face.arrays()}

    def check(self, batch: Batch) -> None:
        """See that a batch's coefficients belong to this face model.

        Raises:
            DubbenchError: if they are of another face model, or the batch has none.
        """
        if batch.face != self.face.hash():
            raise DubbenchError(
                f"the batch has coefficients of face model {batch.face or 'none'}, this {self._name} was "
                f"trained with {self.face.hash()}; prepare the data with that one's file: --geometry_file"
            )

    def apply(self, fn: Callable[..., Any]) -> None:
        """Follow the model to another device or type."""
        if self._face is not None:
            self._face._apply(fn)  # type: ignore[no-untyped-call]  # torch gives its hook no types
