"""The lower face as a polygon: what RealTalk's mask leaves to its renderer, and what any method may change."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dubbench.models.layers.constants import constant

# iBUG's 68 landmarks.
LEFT_JAW, RIGHT_JAW = slice(2, 9), slice(8, 15)  # from the cheek down to the chin, and the other way round
LEFT_EYE, RIGHT_EYE, EYES = slice(36, 42), slice(42, 48), slice(36, 48)
NOSE_TIP, NOSE_BASE = 30, 33
MIDDLE = slice(30, 36), slice(48, 60)  # nose and lips, which a turned head's far jaw hides behind

# In nose lengths, from between the eyes down to the base of the nose: it changes with no expression and no turn.
OUTWARDS = 0.2
BELOW_EYES = 0.15
# How far each point of the jaw goes down: the neck shows where a chin was lower than the one to be drawn.
NECK = (0.0, 0.0, 0.05, 0.15, 0.3, 0.35, 0.35)


def lower_face_outline(landmarks: Tensor) -> Tensor:
    """Outline of the lower face, cheek to cheek under the eyes and round the chin.

    It is built along the face's own axes and never crosses itself, however far the head is turned: each side goes down
    all the way, the left one left of mouth and nose and the right one right of them, and both end at one height.

    Args:
        landmarks: [N, 68, 2] in pixels.

    Returns:
        [N, 15, 2], in pixels.
    """
    left_eye, right_eye = landmarks[:, LEFT_EYE].mean(1, keepdim=True), landmarks[:, RIGHT_EYE].mean(1, keepdim=True)
    # Sums of products, since autocast would make einsum's pixels bfloat16.
    across = F.normalize(right_eye - left_eye, dim=-1)
    down = torch.stack([-across[..., 1], across[..., 0]], -1)
    origin = (left_eye + right_eye) / 2
    x, y = (((landmarks - origin) * axis).sum(-1) for axis in (across, down))
    unit = y[:, NOSE_BASE, None]
    top = y[:, EYES].amax(1, keepdim=True) + BELOW_EYES * unit
    left_y, right_y = (_descending(jaw, top, unit) for jaw in (y[:, LEFT_JAW], y[:, RIGHT_JAW].flip(1)))
    middle = torch.cat([x[:, part] for part in MIDDLE], 1)
    left_x = torch.minimum(x[:, LEFT_JAW], middle.amin(1, keepdim=True)) - OUTWARDS * unit
    right_x = torch.maximum(x[:, RIGHT_JAW].flip(1), middle.amax(1, keepdim=True)) + OUTWARDS * unit
    # The upper end above both sides and the lower end below both: in a turned head's jaw a slope could cut a side.
    nose_y = y[:, NOSE_TIP, None].maximum(top).minimum(left_y[:, :1]).minimum(right_y[:, :1])
    chin_y = left_y[:, -1:].maximum(right_y[:, -1:])
    outline_x = torch.cat([x[:, NOSE_TIP, None], right_x, left_x.flip(1)], 1)[..., None]
    outline_y = torch.cat([nose_y, right_y[:, :-1], chin_y, chin_y, left_y[:, :-1].flip(1)], 1)[..., None]
    return outline_x * across + outline_y * down + origin


def _descending(heights: Tensor, top: Tensor, unit: Tensor) -> Tensor:
    """Heights [N, 7] of a side of the jaw, cheek to chin, with the neck, none above ``top`` or the point before it."""
    return torch.maximum(heights + constant(NECK, heights) * unit, top).cummax(1).values
