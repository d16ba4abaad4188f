"""Memory and time of FID and KID over many frames, without a real network in the way.

python -m benchmarks.fid
"""

import argparse
import multiprocessing
import resource
import sys
import time

import torch
from torch import Tensor

from dubbench.metrics import FID, KID

LIMIT = 1.05
WIDTH, BATCH, SIDE = 2048, 250, 16
SCALE = torch.linspace(0.1, 2.0, WIDTH)


def network(images: Tensor) -> Tensor:
    """Cheap features [N, 2048] that no pixel is lost in."""
    flat = images.flatten(1).float() / 255
    repeated = flat.repeat(1, WIDTH // flat.shape[1] + 1)[:, :WIDTH]
    return (repeated * SCALE).sin()


def frames(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def score(count: int, results: "multiprocessing.Queue[tuple[float, float, float, float]]") -> None:
    fid, kid = FID(network), KID(network)
    start = time.perf_counter()
    for seed in range(count // BATCH):
        pred, target = frames(2 * seed), frames(2 * seed + 1)
        fid.update(pred, target)
        kid.update(pred, target)
    updates = time.perf_counter() - start
    start = time.perf_counter()
    float(fid.compute())
    computed = time.perf_counter() - start
    float(kid.compute())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.put((peak, updates / count * 1e6, computed, time.perf_counter() - start - computed))


def measure(count: int) -> tuple[float, float, float, float]:
    """Peak MB, microseconds a frame pair, and seconds of each compute, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[float, float, float, float]] = context.Queue()
    process = context.Process(target=score, args=(count, results))
    process.start()
    found = results.get()
    process.join()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=50_000, help="frames a side")
    given = parser.parse_args()
    peaks = []
    for count in (given.frames // 10, given.frames):
        peak, each, fid, kid = measure(count)
        peaks.append(peak)
        print(f"{count} frames a side: peak {peak:.0f} MB, {each:.0f} us a pair, FID {fid:.1f} s, KID {kid:.1f} s")
    ratio = peaks[1] / peaks[0]
    print(f"memory of ten times the frames: ratio {ratio:.3f} (at most {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
