"""How a picture is turned and mirrored before it is shown: the display matrix of phones and selfie cameras."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a picture on its grid, applied in this order.

    Attributes:
        swapped: rows become columns.
        mirrored: left becomes right.
        flipped: top becomes bottom.
    """

    swapped: bool = False
    mirrored: bool = False
    flipped: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Orientation":
        """Read a frame's display matrix, to the nearest quarter turn; upright where there is none.

        The matrix takes a stored place (p, q) to the shown one (a p + c q + x, b p + d q + y), as ISO/IEC 14496-12,
        8.3.2 has it.
        """
        # Not `frame.side_data`: the frame would keep it and it the frame, until the garbage collector comes by.
        beside: Any = SideDataContainer(frame)  # type: ignore[call-arg]  # which PyAV's stub leaves out
        matrix = next((bytes(data) for data in beside if data.type is Type.DISPLAYMATRIX), b"")
        if len(matrix) != 36:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(swapped=False, mirrored=a < 0, flipped=d < 0)
        return cls(swapped=True, mirrored=c < 0, flipped=b < 0)

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Turn and mirror rows and columns of an image [H, W, ...]; itself where nothing is to be done."""
        if self == Orientation():
            return image
        shown = image.swapaxes(0, 1) if self.swapped else image
        shown = shown[:, ::-1] if self.mirrored else shown
        return np.ascontiguousarray(shown[::-1] if self.flipped else shown)
