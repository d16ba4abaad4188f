"""Z-buffer rasteriser for face meshes: PNCC maps and lip masks, compiled by numba.

What is drawn, to the last bit, in float64 on float32 vertices:

- Pixel (row r, column c) is looked at in its centre, (c + 0.5, r + 0.5) in the continuous coordinates of the square.
- A centre belongs to a triangle if it lies inside or on an edge, is not right of or at its rightmost vertex, and not
  below or at its lowest. Edges are evaluated the same way from both sides, so a mesh has neither seams nor holes.
- Of all triangles at a pixel, whichever way they face, the nearest (smallest depth, in float32) is seen; of equal
  ones, that of the lowest index.
- Triangles with a vertex that is not finite, or too thin for float64 (`MIN_AREA`, `MIN_SHARE`), are not drawn.

Frames are independent of each other, and the code holds no lock and no threads of its own, so it serves in forked
loader workers as well as in threads.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from dubbench.errors import DubbenchError

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]

# Twice the area of the thinnest triangle drawn: in square pixels, and in parts of the products it is the difference of.
MIN_AREA, MIN_SHARE = 1e-9, 1e-12
MAX_SIZE = 16_384
LIP_MARGIN = 0.03
EMPTY = np.int64(2**63 - 1)
NOWHERE = 2**15 - 1
SUBPIXEL = 8


def rasterise(
    vertices: ArrayLike,
    triangles: ArrayLike,
    colours: ArrayLike,
    size: int,
    background: float = 0.0,
    threads: int = 1,
    out: Floats | None = None,
) -> Floats:
    """Draw a mesh with interpolated vertex colours, a frame for each set of vertices.

    Args:
        vertices: [N, V, 3] x right and y down in pixels of the square, z depth, nearer is smaller.
        triangles: [F, 3] vertex numbers, either winding; uint32 is taken as it is, all else is copied.
        colours: [V, C].
        size: side of the square in pixels, 1 to 16384.
        background: value of pixels that no triangle covers.
        threads: frames drawn at a time; 1 starts no thread.
        out: contiguous float32 [N, C, size, size] to draw into, by default fresh memory.

    Returns:
        float32 [N, C, size, size], ``out`` if it was given; no value lies beyond those of ``colours`` and
        ``background``.

    Raises:
        DubbenchError: if shapes or vertex numbers do not fit each other, or a colour is not finite.
    """
    points, faces = _checked(vertices, triangles, size)
    values = np.ascontiguousarray(colours, np.float32)
    if values.ndim != 2 or len(values) != points.shape[1] or not values.size:
        raise DubbenchError(f"colours {list(values.shape)} do not suit {points.shape[1]} vertices; give [V, C]")
    low, high = min(values.min(), np.float32(background)), max(values.max(), np.float32(background))
    if not np.isfinite([low, high]).all():
        raise DubbenchError("a colour to draw with is not finite; give those of a face model")
    shape = (len(points), values.shape[1], size, size)
    drawn = np.empty(shape, np.float32) if out is None else out
    if drawn.shape != shape or drawn.dtype != np.float32 or not drawn.flags.c_contiguous:
        raise DubbenchError(f"out is {drawn.dtype} {list(drawn.shape)}; give contiguous float32 {list(shape)}")
    drawn.fill(background)
    images = drawn.reshape(*shape[:2], size * size)
    _spread(
        lambda part: _draw(points[part], faces, values, low, high, size, images[part], *_scratch(points, faces, size)),
        len(points),
        threads,
    )
    return drawn


def visible_triangles(vertices: ArrayLike, triangles: ArrayLike, size: int, threads: int = 1) -> NDArray[np.int32]:
    """Number of the triangle that each pixel shows: int32 [N, size, size], -1 for none; arguments as `rasterise`."""
    points, faces = _checked(vertices, triangles, size)
    numbers = np.empty((len(points), size * size), np.int32)
    _spread(
        lambda part: _identify(points[part], faces, size, numbers[part], *_scratch(points, faces, size)),
        len(points),
        threads,
    )
    return numbers.reshape(len(points), size, size)


def pncc_maps(
    pncc: ArrayLike,
    vertices: ArrayLike,
    triangles: ArrayLike,
    size: int,
    threads: int = 1,
    out: Floats | None = None,
) -> Floats:
    """Projected normalised coordinate code (Zhu et al. 2017, section 3.2.2), the geometry map of PersonaTalk 3.1.

    Args:
        pncc: [V, 3] mean face normalised to [0, 1] per axis, `LinearFaceModel.pncc`.
        vertices: [N, V, 3] projected vertices as for `rasterise`.
        triangles: [F, 3] vertex numbers.
        size: side of the maps in pixels.
        threads: frames drawn at a time.
        out: contiguous float32 [N, 3, size, size] to draw into, by default fresh memory.

    Returns:
        float32 [N, 3, size, size] in [0, 1], 0 beside the face.
    """
    return rasterise(vertices, triangles, pncc, size, threads=threads, out=out)


def lip_masks(lips: ArrayLike, size: int, margin: float = LIP_MARGIN) -> Floats:
    """Lip masks M^l of PersonaTalk's eq. 4: lips and what lies between them, with a margin.

    The paper does not say how it makes the mask. This is the convex hull of the lips' vertices, so it holds the inner
    mouth whichever way the mouth is open, widened so that it holds the lips of a slightly wrong geometry too.

    Args:
        lips: [N, K, 2 or more] projected vertices of the region ``lips``, x right and y down in pixels of the square.
        size: side of the masks in pixels.
        margin: by how much the hull is widened, in parts of ``size``.

    Returns:
        float32 [N, 1, size, size] of 0 and 1; 0 throughout where a vertex is not finite.
    """
    points = np.asarray(lips, np.float32)
    if points.ndim != 3 or points.shape[1] < 1 or points.shape[2] < 2 or not 1 <= size <= MAX_SIZE:
        raise DubbenchError(f"lips of shape {list(points.shape)} give no mask of {size} pixels; give [N, K, 2]")
    masks = np.zeros((len(points), size, size), np.uint8)
    reach = round(margin * size)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    for mask, frame in zip(masks, points[..., :2], strict=True):
        if np.isfinite(frame).all():
            # OpenCV counts from pixel centres, and from further away than this its integers overflow.
            hull = cv2.convexHull(np.clip(frame - 0.5, -2 * MAX_SIZE, 2 * MAX_SIZE))
            cv2.fillConvexPoly(mask, np.round(hull * 2**SUBPIXEL).astype(np.int32), (1,), cv2.LINE_8, SUBPIXEL)
            cv2.dilate(mask, disc, dst=mask)
    return masks[:, None].astype(np.float32)


def _checked(vertices: ArrayLike, triangles: ArrayLike, size: int) -> tuple[Floats, NDArray[np.uint32]]:
    """Both as the compiled code wants them; it trusts every number."""
    points, faces = np.ascontiguousarray(vertices, np.float32), np.asarray(triangles)
    if points.ndim != 3 or points.shape[2] != 3:
        raise DubbenchError(f"vertices of shape {list(points.shape)} cannot be drawn; give [N, V, 3]")
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise DubbenchError(f"triangles {faces.dtype} {list(faces.shape)} cannot be drawn; give whole numbers [F, 3]")
    if not 1 <= size <= MAX_SIZE:
        raise DubbenchError(f"a square of {size} pixels cannot be drawn; take 1 to {MAX_SIZE}")
    # Unsigned: numba then leaves out its check for indices from the end, and a negative number becomes a huge one.
    numbers = np.ascontiguousarray(faces, np.uint32)
    if numbers.size and numbers.max() >= points.shape[1]:
        raise DubbenchError(
            f"triangles name vertices {faces.min()} to {faces.max()} of {points.shape[1]}; give the vertices of the "
            "face model that the triangles belong to"
        )
    return points, numbers


def _spread(work: Callable[[slice], object], count: int, threads: int) -> None:
    """Do frames 0 to ``count - 1`` in as many parts as there are threads."""
    parts = max(1, min(threads, count))
    if parts == 1:
        work(slice(0, count))
        return
    bounds = [count * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(work, [slice(*pair) for pair in pairwise(bounds)]))


class _Memory(threading.local):
    """What a thread draws with, kept from call to call: fresh memory costs as much as drawing a small mesh."""

    vertices = triangles = pixels = -1
    arrays: tuple[NDArray[Any], ...]


_memory = _Memory()


def _scratch(points: Floats, triangles: NDArray[np.uint32], size: int) -> tuple[NDArray[Any], ...]:
    """Columns and rows of the vertices, triangles to draw, and keys of the pixels."""
    wanted = points.shape[1], len(triangles), size * size
    if wanted != (_memory.vertices, _memory.triangles, _memory.pixels):
        _memory.vertices, _memory.triangles, _memory.pixels = wanted
        cells = np.empty((2, wanted[0]), np.int16)
        _memory.arrays = *cells, np.empty(wanted[1], np.uint32), np.empty(wanted[2], np.int64)
    return _memory.arrays


def _compiled(function: Function) -> Function:
    """Compile on the first call; the result is kept in ``NUMBA_CACHE_DIR``, beside this file or in the user's cache.

    Where none of them can be written, numba refuses to cache, and every process compiles for itself.
    """
    try:
        return cast(Function, njit(function, nogil=True, error_model="numpy", cache=True))
    except RuntimeError:
        return cast(Function, njit(function, nogil=True, error_model="numpy"))


@_compiled
def _cells(points: Floats, size: int, columns: NDArray[np.int16], rows: NDArray[np.int16]) -> None:
    """First pixel column and row whose centre is not left of or above each vertex, or `NOWHERE`."""
    half, zero, side = np.float32(0.5), np.float32(0), np.float32(size)
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        finite = (x - x == 0) & (y - y == 0) & (z - z == 0)
        columns[i] = np.int16(np.ceil(min(max(x - half, zero), side))) if finite else np.int16(NOWHERE)
        rows[i] = np.int16(np.ceil(min(max(y - half, zero), side))) if finite else np.int16(NOWHERE)


@_compiled
def _between_centres(
    triangles: NDArray[np.uint32], columns: NDArray[np.int16], rows: NDArray[np.int16], listed: NDArray[np.uint32]
) -> int:
    """List the triangles whose box holds a pixel centre; returns their number.

    Half of the triangles of a dense mesh hold none. Without a branch, the list costs a nanosecond each.
    """
    count = 0
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        narrow = (columns[i] == columns[j]) & (columns[j] == columns[k])
        flat = (rows[i] == rows[j]) & (rows[j] == rows[k])
        listed[count] = t
        count += not (narrow | flat)
    return count


@_compiled
def _nearest(
    points: Floats,
    triangles: NDArray[np.uint32],
    size: int,
    columns: NDArray[np.int16],
    rows: NDArray[np.int16],
    listed: NDArray[np.uint32],
    keys: NDArray[np.int64],
) -> None:
    """Z-buffer of one frame: each pixel's least key, of depth before triangle number, or `EMPTY`."""
    keys[:] = EMPTY
    _cells(points, size, columns, rows)
    for n in range(_between_centres(triangles, columns, rows, listed)):
        t = listed[n]
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        left = np.int64(min(columns[i], min(columns[j], columns[k])))
        right = np.int64(max(columns[i], max(columns[j], columns[k])))
        top = np.int64(min(rows[i], min(rows[j], rows[k])))
        bottom = np.int64(max(rows[i], max(rows[j], rows[k])))
        if right > size:
            continue
        x0, y0, z0 = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
        x1, y1, z1 = np.float64(points[j, 0]), np.float64(points[j, 1]), np.float64(points[j, 2])
        x2, y2, z2 = np.float64(points[k, 0]), np.float64(points[k, 1]), np.float64(points[k, 2])
        minuend, subtrahend = (x1 - x0) * (y2 - y0), (x2 - x0) * (y1 - y0)
        area = minuend - subtrahend
        if abs(area) < MIN_AREA + MIN_SHARE * (abs(minuend) + abs(subtrahend)):
            continue
        sign = 1.0 if area > 0 else -1.0
        scale = 1.0 / abs(area)
        a0, a1, a2 = sign * (y1 - y2), sign * (y2 - y0), sign * (y0 - y1)
        slope = (a0 * z0 + a1 * z1 + a2 * z2) * scale
        for row in range(top, bottom):
            py = row + 0.5
            d0, d1, d2 = y0 - py, y1 - py, y2 - py
            e0, e1, e2 = sign * (x1 * d2 - x2 * d1), sign * (x2 * d0 - x0 * d2), sign * (x0 * d1 - x1 * d0)
            offset = (e0 * z0 + e1 * z1 + e2 * z2) * scale
            for column in range(left, right):
                px = column + 0.5
                inside = (a0 * px + e0 >= 0) & (a1 * px + e1 >= 0) & (a2 * px + e2 >= 0)
                key = _key(np.float32(slope * px + offset), t)
                # Choosing a value instead of a way lets the compiler take several pixels at once.
                pixel = np.uint64(row * size + column)
                keys[pixel] = min(keys[pixel], key if inside else EMPTY)


