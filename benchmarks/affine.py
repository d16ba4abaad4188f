"""G4G's adaptive affine transform against one bare `grid_sample`: python -m benchmarks.affine.

The bare call samples the same 256 channels of 104 x 80 (the paper's size) with a grid that is ready. Ours begins with
scales, angles and shifts. Calls are taken in turns, on one thread; compared are medians of processor time, which other
programs disturb little. Exit status 1 if, forward, the highest ratio is above the limit.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from dubbench.models.g4g.adaptive_affine import adaptive_affine

LIMIT = 1.2
CHANNELS, HEIGHT, WIDTH = 256, 104, 80


def ready_grid(scale: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Grid [N * C, H, W, 2] of eq. 11 by `affine_grid`."""
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = [cos, -sin * HEIGHT / WIDTH, shift[..., 0], sin * WIDTH / HEIGHT, cos, shift[..., 1]]
    matrices = torch.stack(rows, -1).view(-1, 2, 3)
    return F.affine_grid(matrices, [len(matrices), 1, HEIGHT, WIDTH], align_corners=False)


def measure(count: int, rounds: int, backward: bool) -> float:
    """Print the times for ``count`` pictures; returns the ratio."""
    draw = torch.Generator().manual_seed(0)
    feature = torch.randn(count, CHANNELS, HEIGHT, WIDTH, generator=draw, requires_grad=backward)
    scale = (1 + 0.1 * torch.randn(count, CHANNELS, generator=draw)).requires_grad_(backward)
    angle = (0.1 * torch.randn(count, CHANNELS, generator=draw)).requires_grad_(backward)
    shift = (0.1 * torch.randn(count, CHANNELS, 2, generator=draw)).requires_grad_(backward)
    grid = ready_grid(scale, angle, shift).detach().requires_grad_(backward)
    planes = feature.detach().view(-1, 1, HEIGHT, WIDTH).requires_grad_(backward)
    upstream = torch.randn(count, CHANNELS, HEIGHT, WIDTH, generator=draw)

    def bare() -> Tensor:
        return F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def ours() -> Tensor:
        return adaptive_affine(feature, scale, angle, shift)

    torch.testing.assert_close(ours(), bare().view_as(feature), atol=1e-4, rtol=0)
    taken: list[list[float]] = [[], []]
    calls: list[Callable[[], Tensor]] = [bare, ours]
    for turn in range(rounds + 3):
        for call, times in zip(calls, taken, strict=True):
            start = time.process_time()
            made = call()
            if backward:
                torch.autograd.backward(made, upstream.view_as(made))
            if turn >= 3:  # before, code and memory warm up
                times.append(time.process_time() - start)
            del made
            for leaf in (feature, scale, angle, shift, grid, planes):
                leaf.grad = None
    bare_time, our_time = (median(times) for times in taken)
    what = "forward and backward" if backward else "forward"
    print(
        f"{count} x {CHANNELS} x {HEIGHT} x {WIDTH}, {what}: grid_sample {1e3 * bare_time:.1f} ms, "
        f"adaptive_affine {1e3 * our_time:.1f} ms: ratio {our_time / bare_time:.2f}"
    )
    return our_time / bare_time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        ratio = max(measure(count, given.rounds, backward=False) for count in (1, 2, 3, 4))
    for count in (1, 4):
        measure(count, given.rounds, backward=True)
    print(f"highest forward ratio {ratio:.2f} (at most {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
