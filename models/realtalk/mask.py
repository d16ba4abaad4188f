"""RealTalk's learnable mask (3.2, eq. 5), drawn from the vertices of a predicted expression, and the mask of the teeth.

"Learnable" is the expression: the region itself has nothing to learn. 3.2 names "predetermined sectional points" of
face contour, mouth and neck without listing them. Here they are the model's landmarks of the jaw, moved outwards and at
the chin down over the neck, and of the nose.
"""

import torch
from torch import Tensor

from dubbench.face3d.model import LinearFaceModel, project
from dubbench.models.layers.lower_face import lower_face_outline
from dubbench.models.layers.polygon import fill

INNER_LIPS = slice(60, 68)  # of iBUG's 68 landmarks


def learnable_mask(face: LinearFaceModel, shape: Tensor, expression: Tensor, pose: Tensor, *, size: int) -> Tensor:
    """M of eqs. 5 and 8: 0 inside the region, which is generated, and 1 outside, which is kept.

    Args:
        face: the face model.
        shape: [N, S].
        expression: [N, E], what the renderer draws from: the predicted one when dubbing and late in training, before
            that the frame's own.
        pose: [N, 6].
        size: side of the frames in pixels.

    Returns:
        float32 [N, 1, size, size].
    """
    # The landmarks' vertices alone, of a model that may have 35,709.
    bases = torch.cat([basis[:, face.landmarks] for basis in (face.shape_basis, face.expression_basis)])
    coefficients = torch.cat([shape, expression], 1).to(bases.dtype)
    with torch.autocast(bases.device.type, enabled=False):
        landmarks = face.mean[face.landmarks] + torch.einsum("nk,kvc->nvc", coefficients, bases)
    outline = lower_face_outline(project(landmarks, pose, size)[..., :2])
    return (~fill(outline, size)).float()


def teeth_mask(points: Tensor, size: int) -> Tensor:
    """M' of eq. 9: 1 where teeth can show.

    The paper does not say how it finds them. Here it is what the inner lips enclose, empty where the mouth is closed.

    Args:
        points: landmarks of the frames themselves [N, 68, 2] in pixels.
        size: side of the frames in pixels.

    Returns:
        float32 [N, 1, size, size].
    """
    return fill(points[:, INNER_LIPS], size).float()
