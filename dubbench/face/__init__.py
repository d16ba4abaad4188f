"""Face landmarks, alignment and crops: pure geometry."""

from dubbench.face.alignment import ffhq_quad, ffhq_transform
from dubbench.face.crops import nose_crop
from dubbench.face.landmarks import points_68

__all__ = ["ffhq_quad", "ffhq_transform", "nose_crop", "points_68"]
