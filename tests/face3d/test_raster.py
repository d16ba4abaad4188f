import math
import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.face3d import raster

Floats = NDArray[np.float32]
NOT_COVERED = -1


def slow(
    points: Floats, triangles: NDArray[np.int64], colours: Floats, size: int
) -> tuple[Floats, NDArray[np.int32], NDArray[np.int64]]:
    """Every triangle at every pixel in Python floats: image [C, s, s], triangle seen and times covered, both [s, s]."""
    image = np.zeros((colours.shape[1], size, size), np.float32)
    seen = np.full((size, size), NOT_COVERED, np.int32)
    depth = np.full((size, size), np.inf, np.float32)
    times = np.zeros((size, size), np.int64)
    for number, triangle in enumerate(triangles):
        corners = points[triangle]
        if not np.isfinite(corners).all():
            continue
        (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = corners.astype(np.float64).tolist()
        minuend, subtrahend = (x1 - x0) * (y2 - y0), (x2 - x0) * (y1 - y0)
        area = minuend - subtrahend
        if abs(area) < 1e-9 + 1e-12 * (abs(minuend) + abs(subtrahend)):
            continue
        sign = math.copysign(1.0, area)
        scale = 1.0 / abs(area)
        a = (sign * (y1 - y2), sign * (y2 - y0), sign * (y0 - y1))
        slope = (a[0] * z0 + a[1] * z1 + a[2] * z2) * scale
        for row, column in np.ndindex(size, size):
            px, py = column + 0.5, row + 0.5
            if not (min(x0, x1, x2) <= px < max(x0, x1, x2) and min(y0, y1, y2) <= py < max(y0, y1, y2)):
                continue
            e = (
                sign * (x1 * (y2 - py) - x2 * (y1 - py)),
                sign * (x2 * (y0 - py) - x0 * (y2 - py)),
                sign * (x0 * (y1 - py) - x1 * (y0 - py)),
            )
            if min(a[0] * px + e[0], a[1] * px + e[1], a[2] * px + e[2]) < 0:
                continue
            times[row, column] += 1
            z = np.float32(slope * px + (e[0] * z0 + e[1] * z1 + e[2] * z2) * scale)
            if z < depth[row, column]:
                depth[row, column], seen[row, column] = z, number
                image[:, row, column] = mixed(corners, colours[triangle], px, py)
    return np.clip(image, min(colours.min(), 0), max(colours.max(), 0)), seen, times


def mixed(corners: Floats, values: Floats, px: float, py: float) -> Floats:
    """Barycentric colour at a pixel's centre."""
    (x0, y0), (x1, y1), (x2, y2) = (corners[:, :2].astype(np.float64) - [px, py]).tolist()
    v = (x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0)
    scale = 1.0 / (v[0] + v[1] + v[2])
    w = [np.float32(part * scale) for part in v]
    return np.asarray(w[0] * values[0] + w[1] * values[1] + w[2] * values[2], np.float32)


def grid_mesh(side: int, random: np.random.Generator, size: float, shake: float) -> tuple[Floats, NDArray[np.int64]]:
    """A sheet of 2 (side - 1)^2 triangles over the square, its vertices shaken."""
    steps = np.linspace(-0.1 * size, 1.1 * size, side)
    flat = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    flat += random.normal(0, shake, flat.shape)
    points = np.column_stack([flat, random.normal(0, size / 4, len(flat))]).astype(np.float32)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + side], axis=1)
    upper = np.stack([corner + 1, corner + side + 1, corner + side], axis=1)
    return points, np.concatenate([lower, upper])


def check(points: Floats, triangles: NDArray[np.int64], size: int, channels: int = 3) -> None:
    """Compiled and slow agree in every bit."""
    random = np.random.default_rng(0)
    colours = random.uniform(-1, 1, (len(points), channels)).astype(np.float32)
    image, seen, _ = slow(points, triangles, colours, size)
    assert (raster.visible_triangles(points[None], triangles, size)[0] == seen).all()
    drawn = raster.rasterise(points[None], triangles, colours, size)
    assert drawn.dtype == np.float32
    assert drawn[0].tobytes() == image.tobytes()


