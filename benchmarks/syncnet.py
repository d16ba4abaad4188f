"""SyncNet scores of a 75-frame clip against the official arithmetic, and against the bare convolutions.

python -m benchmarks.syncnet
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dubbench.metrics.lse import sync_scores
from dubbench.metrics.syncnet.mfcc import mfcc
from dubbench.metrics.syncnet.network import SyncNet

DIFFERENCE, TO_OFFICIAL, TO_BARE = 1e-4, 0.85, 1.15
FRAMES, WINDOWS, BATCH, SHIFTS = 75, 70, 20, 15


def clip() -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (FRAMES, 224, 224, 3), dtype=np.uint8)
    return frames, random.integers(-3000, 3000, FRAMES * 640, dtype=np.int16)


def network() -> SyncNet:
    torch.manual_seed(0)
    return SyncNet()


@torch.no_grad()
def official(net: SyncNet, frames: NDArray[np.uint8], audio: NDArray[np.int16]) -> NDArray[np.float32]:
    """Windows of five frames in batches of 20 through the network as it is written, then each window's distances."""
    video = torch.from_numpy(frames.transpose(3, 0, 1, 2)[None].astype(float)).float()
    sound = torch.from_numpy(mfcc(audio).T[None, None].astype(float)).float()
    seen, heard = [], []
    for start in range(0, WINDOWS, BATCH):
        window = range(start, min(start + BATCH, WINDOWS))
        lips = torch.cat([video[:, :, t : t + 5] for t in window])
        seen.append(net.netfclip(net.netcnnlip(lips).flatten(1)))
        speech = torch.cat([sound[..., 4 * t : 4 * t + 20] for t in window])
        heard.append(net.netfcaud(net.netcnnaud(speech).flatten(1)))
    visual, padded = torch.cat(seen), F.pad(torch.cat(heard), (0, 0, SHIFTS, SHIFTS))
    distances = [
        F.pairwise_distance(visual[[t]].repeat(2 * SHIFTS + 1, 1), padded[t : t + 2 * SHIFTS + 1])
        for t in range(WINDOWS)
    ]
    return torch.stack(distances, 1).mean(1).numpy()


class Convolutions:
    """Nothing but the convolutions of both networks, channels last, on arrays that are ready."""

    visual = ((15, 96, 224, 7, 2, 0), (96, 256, 54, 5, 2, 1), *[(256, 256, 13, 3, 1, 1)] * 3, (256, 512, 6, 6, 1, 0))
    sound = (
        (1, 64, (13, 20), (3, 3), 1),
        (64, 192, (13, 20), (3, 3), 1),
        (192, 384, (11, 9), (3, 3), 1),
        (384, 256, (11, 9), (3, 3), 1),
        (256, 256, (11, 9), (3, 3), 1),
        (256, 512, (5, 4), (5, 4), 0),
    )

    def __init__(self) -> None:
        self.calls = [
            (self.ready(BATCH, i, s, s), self.ready(o, i, k, k), torch.zeros(o), stride, padding)
            for i, o, s, k, stride, padding in self.visual
        ] + [
            (self.ready(BATCH, i, *s), self.ready(o, i, *k), torch.zeros(o), 1, padding)
            for i, o, s, k, padding in self.sound
        ]

    @staticmethod
    def ready(*shape: int) -> Tensor:
        return torch.randn(shape).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self) -> None:
        for start in range(0, WINDOWS, BATCH):
            count = min(BATCH, WINDOWS - start)
            for inputs, weight, bias, stride, padding in self.calls:
                F.conv2d(inputs[:count], weight, bias, stride=stride, padding=padding)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds, each all three ways in turn")
    given = parser.parse_args()
    net, (frames, audio), bare = network(), clip(), Convolutions()
    ours, theirs = sync_scores(net, frames, audio).distances, official(net, frames, audio)
    difference = float(np.abs(ours / theirs - 1).max())
    bare()
    ways = (lambda: sync_scores(net, frames, audio), lambda: official(net, frames, audio), bare)
    times = np.array([[seconds(way) for way in ways] for _ in range(given.rounds)])
    names = ("ours", "official arithmetic", "bare convolutions")
    for name, taken in zip(names, np.median(times, axis=0), strict=True):
        print(f"{name}: {taken:.3f} s on {torch.get_num_threads()} threads")
    official_ratio, bare_ratio = (float(median(times[:, 0] / times[:, other])) for other in (1, 2))
    print(
        f"31 distances differ by {difference:.1e} of their value (at most {DIFFERENCE:g}); to the official arithmetic: "
        f"ratio {official_ratio:.3f} (at most {TO_OFFICIAL}), to the bare convolutions: {bare_ratio:.3f} "
        f"(at most {TO_BARE})"
    )
    return int(difference > DIFFERENCE or official_ratio > TO_OFFICIAL or bare_ratio > TO_BARE)


if __name__ == "__main__":
    sys.exit(main())
