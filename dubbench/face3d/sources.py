"""Where linear face models come from: learnt from meshes, ICT-FaceKit, or the user's BFM."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.core.arrays import read_arrays
from dubbench.errors import DubbenchError
from dubbench.face.landmarks import MESH_TO_68
from dubbench.face3d.mesh_topology import MESH_VERTICES, mesh_regions, mesh_triangles
from dubbench.face3d.model import LinearFaceModel
from dubbench.face3d.procrustes import similar
from dubbench.face3d.regions import OUTER_EYES, Indices, Regions, Vertices, below_nose, regions_of

SHAPES, EXPRESSIONS = 80, 64
# Pairs of landmarks that a face mirrored left to right exchanges, image left first.
MIRRORED = np.array([(0, 16), (3, 13), (17, 26), (21, 22), (31, 35), (36, 45), (39, 42), (48, 54)])
# How far nearer than the eyes the mouth's corners lie, of their drop, on MediaPipe's canonical face: it fixes which
# pitch counts as frontal, which no rigid alignment of the meshes to each other can tell.
MOUTH_FORWARD = 0.09
ALIGNMENTS = 8
# Components that move vertices by less than this (a thousandth of a pixel at 256) on average are rounding.
LEAST_DEVIATION = 1e-5
# A blendshape weight lives in [0, 1]; spread evenly there it deviates by this.
BLENDSHAPE_DEVIATION = 12**-0.5


def learn_mesh(clips: Iterable[tuple[str, NDArray[Any]]]) -> LinearFaceModel:
    """Learn the face model of MediaPipe's 468-vertex mesh: shape from speakers' means, expression from what is left.

    All meshes are brought to their common mean by similarities (generalised Procrustes analysis, Gower 1975) on the
    vertices of the upper face that speech does not move, so that a moving jaw stays expression. PCA of the speakers'
    means gives at most 80 shape components, PCA of every frame's deviation from its speaker's mean at most 64 of
    expression. Where there is one speaker only, the means of clips take the place of speakers'.

    Args:
        clips: speaker and meshes [N, 468 or 478, 3] of detected frames, for each clip; any similarity applied.

    Raises:
        DubbenchError: if there are fewer than two meshes, or they are not finite.
    """
    speakers: list[str] = []
    parts: list[NDArray[np.float32]] = []
    for speaker, meshes in clips:
        if len(meshes):
            speakers.append(speaker)
            parts.append(np.asarray(meshes[:, :MESH_VERTICES], np.float32))
    if sum(map(len, parts)) < 2 or not all(np.isfinite(part).all() for part in parts):
        raise DubbenchError("a face model needs two or more meshes of finite numbers; prepare more clips")
    groups = speakers if len(set(speakers)) > 1 else [str(number) for number in range(len(parts))]
    group = np.repeat(np.unique(groups, return_inverse=True)[1], [len(part) for part in parts])
    landmarks = np.array(MESH_TO_68)
    aligned = _upright(_procrustes(np.concatenate(parts), landmarks), landmarks)
    means = np.stack([aligned[group == number].mean(0) for number in range(group.max() + 1)])
    mean = means.mean(0)
    shape = _components(means - mean, len(means) - 1, SHAPES)
    expression = _components(aligned - means[group], len(aligned) - len(means), EXPRESSIONS)
    return _model(
        "mesh",
        mean,
        shape=shape,
        expression=expression,
        triangles=mesh_triangles(mean),
        landmarks=landmarks,
        regions=mesh_regions(mean, landmarks),
    )


def load_ict(path: Path, indices: Path, expressions: Literal[53, 57] = 53) -> LinearFaceModel:
    """ICT-FaceKit (Li et al. 2020): 100 identity components, and its blendshapes as expression.

    Identity components are scaled to unit deviation by their makers. Blendshape weights live in [0, 1]: a coefficient
    of 1 is 0.29 of a blendshape, the deviation of a weight spread evenly there, so that one penalty serves both.

    Args:
        path: npz of ``neutral`` [V, 3], ``identity`` [100, V, 3], ``expression`` [57, V, 3], ``expression_names`` and
            ``quads``; x right, y up, z to the camera.
        indices: FaceKit's ``vertex_indices.json``: the landmarks' vertices, and the names of the 53 expressions.
        expressions: 53, those named there (without pupils and cheek raisers), or all 57.

    Raises:
        DubbenchError: if a file is absent, damaged or another one.
    """
    try:
        arrays, table = read_arrays(path), json.loads(indices.read_text(encoding="utf-8"))
        landmarks = np.array(table["idx_to_landmark_verts"], np.int64)
        chosen = np.isin(arrays["expression_names"], table["expressions"]) if expressions == 53 else slice(None)
        quads = np.asarray(arrays["quads"], np.int64)
        triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        expression = arrays["expression"][chosen] * BLENDSHAPE_DEVIATION
        return _outside(
            "ict",
            arrays["neutral"],
            shape=arrays["identity"],
            expression=expression,
            triangles=triangles,
            landmarks=landmarks,
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DubbenchError(f"{path} and {indices} are not ICT-FaceKit's face ({error}); bring both anew") from error


def load_bfm(path: Path) -> LinearFaceModel:
    """The Basel face model 2009 as Deep3DFaceRecon (Deng et al. 2019) packs it, 80 shape and 64 expression components.

    Its bases are scaled to unit deviation already.

    Args:
        path: ``BFM_model_front.mat``, or the folder that holds it.

    Raises:
        DubbenchError: if the file is absent, damaged or another one.
    """
    from scipy.io import loadmat

    file = path / "BFM_model_front.mat" if path.is_dir() else path
    if not file.is_file():
        raise DubbenchError(f"{file} is not there; bring your own copy of Deep3DFaceRecon's BFM_model_front.mat")
    try:
        held: Mapping[str, NDArray[Any]] = loadmat(file)
        mean = held["meanshape"].reshape(-1, 3)
        shape, expression = (held[name].T.reshape(-1, *mean.shape) for name in ("idBase", "exBase"))
        triangles, landmarks = held["tri"].astype(np.int64) - 1, held["keypoints"].astype(np.int64).reshape(-1) - 1
        return _outside("bfm", mean, shape=shape, expression=expression, triangles=triangles, landmarks=landmarks)
    except DubbenchError:
        raise
    except Exception as error:  # scipy raises many kinds for a damaged file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DubbenchError(f"{file} is not Deep3DFaceRecon's BFM_model_front.mat ({reason}); bring it anew") from error


def _outside(
    source: str,
    mean: NDArray[Any],
    shape: NDArray[Any],
    expression: NDArray[Any],
    triangles: Indices,
    landmarks: Indices,
) -> LinearFaceModel:
    """A model of a source with x right, y up and z to the camera: half a turn about x, which keeps the winding."""
    turn = np.array([1.0, -1.0, -1.0])
    mean, shape, expression = (np.asarray(part, np.float64) * turn for part in (mean, shape, expression))
    points = mean[landmarks]
    if points[36, 0] >= points[45, 0] or points[36, 1] >= points[8, 1] or points[30, 2] >= points[0, 2]:
        raise ValueError("the landmarks are not those of a face that is upright, frontal and y up")
    unit = _unit(mean, landmarks)
    return _model(
        source,
        mean,
        shape=shape,
        expression=expression,
        triangles=triangles,
        landmarks=landmarks,
        regions=regions_of(unit, landmarks),
    )


def _model(
    source: str,
    mean: Vertices,
    shape: Vertices,
    expression: Vertices,
    triangles: Indices,
    landmarks: Indices,
    regions: Regions,
) -> LinearFaceModel:
    """Scale to the outer-eye distance, centre on the landmarks, and wind triangles anticlockwise as the camera sees."""
    scale = _eye_distance(mean, landmarks)
    unit = _unit(mean, landmarks)
    a, b, c = (unit[triangles[:, k], :2] for k in range(3))
    turns = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    if (turns > 0).mean() > 0.5:  # with y down, clockwise on the screen is positive
        triangles = triangles[:, ::-1]
    arrays: dict[str, NDArray[Any]] = {
        "mean": unit,
        "shape_basis": shape / scale,
        "expression_basis": expression / scale,
    }
    arrays |= {"triangles": triangles, "landmarks": landmarks}
    arrays |= {f"region_{name}": vertices for name, vertices in regions.items()}
    return LinearFaceModel({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}, source)


def _unit(mean: Vertices, landmarks: Indices) -> Vertices:
    return np.asarray((mean - mean[landmarks].mean(0)) / _eye_distance(mean, landmarks))


def _eye_distance(mean: Vertices, landmarks: Indices) -> float:
    left, right = mean[landmarks[list(OUTER_EYES)]]
    return float(np.linalg.norm(right - left))


def _procrustes(meshes: NDArray[np.float32], landmarks: Indices) -> NDArray[np.float64]:
    """Generalised Procrustes analysis of [N, V, 3]: every mesh on the common mean by a similarity."""
    stable = np.ones(meshes.shape[1], np.bool_)
    exact = meshes.astype(np.float64)
    mean = exact[0]
    for _ in range(ALIGNMENTS):
        middle = similar(exact, mean, stable).mean(0, keepdims=True)
        mean = _unit(_upright(middle, landmarks)[0], landmarks)
        stable = ~below_nose(mean, landmarks)
    return similar(exact, mean, stable)


def _upright(meshes: Vertices, landmarks: Indices) -> Vertices:
    """Turn meshes [N, V, 3], all alike, so that their mean face looks straight into the camera."""
    points = meshes[:, landmarks].mean(0)
    x = (points[MIRRORED[:, 1]] - points[MIRRORED[:, 0]]).sum(0)
    x /= np.linalg.norm(x)
    drop = points[[48, 54]].mean(0) - points[36:48].mean(0)
    drop -= (drop @ x) * x
    drop /= np.linalg.norm(drop)
    back = np.cross(x, drop)
    angle = np.arctan(MOUTH_FORWARD)
    y = np.cos(angle) * drop + np.sin(angle) * back
    return np.asarray(meshes @ np.stack([x, y, np.cross(x, y)], axis=1))


def _components(deviations: Vertices, freedom: int, most: int) -> Vertices:
    """Principal components of [N, V, 3] with ``freedom`` degrees, each as long as its standard deviation: [C, V, 3]."""
    flat = deviations.reshape(len(deviations), -1)
    if freedom < 1:
        return np.zeros((0, *deviations.shape[1:]))
    if len(flat) < flat.shape[1]:
        lengths, directions = np.linalg.svd(flat, full_matrices=False)[1:]
    else:
        squares, columns = np.linalg.eigh(flat.T @ flat)
        lengths, directions = np.sqrt(np.maximum(squares[::-1], 0)), columns.T[::-1]
    scaled = (directions * (lengths / freedom**0.5)[:, None])[: min(most, freedom)]
    kept = scaled[np.linalg.norm(scaled, axis=1) > LEAST_DEVIATION * deviations.shape[1] ** 0.5]
    # An eigenvector's sign is the library's whim; the largest entry decides it here.
    signs = np.sign(np.take_along_axis(kept, np.abs(kept).argmax(1)[:, None], 1))
    return np.asarray((kept * signs).reshape(-1, *deviations.shape[1:]))
