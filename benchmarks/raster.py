"""Time PNCC maps of 256 pixels against bare compiled loops over the pixels that they cover.

python -m benchmarks.raster [--ict FACE.npz --ict_indices INDICES.json]

The bare loop is told which triangle each covered pixel shows. It visits each pixel once, interpolates the three colours
of that triangle at its centre, and writes them. The barest loop is told the weights of the interpolation too. Neither
looks for pixels, compares depths, nor clears the picture. All three write to memory that is already there; apart from
that all of `pncc_maps` is timed. Calls are taken in turns on one thread. Medians of processor time, which other
programs disturb little.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray
from skimage import data

from dubbench.face.landmarks import FaceMesh, points_68
from dubbench.face3d.mesh_topology import mesh_triangles
from dubbench.face3d.raster import pncc_maps, visible_triangles
from dubbench.face3d.sources import load_ict

LIMIT = 3.0
SIZE = 256
EYES = 92.0  # between the outer corners, in an aligned square of 256 pixels
DENSE = 97  # 9,409 vertices
Arrays = NDArray[np.float32]
Mesh = tuple[NDArray[np.float64], NDArray[np.int64], float]


def photographed() -> Mesh:
    """MediaPipe's mesh of a photographed face: vertices, triangles, distance of the outer eye corners."""
    photograph = np.asarray(data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]  # scikit-image has no types
    with FaceMesh() as detector:
        mesh = detector.detect(photograph)[0].astype(np.float64)
    points = points_68(mesh)
    return mesh[:468], mesh_triangles(mesh[:468]), float(np.linalg.norm(points[36] - points[45]))


def dome() -> Mesh:
    """A face-sized half ellipsoid of 9,409 vertices, for machines without a dense face model."""
    steps = np.linspace(-1, 1, DENSE)
    square = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    # The square's rings become the disc's circles.
    radius, length = np.abs(square).max(axis=1), np.linalg.norm(square, axis=1)
    disc = square * (radius / np.maximum(length, 1e-9))[:, None]
    vertices = np.column_stack([disc * [0.8, 1.05], -0.7 * np.sqrt(np.maximum(1 - radius**2, 0))])
    corner = (np.arange(DENSE - 1)[:, None] * DENSE + np.arange(DENSE - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + DENSE], axis=1)
    upper = np.stack([corner + 1, corner + DENSE + 1, corner + DENSE], axis=1)
    return vertices, np.stack([lower, upper], axis=1).reshape(-1, 3), 1.0


def ict(path: Path, indices: Path) -> Mesh:
    """ICT-FaceKit's mean face."""
    model = load_ict(path, indices)
    return model.mean.numpy().astype(np.float64), model.triangles.numpy(), 1.0


def placed(vertices: NDArray[np.float64], eyes: float) -> Arrays:
    """Turned a little to the side, as large as in an aligned square: [1, V, 3]."""
    turn, _ = cv2.Rodrigues(np.array([0.05, 0.2, 0.02]))
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    points = (vertices - middle) @ turn.T * EYES / eyes + [SIZE / 2, SIZE / 2, 0]
    return np.ascontiguousarray(points[None], np.float32)


@njit(nogil=True, error_model="numpy")
def bare(points, triangles, pixels, seen, colours, image):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    for n in range(len(pixels)):
        px, py = pixels[n] % np.uint32(SIZE) + 0.5, pixels[n] // np.uint32(SIZE) + 0.5
        i, j, k = triangles[seen[n], 0], triangles[seen[n], 1], triangles[seen[n], 2]
        x0, y0, x1, y1 = points[i, 0] - px, points[i, 1] - py, points[j, 0] - px, points[j, 1] - py
        x2, y2 = points[k, 0] - px, points[k, 1] - py
        v0, v1, v2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
        scale = 1.0 / (v0 + v1 + v2)
        w0, w1, w2 = np.float32(v0 * scale), np.float32(v1 * scale), np.float32(v2 * scale)
        for channel in range(colours.shape[1]):
            image[channel, pixels[n]] = w0 * colours[i, channel] + w1 * colours[j, channel] + w2 * colours[k, channel]


@njit(nogil=True, error_model="numpy")
def barest(weights, triangles, pixels, seen, colours, image):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    for n in range(len(pixels)):
        i, j, k = triangles[seen[n], 0], triangles[seen[n], 1], triangles[seen[n], 2]
        w0, w1, w2 = weights[n, 0], weights[n, 1], weights[n, 2]
        for channel in range(colours.shape[1]):
            image[channel, pixels[n]] = w0 * colours[i, channel] + w1 * colours[j, channel] + w2 * colours[k, channel]


def seconds(calls: list[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each call, taken in turns."""
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 3):
        for call, times in zip(calls, taken, strict=True):
            start = time.thread_time()
            call()
            if turn >= 3:  # before, code and memory warm up
                times.append(time.thread_time() - start)
    return [median(times) for times in taken]


def measure(name: str, mesh: Mesh, rounds: int) -> float:
    """Print one mesh's times; returns the ratio to the bare loop."""
    vertices, triangles, eyes = mesh
    points = placed(vertices, eyes)
    colours = ((vertices - vertices.min(axis=0)) / np.ptp(vertices, axis=0)).astype(np.float32)
    numbers = visible_triangles(points, triangles, SIZE).ravel()
    pixels = np.flatnonzero(numbers >= 0).astype(np.uint32)
    seen, faces = numbers[pixels].astype(np.uint32), triangles.astype(np.uint32)
    image, other = (np.zeros((3, SIZE * SIZE), np.float32) for _ in range(2))
    maps = np.empty((1, 3, SIZE, SIZE), np.float32)
    weights = np.full((len(pixels), 3), 1 / 3, np.float32)
    whole, told, all_told = seconds(
        [
            lambda: pncc_maps(colours, points, faces, SIZE, out=maps),
            lambda: bare(points[0], faces, pixels, seen, colours, image),
            lambda: barest(weights, faces, pixels, seen, colours, other),
        ],
        rounds,
    )
    np.testing.assert_allclose(image, maps[0].reshape(3, -1), atol=1e-6)
    print(f"{name}: {len(vertices)} vertices, {len(triangles)} triangles, {len(pixels)} pixels covered")
    print(f"  pncc_maps    {1e6 * whole:7.0f} us")
    print(f"  bare loop    {1e6 * told:7.0f} us  ratio {whole / told:.2f}  (limit {LIMIT:g})")
    print(f"  barest loop  {1e6 * all_told:7.0f} us  ratio {whole / all_told:.2f}")
    return whole / told


def main() -> int:
    """Print times and ratios; status 1 if a map takes more than `LIMIT` times as long as the bare loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ict", type=Path, help="ICT-FaceKit arrays; without them a dome of as many vertices")
    parser.add_argument("--ict_indices", type=Path, help="its landmarks and names")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    dense = ("ict", ict(options.ict, options.ict_indices)) if options.ict else ("dome", dome())
    ratios = [measure(name, mesh, options.rounds) for name, mesh in (("mesh", photographed()), dense)]
    return int(max(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
