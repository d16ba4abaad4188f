"""Both stages of RealTalk as one generator, and what the renderer takes: coefficients, and the mask of what it sees."""

from typing import cast

import torch
from torch import Tensor, nn

from dubbench.face3d.model import LinearFaceModel
from dubbench.models.layers.constants import constant
from dubbench.models.realtalk.expression import AudioToExpression, padded
from dubbench.models.realtalk.mask import learnable_mask
from dubbench.models.realtalk.renderer import Renderer
from dubbench.models.two_stages import TwoStages

# Poses of aligned faces, in the units and order of `Batch`, vary little about these; without the change of scale the
# translations alone would be heard. Means and deviations over 22 speakers of GRID, HDTF and VoxCeleb2, rounded.
USUAL_POSE = (0.0, 0.0, 0.0, 128.0, 160.0, 4.45)
POSE_DEVIATION = (0.2, 0.2, 0.05, 1.0, 2.0, 0.05)


class RealTalkStages(TwoStages):
    """The audio-to-expression transformer (3.1) and the expression-to-face renderer (3.2)."""

    first_stage = "expression"
    renderer: Renderer

    def __init__(self, expression: AudioToExpression, renderer: Renderer) -> None:
        super().__init__()
        self.expression, self.renderer = expression, renderer


def stages_of(generator: nn.Module) -> RealTalkStages:
    """A generator, or the average of one, as what it is: its own type is lost on the way."""
    return cast(RealTalkStages, generator)


def render_coefficients(shape: Tensor, expression: Tensor, pose: Tensor, sizes: tuple[int, int]) -> Tensor:
    """What the renderer's MLPs take, {alpha, beta, rho}, each of about unit deviation (3.2).

    Args:
        shape: alpha [..., n], n at most S.
        expression: beta [..., n], n at most E.
        pose: rho [..., 6], as `Batch` has it.
        sizes: S and E, which shape and expression are padded to.

    Returns:
        [..., S + E + 6].
    """
    usual = (pose - constant(USUAL_POSE, pose)) / constant(POSE_DEVIATION, pose)
    return torch.cat([padded(shape, sizes[0]), padded(expression, sizes[1]), usual], -1)


def keep_mask(
    face: LinearFaceModel, shape: Tensor, expression: Tensor, pose: Tensor, *, size: int, learnable: bool
) -> Tensor:
    """M of eqs. 5 and 8: [N, 1, size, size], 1 where the source is kept.

    Args:
        face: face model of the coefficients.
        shape: [N, S].
        expression: [N, E]; what the face model does not have is not looked at.
        pose: [N, 6].
        size: side of the frames.
        learnable: eq. 5; else Table 6's naive mask of the lower half.
    """
    if learnable:
        return learnable_mask(face, shape, expression[:, : face.sizes[2]], pose, size=size)
    rows = torch.arange(size, device=shape.device) < size // 2
    return rows.to(shape.dtype)[:, None].expand(len(shape), 1, size, size)
