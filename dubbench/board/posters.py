"""Small still pictures that stand for videos until they play, as part of the page."""

from base64 import b64encode
from collections import deque
from itertools import islice
from pathlib import Path

from dubbench.media import FPS
from dubbench.media.container import Image, Picture
from dubbench.media.video import at_constant_rate, probe

WIDTHS = (320, 240, 160, 96, 48)
QUALITY = 75
# Characters of all posters of a page together, and frames to decode for one at most.
ROOM, FRAMES = 2_000_000, 250


def still(path: Path, frame: int | None) -> Image:
    """A frame of a video, uint8 [H, W, 3]; its last one before ``FRAMES`` where it has fewer.

    Args:
        path: of the video.
        frame: which one at 25 frames a second; None for the middle.

    Raises:
        MediaError: if the video cannot be read.
    """
    if frame is None:
        frame = round(probe(path).duration * FPS / 2)
    until = deque(islice(at_constant_rate(path), min(frame + 1, FRAMES)), maxlen=1)
    return Picture.of(path).rgb(until[0])


def poster(image: Image, room: int) -> str:
    """A picture as a data URI of a JPEG, the widest that takes ``room`` characters at most, or the narrowest."""
    import cv2
    import numpy as np

    text = ""
    for width in WIDTHS:
        height, own = image.shape[:2]
        size = (min(width, own), max(1, round(height * min(width, own) / own)))
        small = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)[:, :, ::-1])
        data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        text = f"data:image/jpeg;base64,{b64encode(data).decode()}"
        if len(text) <= room:
            break
    return text
