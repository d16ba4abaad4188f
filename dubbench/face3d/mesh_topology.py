"""What MediaPipe says about the vertices of its face mesh: triangles, lips, eyes and oval."""

from functools import lru_cache

import numpy as np

from dubbench.face3d.regions import INNER_LIPS, Indices, Regions, Vertices, below_nose, within

MESH_VERTICES = 468


def mesh_triangles(mean: Vertices) -> Indices:
    """Triangles [898, 3] of the mesh, mouth and eyes closed, wound as MediaPipe lists them.

    MediaPipe lists the tessellation edge by edge, three to a triangle. It leaves holes in mouth and eyes; their two
    rims are sewn together here, as in MediaPipe's canonical face, so that an open mouth is surface too.

    Args:
        mean: mean face [468, 3], in any position that has x to the right.
    """
    edges = _connections("TESSELATION")
    triangles = edges.reshape(-1, 3, 2)[:, :, 0]
    rims = sorted(_rims(triangles), key=len)[:-1]  # the longest rim is the outline of the face
    return np.concatenate([triangles, *(_sewn(rim, mean) for rim in rims)])


def mesh_regions(mean: Vertices, landmarks: Indices) -> Regions:
    """Regions by MediaPipe's names; the lower face is all below the nose base of ``mean`` [468, 3], and the lips."""
    points = mean[landmarks]
    named = np.unique(_connections("LIPS"))
    lips = np.union1d(named, within(mean, points[48:60]))
    return {
        "lips": lips,
        "inner_mouth": _ring(_connections("LIPS"), int(landmarks[INNER_LIPS[0]])),
        "lower_face": np.union1d(np.flatnonzero(below_nose(mean, landmarks)), lips),
        "contour": np.unique(_connections("FACE_OVAL")),
        "eyes": np.unique(np.concatenate([_connections("LEFT_EYE"), _connections("RIGHT_EYE")])),
    }


@lru_cache
def _connections(name: str) -> Indices:
    """A set of MediaPipe's edges, [N, 2], in MediaPipe's order."""
    from mediapipe.tasks.python.vision.face_landmarker import FaceLandmarksConnections

    edges = getattr(FaceLandmarksConnections, f"FACE_LANDMARKS_{name}")
    return np.array([(edge.start, edge.end) for edge in edges], np.int64)


def _ring(edges: Indices, member: int) -> Indices:
    """Sorted vertices that edges [N, 2] join to one of them."""
    ring = {member}
    while True:
        touched = np.isin(edges, list(ring)).any(1)
        grown = set(edges[touched].ravel().tolist()) | ring
        if grown == ring:
            return np.array(sorted(ring), np.int64)
        ring = grown


def _rims(triangles: Indices) -> list[list[int]]:
    """Closed chains of the edges that one triangle only has, in the sense in which it lacks its neighbour."""
    directed = {(int(t[k]), int(t[(k + 1) % 3])) for t in triangles for k in range(3)}
    after = {end: start for start, end in directed if (end, start) not in directed}
    rims = []
    while after:
        rim = [next(iter(after))]
        while (following := after.pop(rim[-1])) != rim[0]:
            rim.append(following)
        rims.append(rim)
    return rims


def _sewn(rim: list[int], mean: Vertices) -> Indices:
    """Close a hole by a strip between the two chains from its leftmost to its rightmost vertex."""
    left, right = (rim.index(pick(rim, key=lambda n: mean[n, 0])) for pick in (min, max))
    turned = rim[left:] + rim[:left]
    middle = (right - left) % len(rim)
    one, other = turned[: middle + 1], [turned[0], *turned[:middle:-1], turned[middle]]
    strip = []
    i = j = 0
    while i < len(one) - 1 or j < len(other) - 1:
        if j == len(other) - 1 or (i < len(one) - 1 and i * (len(other) - 1) <= j * (len(one) - 1)):
            strip.append((one[i], one[i + 1], other[j]))
            i += 1
        else:
            strip.append((one[i], other[j + 1], other[j]))
            j += 1
    return np.array([triangle for triangle in strip if len(set(triangle)) == 3], np.int64)
