"""Frames of one clip from several results, a row a method: the pictures of this folder.

python docs/frame_strip.py --clip s1/ID --box 80 60 200 220 --out docs/strip.jpg OUT:ground_truth OUT:radio_tiny
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dubbench.media.video import read_frames

MARGIN = 16


def row(place: str, clip: str, wanted: list[int], box: list[int], height: int) -> NDArray[np.uint8]:
    """The wanted frames of OUT:METHOD side by side under the method's name, [height + 16, W, 3]."""
    folder, _, method = place.rpartition(":")
    video = Path(folder) / "videos" / method / f"{clip}.mp4"
    left, top, wide, high = box
    frames = {
        k: frame[top : top + high, left : left + wide] for k, frame in enumerate(read_frames(video)) if k in wanted
    }
    scaled = [cv2.resize(frames[k], (wide * height // high, height), interpolation=cv2.INTER_AREA) for k in wanted]
    picture = np.hstack(scaled)
    caption = np.full((MARGIN, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(caption, f"{Path(folder).name}: {method}", (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1)
    return np.vstack([caption, picture])


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", metavar="OUT:METHOD", help="results folder and a method in it")
    parser.add_argument("--clip", required=True)
    parser.add_argument("--box", nargs=4, type=int, required=True, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"))
    parser.add_argument("--frames", nargs="+", type=int, default=[20, 24, 28, 32, 36, 40, 44, 48])
    parser.add_argument("--height", type=int, default=110)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    rows = [row(place, given.clip, given.frames, given.box, given.height) for place in given.places]
    cv2.imwrite(str(given.out), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
