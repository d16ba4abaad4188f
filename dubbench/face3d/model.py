"""Linear face models: mean, shape and expression bases, triangles, landmarks, regions, pose and projection.

Model space has x right, y down and z away from the camera, the face upright and frontal. Its origin is the mean of the
mean face's 68 landmarks, its unit the distance of the mean face's outer eye corners. Coefficients are in standard
deviations. A pose is [rotation vector (3, radians), translation x, y (pixels of the aligned square at `POSE_SIZE`),
natural logarithm of the scale (those pixels a model unit)].
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dubbench.core.arrays import read_arrays, write_arrays
from dubbench.errors import DubbenchError

SOURCES = ("mesh", "ict", "bfm")
REGIONS = ("lips", "inner_mouth", "lower_face", "upper_face", "contour", "eyes")
POSE_SIZE = 256
SMALL_ANGLE = 1e-4

_AXES = {"mean": 2, "shape_basis": 3, "expression_basis": 3, "triangles": 2, "landmarks": 1}
_REGION = "region_"
_STORED_REGIONS = tuple(name for name in REGIONS if name != "upper_face")
_UPPER = f"{_REGION}upper_face"


class LinearFaceModel(nn.Module):
    """Vertices as mean plus shape plus expression (Blanz and Vetter 1999; PersonaTalk 3.1 uses one as its 3DMM).

    Everything is a buffer. All methods take any leading axes and are differentiable in the coefficients.

    Attributes:
        source: ``mesh``, ``ict`` or ``bfm``.
        mean: float32 [V, 3], model units.
        shape_basis: float32 [S, V, 3], model units a standard deviation.
        expression_basis: float32 [E, V, 3], likewise.
        triangles: int64 [F, 3], all wound the same way.
        landmarks: int64 [68], vertex of each iBUG landmark.
    """

    mean: Tensor
    shape_basis: Tensor
    expression_basis: Tensor
    triangles: Tensor
    landmarks: Tensor

    def __init__(self, arrays: Mapping[str, Tensor], source: str) -> None:
        """Take the arrays that `arrays` gives.

        Raises:
            DubbenchError: if they are not those of a face model.
        """
        super().__init__()
        self.source = source
        if fault := _fault(arrays, source):
            raise DubbenchError(f"these arrays are no face model: {fault}; make it anew with dubbench prepare")
        for name in (*_AXES, *(f"{_REGION}{region}" for region in _STORED_REGIONS)):
            whole = name not in ("mean", "shape_basis", "expression_basis")
            self.register_buffer(name, arrays[name].detach().to(torch.int64 if whole else torch.float32).clone())
        self._hash = _digest(self.arrays(), source)
        # Once: a device that is asked for the places of a mask is waited for.
        self.register_buffer(_UPPER, _others(self.get_buffer(f"{_REGION}lower_face"), len(self.mean)), persistent=False)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of vertices V, shape components S and expression components E."""
        return len(self.mean), len(self.shape_basis), len(self.expression_basis)

    @property
    def regions(self) -> dict[str, Tensor]:
        """Sorted vertex indices, int64 [n], of each of `REGIONS`; ``upper_face`` is all but ``lower_face``."""
        return {name: self.get_buffer(f"{_REGION}{name}") for name in REGIONS}

    def vertices(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Vertices [..., V, 3] in model space.

        Args:
            shape: [..., S]; its leading axes broadcast with those of ``expression``.
            expression: [..., E].
        """
        return self.mean + _combine(shape, self.shape_basis) + _combine(expression, self.expression_basis)

    def spoken(self, shape: Tensor, expression: Tensor) -> Tensor:
        """Vertices [..., V, 3] whose lower face has an expression, over an upper face at rest; see `vertices`.

        Coefficients are fitted to the whole face: its mouth moves what they make of the upper one.
        """
        lower = torch.zeros(len(self.mean), 1, dtype=torch.bool, device=self.mean.device)
        lower[self.regions["lower_face"]] = True
        return self.mean + _combine(shape, self.shape_basis) + lower * _combine(expression, self.expression_basis)

    def expression_only(self, expression: Tensor) -> Tensor:
        """Vertices [..., V, 3] of the mean shape with an expression [..., E] (PersonaTalk's C^exp)."""
        return self.mean + _combine(expression, self.expression_basis)

    def pncc(self) -> Tensor:
        """Colour of each vertex, [V, 3] in [0, 1]: the mean face, each axis normalised (Zhu et al. 2017, eq. 9)."""
        low, high = self.mean.amin(0), self.mean.amax(0)
        return (self.mean - low) / (high - low)

    def hash(self) -> str:
        """12 hex digits over all arrays and the source, as they were when the model was made."""
        return self._hash

    def arrays(self) -> dict[str, Tensor]:
        """Every array by its name: what `of` takes, and what a checkpoint carries beside ``source``."""
        return {name: buffer for name, buffer in self.named_buffers() if name != _UPPER}

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor], source: str) -> "LinearFaceModel":
        """A model of such arrays.

        Raises:
            DubbenchError: if they are not those of a face model.
        """
        return cls(arrays, source)

    def save(self, path: Path) -> None:
        """Write an npz atomically; equal models give equal bytes."""
        arrays = {name: array.cpu().numpy() for name, array in self.arrays().items()}
        write_arrays(path, {**arrays, "source": np.array(self.source)})

    @classmethod
    def load(cls, path: Path) -> "LinearFaceModel":
        """Read what `save` wrote.

        Raises:
            DubbenchError: if the file is absent, damaged or no face model.
        """
        try:
            arrays = read_arrays(path)
            source = str(arrays.pop("source", ""))
            return cls({name: torch.from_numpy(array) for name, array in arrays.items()}, source)
        except (DubbenchError, TypeError) as error:
            raise DubbenchError(
                f"{path} is no face model ({error}); remove it and run dubbench prepare --geometry again"
            ) from error