@pytest.mark.parametrize("seed", range(6))
def test_random_triangles_match_the_slow_reference_exactly(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = int(random.integers(9, 24))
    points = random.uniform(-size / 2, 1.5 * size, (24, 3)).astype(np.float32)
    check(points, random.integers(0, 24, (40, 3)), size, channels=1 + seed % 4)


@pytest.mark.parametrize(("side", "shake"), [(4, 1.0), (12, 0.4), (28, 0.2)])
def test_sheets_match_the_slow_reference_exactly(side: int, shake: float) -> None:
    points, triangles = grid_mesh(side, np.random.default_rng(side), 20, shake)
    check(points, triangles, 20)


@pytest.mark.parametrize(
    "coarse",
    [
        pytest.param(0.5, id="vertices on pixel centres and edges through them"),
        pytest.param(0.25, id="edges through centres"),
    ],
)
def test_ties_match_the_slow_reference_exactly(coarse: float) -> None:
    random = np.random.default_rng(1)
    points = (random.integers(-8, 60, (40, 3)) * coarse).astype(np.float32)
    points[:, 2] = random.integers(0, 3, 40)
    check(points, random.integers(0, 40, (60, 3)), 16)


DEGENERATE = {
    "one point": [[3, 3, 0], [3, 3, 0], [3, 3, 0]],
    "a line through centres": [[0.5, 0.5, 0], [4.5, 4.5, 0], [9.5, 9.5, 0]],
    "a level line": [[0.5, 4.5, 0], [4.5, 4.5, 0], [9.5, 4.5, 0]],
    "off the left": [[-9, 1, 0], [-1, 1, 0], [-4, 9, 0]],
    "off the lower right": [[40, 30, 0], [41, 50, 0], [60, 44, 0]],
    "not a number": [[1, 1, 0], [9, math.nan, 0], [1, 9, 0]],
    "no depth": [[1, 1, 0], [9, 1, math.nan], [1, 9, 0]],
    "infinite": [[1, 1, 0], [math.inf, 1, 0], [1, 9, 0]],
    "minus infinite": [[1, 1, 0], [9, 1, 0], [1, -math.inf, 0]],
    "between centres": [[3.6, 3.6, 0], [4.4, 3.6, 0], [4.0, 4.4, 0]],
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_nothing_is_drawn_of_a_degenerate_triangle(name: str) -> None:
    points = np.array(DEGENERATE[name], np.float32)
    check(points, np.array([[0, 1, 2]]), 12)
    drawn = raster.rasterise(points[None], [[0, 1, 2]], np.ones((3, 2)), 12, background=-0.5)
    assert (drawn == -0.5).all()


def test_huge_and_tiny_triangles_match_the_slow_reference_exactly() -> None:
    huge = np.array([[-3e6, -1e6, -5], [2e6, -2e6, 9], [1e5, 4e6, 3]], np.float32)
    vast = np.array([[-3e30, -1e30, 2e30], [2e38, -2e30, 9], [1e30, 4e30, 1e38]], np.float32)
    tiny = np.array([[5.5, 5.5, -1e5], [5.5001, 5.5, -1e5], [5.5, 5.5001, -1e5]], np.float32)
    sliver = np.array([[0, 0, -9], [12, 12, -9], [6, 6.000001, -9]], np.float32)
    points, triangles = np.concatenate([huge, vast, tiny, sliver]), np.arange(12).reshape(4, 3)
    check(points, triangles, 12)
    seen = raster.visible_triangles(points[None], triangles, 12)[0]
    assert (seen.diagonal() == [3] * 5 + [2] + [3] * 6).all()
    assert (seen[np.tril_indices(12, -1)] == 0).all()


def test_one_pixel() -> None:
    square = np.array([[-1, -1, 0], [3, -1, 0], [-1, 3, 0]], np.float32)
    assert raster.rasterise(square[None], [[0, 1, 2]], [[0.25], [0.25], [0.25]], 1).tolist() == [[[[0.25]]]]


def test_a_sheet_covers_each_pixel_exactly_once_or_ties_to_the_lowest() -> None:
    """Shared edges leave no gap; only centres exactly on an edge are covered twice, and the lower number is seen."""
    points, triangles = grid_mesh(30, np.random.default_rng(3), 40, 0.12)
    _, seen, times = slow(points, triangles, np.zeros((len(points), 1), np.float32), 40)
    assert (times == 1).all()
    assert (raster.visible_triangles(points[None], triangles, 40)[0] == seen).all()
    # Quads of two pixels whose diagonal and sides run through centres.
    steps = np.arange(-1, 12, 2) + 0.5
    flat = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    level = np.column_stack([flat, np.full(len(flat), 7.0)]).astype(np.float32)
    _, triangles = grid_mesh(7, np.random.default_rng(0), 1, 0)
    _, seen, times = slow(level, triangles, np.zeros((len(level), 1), np.float32), 11)
    assert (times >= 1).all()
    assert (times > 1).any()
    assert (raster.visible_triangles(level[None], triangles, 11)[0] == seen).all()
    other = len(triangles) - 1 - raster.visible_triangles(level[None], triangles[::-1], 11)[0]
    assert ((other > seen) == (times > 1)).all()


def test_the_nearest_is_seen_whichever_way_it_faces() -> None:
    far, near = [[0, 0, 5], [8, 0, 5], [0, 8, 5]], [[0, 0, -5], [0, 8, -5], [8, 0, -5]]
    points = np.array(far + near, np.float32)
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]], [[2, 1, 0], [5, 4, 3]]):
        colours = np.array([[1.0]] * 3 + [[2.0]] * 3)
        assert raster.rasterise(points[None], order, colours, 8)[0, 0, 2, 2] == 2


def test_colours_are_interpolated_at_pixel_centres() -> None:
    points = np.array([[-10, -10, 0], [60, -10, 0], [-10, 60, 0]], np.float32)
    colours = points[:, :2] / 100
    drawn = raster.rasterise(points[None], [[0, 1, 2]], colours, 16)[0]
    centres = (np.arange(16) + 0.5) / 100
    np.testing.assert_allclose(drawn[0], np.tile(centres, (16, 1)), atol=1e-6)
    np.testing.assert_allclose(drawn[1], np.tile(centres[:, None], (1, 16)), atol=1e-6)


