"""Pictures as the file has them: planes of luma and chroma, in which only what is painted changes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from dubbench.media.container import EXACT, opened, pixel_aspect, video_stream
from dubbench.media.orientation import Orientation
from dubbench.media.pictures import first_frame
from dubbench.media.video import at_constant_rate

Planes = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

# What libx264 encodes as it is, with the samples of luma to one of chroma, across and down.
FORMATS = {
    f"yuv{name}p{depth}": ratio
    for depth in ("", "10le")
    for name, ratio in (("420", (2, 2)), ("422", (2, 1)), ("444", (1, 1)))
}
# Weights of red and blue in luma, by the matrix's number in ITU-T H.273; BT.601 where there is none, as swscale has it.
WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
BT601, BT601_WEIGHTS = 6, (0.299, 0.114)
FULL = int(ColorRange.JPEG)


@dataclass(frozen=True)
class Layout:
    """What a video's planes mean.

    Attributes:
        width: of the picture in pixels, upright.
        height: of the picture in pixels, upright.
        format: one of `FORMATS`.
        range: 2 for full, else limited; matrix, primaries and transfer: as ITU-T H.273 numbers them, 2 for unknown.
        matrix: of luma and chroma.
        primaries: of the colours.
        transfer: characteristic.
        aspect: width to height of a pixel, 0 where the file does not say.
    """

    width: int
    height: int
    format: str
    range: int
    matrix: int
    primaries: int
    transfer: int
    aspect: float = 0.0

    @property
    def ratio(self) -> tuple[int, int]:
        """Samples of luma to one of chroma, across and down."""
        return FORMATS[self.format]

    @property
    def depth(self) -> int:
        """Bits a sample."""
        return 10 if self.format.endswith("10le") else 8

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Height and width of the three planes."""
        across, down = self.ratio
        chroma = -(-self.height // down), -(-self.width // across)
        return [(self.height, self.width), chroma, chroma]


def layout_of(path: Path | str) -> Layout:
    """How `read_planes` gives a video's pictures, by the first that decodes.

    Raises:
        MediaError: if there is no picture.
    """
    with opened(path) as container:
        stream = video_stream(container)
        pixel_aspect(stream)  # refused here if it is beyond reason
        return _layout(first_frame(path, container, stream), stream.codec_context, stream.sample_aspect_ratio)


def read_planes(path: Path | str, layout: Layout) -> Iterator[Planes]:
    """Stream a video as `read_frames` does, but in its own samples: upright, and nothing converted that need not be.

    Yields:
        Luma and both chroma planes, uint8 or uint16, arrays of the caller's own.

    Raises:
        MediaError: as `read_frames`.
    """
    reformatter = VideoReformatter()
    for frame in at_constant_rate(path):
        yield _planes(frame, layout, reformatter)


def as_frame(planes: Planes, layout: Layout) -> VideoFrame:
    """Planes as a frame for an encoder."""
    frame = VideoFrame(layout.width, layout.height, layout.format)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows: NDArray[Any] = np.frombuffer(plane, values.dtype).reshape(plane.height, -1)  # type: ignore[call-overload]
        rows[:, : values.shape[1]] = values
    return frame


def as_planes(frame: VideoFrame) -> Planes:
    """Copies of a planar frame's three planes."""
    depth: type[Any] = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    luma, *chroma = (
        np.frombuffer(plane, depth).reshape(plane.height, -1)[:, : plane.width].copy()  # type: ignore[call-overload]
        for plane in frame.planes
    )
    return luma, chroma[0], chroma[1]


def paint(
    planes: Planes, layout: Layout, picture: NDArray[np.uint8], alpha: NDArray[np.float32], x: int, y: int
) -> None:
    """Blend a picture into planes; a sample that ``alpha`` does not reach keeps its value.

    A sample of chroma is reached where any of its pixels is, and then takes the mean of picture and alpha over them.

    Args:
        planes: changed in place.
        layout: of the planes.
        picture: uint8 [h, w, 3] RGB.
        alpha: [h, w] in [0, 1].
        x: column of the picture's left edge; the picture lies within the frame.
        y: row of its upper edge.
    """
    across, down = layout.ratio
    left, top = x % across, y % down
    right, bottom = -(left + alpha.shape[1]) % across, -(top + alpha.shape[0]) % down
    sides = ((top, bottom), (left, right))
    alpha = np.pad(alpha, sides)
    colours = _from_rgb(np.pad(picture, (*sides, (0, 0)), "edge"), layout)
    x, y = x - left, y - top
    for number, plane in enumerate(planes):
        step = (across, down) if number else (1, 1)
        shown, values = (_mean(part, step) for part in (alpha, colours[number]))
        rows = slice(y // step[1], y // step[1] + shown.shape[0])
        columns = slice(x // step[0], x // step[0] + shown.shape[1])
        behind = plane[rows, columns]
        mixed = np.rint(behind + shown * (values - behind))
        behind[...] = np.where(shown > 0, mixed, behind)


def _layout(frame: VideoFrame, codec: Any, aspect: Any) -> Layout:  # noqa: ANN401
    """Layout of a frame after it was turned upright."""
    turned = Orientation.of(frame).swapped
    width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
    name = _kept(frame.format)
    # H.264 has 4:2:0 and 4:2:2 for even sides only, and chroma that is shared by rows cannot be turned to columns.
    across, down = FORMATS[name]
    if width % across or height % down or (turned and across != down):
        name = name.replace("420", "444").replace("422", "444")
    rgb = frame.format.is_rgb
    full = not rgb and (int(frame.color_range) == FULL or frame.format.name.startswith("yuvj"))
    ratio = float(aspect or 0)
    return Layout(
        width=width,
        height=height,
        format=name,
        range=FULL if full else int(ColorRange.MPEG),
        matrix=BT601 if rgb else int(frame.colorspace),
        primaries=int(codec.color_primaries),
        transfer=int(codec.color_trc),
        aspect=1 / ratio if turned and ratio else ratio,
    )


def _kept(form: VideoFormat) -> str:
    """A frame's own format if it is one of `FORMATS`, else the nearest one that loses nothing but bits beyond ten."""
    name = form.name.replace("yuvj", "yuv")
    if name in FORMATS:
        return name
    ratio = 16 // max(form.chroma_width(16), 1), 16 // max(form.chroma_height(16), 1)
    chroma = "444" if form.is_rgb or ratio == (1, 1) else "422" if ratio == (2, 1) else "420"
    return f"yuv{chroma}p" + ("10le" if max(part.bits for part in form.components) > 8 else "")


def _planes(frame: VideoFrame, layout: Layout, reformatter: VideoReformatter) -> Planes:
    name, orientation = frame.format.name.replace("yuvj", "yuv"), Orientation.of(frame)
    if name not in FORMATS:
        name = _kept(frame.format)
        colours = {"dst_colorspace": Colorspace.ITU601, "dst_color_range": ColorRange.MPEG}
        frame = reformatter.reformat(
            frame, format=name, interpolation=EXACT, threads=1, **(colours if frame.format.is_rgb else {})
        )
    planes = as_planes(frame)
    if name != layout.format:
        across, down = FORMATS[name]
        height, width = planes[0].shape
        luma, *chroma = planes
        fine = [plane.repeat(down, 0)[:height].repeat(across, 1)[:, :width] for plane in chroma]
        planes = luma, fine[0], fine[1]
    luma, *chroma = (orientation.apply(plane) for plane in planes)
    return luma, chroma[0], chroma[1]


def _from_rgb(picture: NDArray[np.uint8], layout: Layout) -> list[NDArray[np.float32]]:
    """A picture's luma and chroma at full size, in the layout's levels, not rounded."""
    red, blue = WEIGHTS.get(layout.matrix, BT601_WEIGHTS)
    luma = np.array([red, 1 - red - blue, blue])
    matrix = np.stack(
        [luma, (np.array([0, 0, 1]) - luma) / (2 - 2 * blue), (np.array([1, 0, 0]) - luma) / (2 - 2 * red)]
    )
    unit, most = 2 ** (layout.depth - 8), 2**layout.depth - 1
    full = layout.range == FULL
    gain = np.array([most] * 3 if full else [219 * unit, 224 * unit, 224 * unit]) / 255
    offset = np.array([0 if full else 16, 128, 128]) * unit
    values = cv2.transform(picture.astype(np.float32), np.column_stack([matrix * gain[:, None], offset]))
    return [np.clip(values[..., k], 0, most) for k in range(3)]


def _mean(values: NDArray[np.float32], step: tuple[int, int]) -> NDArray[np.float32]:
    """Means over cells of ``step`` pixels, across and down."""
    if step == (1, 1):
        return values
    size = values.shape[1] // step[0], values.shape[0] // step[1]
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))