@_compiled
def _key(depth: np.float32, triangle: np.uint32) -> np.int64:
    """Number that sorts by depth and then by triangle: a float's bits, turned round for negative ones, sort as ints."""
    bits = np.int64(np.float32(depth + np.float32(0)).view(np.int32))  # -0 becomes 0
    return np.int64(((bits ^ ((bits >> 31) & np.int64(0x7FFFFFFF))) << 32) | np.int64(triangle))


@_compiled
def _colour(
    points: Floats,
    triangles: NDArray[np.uint32],
    keys: NDArray[np.int64],
    colours: Floats,
    low: np.float32,
    high: np.float32,
    size: int,
    image: Floats,
) -> None:
    """Interpolate the colours of the triangles that are seen: what is hidden costs no interpolation."""
    for row in range(size):
        py = row + 0.5
        for column in range(size):
            pixel = np.uint64(row * size + column)
            if keys[pixel] == EMPTY:
                continue
            px = column + 0.5
            t = np.uint64(keys[pixel] & np.int64(0xFFFFFFFF))
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            # Seen from the pixel, the weights are exact to the last digits for the thinnest triangle.
            x0, y0 = np.float64(points[i, 0]) - px, np.float64(points[i, 1]) - py
            x1, y1 = np.float64(points[j, 0]) - px, np.float64(points[j, 1]) - py
            x2, y2 = np.float64(points[k, 0]) - px, np.float64(points[k, 1]) - py
            v0, v1, v2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
            scale = 1.0 / (v0 + v1 + v2)
            w0, w1, w2 = np.float32(v0 * scale), np.float32(v1 * scale), np.float32(v2 * scale)
            for channel in range(colours.shape[1]):
                image[channel, pixel] = w0 * colours[i, channel] + w1 * colours[j, channel] + w2 * colours[k, channel]
        # The three weights add up to 1 but for their last digit. In a loop of its own this costs next to nothing.
        for channel in range(colours.shape[1]):
            for column in range(size):
                pixel = np.uint64(row * size + column)
                image[channel, pixel] = min(max(image[channel, pixel], low), high)