def rotation_matrices(vectors: Tensor) -> Tensor:
    """Rodrigues' formula: rotation vectors [..., 3] in radians to matrices [..., 3, 3].

    Near zero both factors come from their series, so that values and gradients stay finite there.
    """
    square = vectors.square().sum(-1)
    small, angle = _angle(square)
    sine = torch.where(small, 1 - square / 6 + square.square() / 120, angle.sin() / angle)
    return _series(vectors, sine, _versine(square))


def rotation_jacobian(vectors: Tensor) -> Tensor:
    """How turns follow rotation vectors [..., 3]: [..., 3, 3], the left Jacobian of the rotation group.

    A change d of the vector turns what was turned by the small rotation vector ``jacobian @ d`` more.
    """
    square = vectors.square().sum(-1)
    small, angle = _angle(square)
    rest = torch.where(small, 1 / 6 - square / 120 + square.square() / 5040, (angle - angle.sin()) / angle**3)
    return _series(vectors, _versine(square), rest)


def _angle(square: Tensor) -> tuple[Tensor, Tensor]:
    """Whether squared angles are small, and the angles, 1 where they are."""
    small = square < SMALL_ANGLE
    return small, torch.where(small, torch.ones_like(square), square).sqrt()


def _versine(square: Tensor) -> Tensor:
    """(1 - cos a) / a^2 of squared angles a^2."""
    small, angle = _angle(square)
    return torch.where(small, 0.5 - square / 24 + square.square() / 720, 2 * (angle / 2).sin().square() / angle**2)


def _series(vectors: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """1 + first K + second K^2 for the cross-product matrices K of vectors [..., 3]: [..., 3, 3]."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*first.shape, 3, 3)
    unit = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    square = vectors[..., :, None] * vectors[..., None, :] - vectors.square().sum(-1)[..., None, None] * unit
    return unit + first[..., None, None] * cross + second[..., None, None] * square


def project(vertices: Tensor, pose: Tensor, size: int = POSE_SIZE) -> Tensor:
    """Weak perspective: pose vertices and give them in pixels of the aligned square.

    Args:
        vertices: [..., V, 3], model space.
        pose: [..., 6]; its leading axes broadcast with those of ``vertices``.
        size: side of the square in pixels.

    Returns:
        [..., V, 3]: x and y continuous pixel coordinates (pixel j centred at j + 0.5), depth in pixels, nearer smaller.
    """
    pose = pose.to(vertices.dtype)
    turned = _without_autocast(vertices, rotation_matrices(pose[..., :3]).transpose(-1, -2))
    shift = nn.functional.pad(pose[..., 3:5], (0, 1))
    return (turned * pose[..., None, 5:].exp() + shift[..., None, :]) * (size / POSE_SIZE)


def _combine(coefficients: Tensor, basis: Tensor) -> Tensor:
    """Coefficients [..., N] times a basis [N, V, 3]: [..., V, 3]."""
    flat = _without_autocast(coefficients.to(basis.dtype), basis.flatten(1))
    return flat.view(*coefficients.shape[:-1], *basis.shape[1:])


def _without_autocast(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product in the operands' own precision: a bfloat16 coordinate is wrong by a whole pixel."""
    with torch.autocast(left.device.type, enabled=False):
        return torch.matmul(left, right)


def _others(some: Tensor, count: int) -> Tensor:
    """Of the numbers 0 to ``count`` - 1 those that are not among ``some``, ascending."""
    others = torch.ones(count, dtype=torch.bool)
    others[some.cpu()] = False
    return others.nonzero()[:, 0].to(some.device)


def _fault(arrays: Mapping[str, Tensor], source: str) -> str:
    """What keeps these from being a face model's arrays; empty if nothing does."""
    names = [*_AXES, *(f"{_REGION}{region}" for region in _STORED_REGIONS)]
    if source not in SOURCES:
        return f"their source is {source!r}, not one of {', '.join(SOURCES)}"
    if missing := [name for name in names if name not in arrays]:
        return f"{missing[0]} is missing"
    for name in names:
        shape, axes = tuple(arrays[name].shape), _AXES.get(name, 1)
        if len(shape) != axes or (axes > 1 and shape[-1] != 3) or (name == "landmarks" and shape != (68,)):
            return f"{name} has shape {shape}"
    count = len(arrays["mean"])
    for name in names:
        array = arrays[name]
        if name.endswith("basis"):
            if array.shape[1] != count:
                return f"{name} has {array.shape[1]} vertices, the mean {count}"
        elif name != "mean" and array.numel() and not 0 <= int(array.min()) <= int(array.max()) < count:
            return f"{name} points beyond the {count} vertices"
        if not bool(torch.isfinite(array).all()):
            return f"{name} holds values that are not finite"
    return "" if count else "there are no vertices"


def _digest(arrays: Mapping[str, Tensor], source: str) -> str:
    digest = hashlib.sha256(source.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
