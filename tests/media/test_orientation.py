"""Orientation and shape: display matrices that mirror and turn, pixels that are not square."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dubbench.media import MediaError
from dubbench.media.container import Picture
from dubbench.media.planes import as_frame, layout_of, read_planes
from dubbench.media.video import probe, read_frames
from tests.media.conftest import picture
from tests.media.movies import SIZE, movie


def tagged(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Put a, b, c, d into the display matrix of an mp4's only track."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    values = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)
    return path


def displayed(image: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A picture as ISO/IEC 14496-12 shows it, pixel by pixel: (p, q) goes to (a p + c q, b p + d q)."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    q, p = np.mgrid[:height, :width]
    x, y = a * p + c * q, b * p + d * q
    x, y = x - x.min(), y - y.min()
    out = np.zeros((y.max() + 1, x.max() + 1, 3), np.uint8)
    out[y, x] = image
    return out


MATRICES = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
MIRRORED = [(-1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 0, -1), (0, -1, -1, 0)]


@pytest.mark.parametrize("matrix", MATRICES + MIRRORED)
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_picture_is_turned_and_mirrored_as_a_player_does(
    matrix: tuple[int, int, int, int], codec: str, tmp_path: Path
) -> None:
    path = tagged(movie(tmp_path / "a.mp4", codec, frames=6, sound=None), matrix)
    for k, frame in enumerate(read_frames(path)):
        assert np.abs(frame - displayed(picture(k), matrix).astype(float)).mean() < 8
    info, layout = probe(path), layout_of(path)
    assert (info.width, info.height) == (frame.shape[1], frame.shape[0]) == (layout.width, layout.height)
    # What dubbing paints on lies the same way.
    *_, planes = read_planes(path, layout)
    painted = Picture().rgb(as_frame(planes, layout))
    assert np.abs(painted.astype(float) - frame).mean() < 8


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(4, 3), (256, 32)),
        (Fraction(12, 11), (209, 32)),
        (Fraction(2, 3), (192, 48)),
        (Fraction(1280, 1279), SIZE),
    ],
)
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "mpeg4"), ("a.mpg", "mpeg2video")])
def test_pixels_become_square(aspect: Fraction, size: tuple[int, int], name: str, codec: str, tmp_path: Path) -> None:
    if name == "a.mpg":  # names the shape of the screen instead: 16:9 for a picture of 192 x 32
        aspect, size = Fraction(16, 9) / Fraction(192, 32), (192, 108)
    path = movie(tmp_path / name, codec, frames=3, sound=None, aspect=aspect)
    frames = list(read_frames(path))
    assert {frame.shape[1::-1] for frame in frames} == {size}
    assert (probe(path).width, probe(path).height) == size
    # The bits are where they were, in proportion.
    bits = frames[1][size[1] // 4, :: size[0] // 12, 0][:12] > 127
    assert bits.tolist()[1:] == [False] * 11


def test_an_aspect_beyond_reason_is_refused(tmp_path: Path) -> None:
    path = movie(tmp_path / "a.mkv", frames=3, sound=None, aspect=Fraction(12))
    with pytest.raises(MediaError, match=r"pixels of 12:1"):
        list(read_frames(path))
