"""How much a prepared folder's pictures tell of the mouth without showing it: what a network can read, not hear.

    python -m benchmarks.leak prepared/ffhq prepared/upper

For each folder: R2 of the mouth's opening, each clip's mean removed, predicted by ridge regression from the upper half
of the aligned pictures, which shows eyes and bridge of the nose. Clips are predicted from other clips, in four parts.
The opening is the distance of the inner lips over that of the outer eye corners. 0: the pictures tell nothing.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip, read_manifest
from dubbench.face.opening import mouth_opening

SIDE, ROWS = 64, 34
COMPONENTS, PARTS = 40, 4
RIDGE = 0.02  # of the first component's deviation

Floats = NDArray[np.float64]


def read(clip: PreparedClip) -> tuple[Floats, Floats]:
    """Upper halves [T, 544] and openings [T] of a clip, their means removed; frames without a face left out."""
    pictures = [
        cv2.resize(frame[:ROWS], (SIDE // 2, ROWS // 2), interpolation=cv2.INTER_AREA).mean(-1).ravel()
        for frame in clip.stream(SIDE)
    ]
    points = clip.points()
    opening = np.array(mouth_opening(points, points, clip.detected()), float)
    seen = np.isfinite(opening)
    upper, opening = np.stack(pictures)[seen], opening[seen]
    return upper - upper.mean(0), opening - opening.mean()


def leak(root: Path, clips: int) -> tuple[float, int]:
    """R2 over the first clips of a prepared folder, and the number of frames."""
    names = sorted(map(str, read_manifest(root)["clip"]))[:clips]
    read_clips = [read(PreparedClip(root, name)) for name in names]
    part = np.concatenate([np.full(len(opening), k % PARTS) for k, (_, opening) in enumerate(read_clips)])
    upper, opening = (np.concatenate(each) for each in zip(*read_clips, strict=True))
    found = np.zeros(len(opening))
    for k in range(PARTS):
        other, mine = part != k, part == k
        components = np.linalg.svd(upper[other], full_matrices=False)[2][:COMPONENTS]
        known, asked = upper[other] @ components.T, upper[mine] @ components.T
        ridge = (RIDGE * known[:, 0].std()) ** 2 * len(known) * np.eye(len(components))
        found[mine] = asked @ np.linalg.solve(known.T @ known + ridge, known.T @ opening[other])
    return float(1 - np.square(opening - found).sum() / np.square(opening).sum()), len(opening)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="+", help="prepared folders")
    parser.add_argument("--clips", type=int, default=16, help="how many of each, the first by name (%(default)s)")
    options = parser.parse_args()
    for root in options.root:
        value, frames = leak(root, options.clips)
        print(f"{root}: R2 {value:.2f} over {frames} frames", flush=True)


if __name__ == "__main__":
    main()
