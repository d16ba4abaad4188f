"""Small face models made by hand."""

import numpy as np
import torch

from dubbench.face3d.model import LinearFaceModel


def face_model(seed: int = 0, vertices: int = 90, shapes: int = 3, expressions: int = 4) -> LinearFaceModel:
    """A cloud of vertices on a bowl, smooth in nothing but its mean."""
    random = np.random.default_rng(seed)
    mean = random.uniform(-0.8, 0.8, (vertices, 3))
    mean[:, 2] = 0.6 * np.square(mean[:, :2]).sum(1)
    indices = np.arange(vertices)
    arrays = {
        "mean": mean,
        "shape_basis": random.normal(0, 0.03, (shapes, vertices, 3)),
        "expression_basis": random.normal(0, 0.03, (expressions, vertices, 3)),
        "triangles": random.integers(0, vertices, (40, 3)),
        "landmarks": random.permutation(vertices)[:68],
        "region_lips": indices[20:30],
        "region_inner_mouth": indices[24:28],
        "region_lower_face": indices[10:50],
        "region_contour": indices[:9],
        "region_eyes": indices[60:70],
    }
    return LinearFaceModel({name: torch.from_numpy(array) for name, array in arrays.items()}, "bfm")