@_compiled
def _draw(
    vertices: Floats,
    triangles: NDArray[np.uint32],
    colours: Floats,
    low: np.float32,
    high: np.float32,
    size: int,
    images: Floats,
    columns: NDArray[np.int16],
    rows: NDArray[np.int16],
    listed: NDArray[np.uint32],
    keys: NDArray[np.int64],
) -> None:
    """Draw frames one after the other."""
    for frame in range(len(vertices)):
        _nearest(vertices[frame], triangles, size, columns, rows, listed, keys)
        _colour(vertices[frame], triangles, keys, colours, low, high, size, images[frame])


@_compiled
def _identify(
    vertices: Floats,
    triangles: NDArray[np.uint32],
    size: int,
    numbers: NDArray[np.int32],
    columns: NDArray[np.int16],
    rows: NDArray[np.int16],
    listed: NDArray[np.uint32],
    keys: NDArray[np.int64],
) -> None:
    """Write the numbers of the triangles that are seen in each frame."""
    for frame in range(len(vertices)):
        _nearest(vertices[frame], triangles, size, columns, rows, listed, keys)
        for pixel in range(size * size):
            seen = keys[pixel] != EMPTY
            numbers[frame, pixel] = np.int32(keys[pixel] & np.int64(0xFFFFFFFF)) if seen else np.int32(-1)