def test_frames_are_drawn_alone_and_with_any_number_of_threads_alike() -> None:
    random = np.random.default_rng(5)
    points = np.stack([grid_mesh(9, random, 24, 2.0)[0] for _ in range(5)])
    triangles = grid_mesh(9, random, 24, 0)[1]
    colours = random.uniform(0, 1, (81, 3)).astype(np.float32)
    one = raster.pncc_maps(colours, points, triangles, 24)
    assert one.shape == (5, 3, 24, 24)
    assert 0 <= one.min() <= one.max() <= 1
    for threads in (2, 3, 9):
        assert (raster.pncc_maps(colours, points, triangles, 24, threads=threads) == one).all()
    for frame in range(5):
        assert (raster.pncc_maps(colours, points[frame : frame + 1], triangles, 24)[0] == one[frame]).all()
    assert raster.pncc_maps(colours, points[:0], triangles, 24).shape == (0, 3, 24, 24)
    used = np.full((5, 3, 24, 24), 7, np.float32)
    assert raster.pncc_maps(colours, points, triangles, 24, out=used) is used
    assert (used == one).all()
    with pytest.raises(DubbenchError, match=r"give contiguous float32 .5, 3, 24, 24."):
        raster.pncc_maps(colours, points, triangles, 24, out=used[:4])


def test_lip_mask_is_the_widened_hull() -> None:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([32.3 + 14 * np.cos(angles), 40.7 + 6 * np.sin(angles)], axis=-1)[None]
    rows, columns = np.mgrid[:64, :64] + 0.5

    def inside(wider: float) -> NDArray[np.bool_]:
        return np.asarray(((columns - 32.3) / (14 + wider)) ** 2 + ((rows - 40.7) / (6 + wider)) ** 2 <= 1)

    bare, wide = (raster.lip_masks(ring, 64, margin)[0, 0] for margin in (0.0, 4 / 64))
    for mask, wider in ((bare, 0.0), (wide, 4.0)):
        assert set(np.unique(mask)) == {0.0, 1.0}
        assert (mask[inside(wider - 1)] == 1).all()
        assert (mask[~inside(wider + 1.2)] == 0).all()
    assert raster.lip_masks(ring * math.nan, 64).max() == 0
    assert raster.lip_masks(ring + 900, 64).max() == 0
    assert raster.lip_masks(np.repeat(ring, 3, axis=0), 64).shape == (3, 1, 64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 3)), [[0, 1, 2]], np.zeros((3, 1)), 8), "vertices of shape .3, 3. .* give .N, V, 3."),
        ((np.zeros((1, 3, 3)), [[0, 1, 3]], np.zeros((3, 1)), 8), "name vertices 0 to 3 of 3; give the vertices"),
        ((np.zeros((1, 3, 3)), [[0, 1, -1]], np.zeros((3, 1)), 8), "name vertices -1 to 1 of 3"),
        ((np.zeros((1, 3, 3)), [[0.0, 1, 2]], np.zeros((3, 1)), 8), "triangles float64"),
        ((np.zeros((1, 3, 3)), [[0, 1, 2]], np.zeros((4, 1)), 8), "colours .4, 1. do not suit 3"),
        ((np.zeros((1, 3, 3)), [[0, 1, 2]], np.full((3, 1), np.nan), 8), "a colour to draw with is not finite"),
        ((np.zeros((1, 3, 3)), [[0, 1, 2]], np.zeros((3, 1)), 0), "0 pixels cannot be drawn"),
    ],
)
def test_what_cannot_be_drawn(arguments: tuple[object, object, object, int], message: str) -> None:
    vertices, triangles, colours, size = arguments
    with pytest.raises(DubbenchError, match=message):
        raster.rasterise(vertices, triangles, colours, size)  # type: ignore[arg-type]  # wrong on purpose


def drawn_in_child(points: Floats) -> bytes:
    return raster.rasterise(points, [[0, 1, 2]], np.eye(3), 16).tobytes()


def test_draws_in_a_forked_process() -> None:
    points = np.array([[[1, 2, 0], [14, 3, 0], [5, 15, 0]]], np.float32)
    here = drawn_in_child(points)
    raster.rasterise(np.repeat(points, 4, axis=0), [[0, 1, 2]], np.eye(3), 16, threads=2)
    with get_context("fork").Pool(1) as pool:
        assert pool.apply(drawn_in_child, (points,)) == here


def test_serves_where_nothing_can_be_written(tmp_path: Path) -> None:
    """numba refuses to cache when it finds no folder to write to; that must not stop an import."""
    program = (
        "import numba.core.caching as caching\n"
        "caching._CacheLocator.ensure_cache_path = lambda self: (_ for _ in ()).throw(OSError('read-only'))\n"
        "from dubbench.face3d import raster\n"
        "print(raster.lip_masks([[[0, 0], [9, 0], [0, 9]]], 4).max())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ), check=False
    )
    assert ran.stdout.strip() == "1.0", ran.stderr
