"""Time RealTalk's renderer against its convolutions and attentions alone.

python -m benchmarks.renderer [--size 256] [--compile]

One call of `draw` is recorded operator by operator. The bare side runs again those of its operators that are
convolutions, matrix products and fused attentions, on tensors of the same shapes and layouts, and does nothing else: no
norm, activation, modulation, sum or enlargement. Both run in one process in turns. Medians by the clock. Exit status 1
if the limit is missed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from dubbench.models.realtalk.options import RendererOptions
from dubbench.models.realtalk.renderer import Renderer

LIMIT = 1.3
BARE = ("convolution", "addmm", "mm", "bmm", "_scaled_dot_product")


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # the mode has no types
    """Keeps the operators of `BARE` that are run under it, as calls on tensors of their own."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Callable[[], Any]] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        if func.overloadpacket.__name__.startswith(BARE):
            own, named = tree_map_only(Tensor, like, (args, dict(kwargs or {})))
            self.calls.append(lambda: func(*own, **named))
        return func(*args, **(kwargs or {}))


def like(tensor: Tensor) -> Tensor:
    """Other values in the same shape and layout."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).normal_()


def seconds(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Median seconds of each call, taken in turns."""
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 2):
        for call, times in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            if turn >= 2:  # before, code and memory warm up
                times.append(time.perf_counter() - start)
    return [median(times) for times in taken]


def main() -> int:
    """Print times and the ratio; status 1 if a frame takes more than `LIMIT` times as long as its operators alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--reference", choices=("attention", "flow", "deformation"), default="attention")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile the drawing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    renderer = Renderer(options.size, options=RendererOptions(alignment=options.reference)).eval().requires_grad_(False)
    renderer = renderer.to(memory_format=torch.channels_last)
    masked, reference = (torch.rand(1, 3, options.size, options.size) * 2 - 1 for _ in range(2))
    coefficients = torch.randn(1, 150)
    features = renderer.encode_reference(reference)
    with Recorder() as recorder:
        renderer.draw(masked, features, coefficients)
    draw = torch.compile(renderer.draw) if options.compile else renderer.draw
    whole, bare = seconds(
        [lambda: draw(masked, features, coefficients), lambda: [call() for call in recorder.calls]], options.rounds
    )
    print(f"draw               {1000 * whole:7.1f} ms a frame of {options.size} pixels, {options.threads} threads")
    print(f"{len(recorder.calls)} bare operators  {1000 * bare:7.1f} ms  ratio {whole / bare:.2f}  (limit {LIMIT})")
    return int(whole / bare > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
