"""How fast a method dubs on this machine, and what it needs for that, part by part."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from sys import platform
from time import perf_counter

import torch
from torch import nn

from dubbench.core.progress import counted
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.models.base import DubbingModel
from dubbench.models.parts import Watch
from dubbench.speed.count import Counted, count

# One code object serves all modules that are compiled one by one: each needs a place of its own in its cache.
COMPILED_AT_MOST = 256


@dataclass(frozen=True)
class Cost:
    """What a part, all of them or the rest takes.

    Attributes:
        part: name.
        parameters: how many it uses.
        multiply_adds: a frame.
        seconds: a frame, in the pass whose total is the median of all passes.
        low: seconds a frame in the pass where they were fewest.
        high: seconds a frame in the pass where they were most.
    """

    part: str
    parameters: int
    multiply_adds: float
    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class Speed:
    """What a method took to dub a clip; parameters, multiply-adds and seconds of parts and rest add up to the total.

    Attributes:
        total: of the whole `DubbingModel.dub`, reading the clip included.
        parts: as the method marks them, see `dubbench.models.parts`.
        rest: what lies in no part, such as reading frames.
        frames: of the clip.
        repeats: passes that were timed.
        memory: bytes at most: on a GPU those that its allocator gave out, else the process's resident set with
            everything that is loaded in it.
    """

    total: Cost
    parts: tuple[Cost, ...]
    rest: Cost
    frames: int
    repeats: int
    memory: int


def measure(
    model: DubbingModel,
    clip: PreparedClip,
    repeats: int = 5,
    precision: torch.dtype | None = None,
    backend: str | None = None,
) -> Speed:
    """Dub a clip with its own speech again and again; every frame may be looked at as a reference.

    One pass counts, one warms up, and ``repeats`` are timed.

    Args:
        model: in eval mode, on the device that is measured.
        clip: what is dubbed, whole: `dubbench.speed.clip.shortened` cuts it.
        repeats: passes to time; an odd number has a median of its own.
        precision: as `DubbingModel.dub` takes it.
        backend: of torch.compile, ``inductor`` for one; None compiles nothing. The modules that `dub` calls are then
            compiled in place.

    Raises:
        DubbenchError: if the model cannot dub the clip or cannot be compiled.
    """
    speech, frames = clip.speech(), len(clip)

    def work() -> None:
        for _ in model.dub(clip, speech, range(frames), precision):
            pass

    passes: list[Watch] = []
    # Drawn between passes alone: a thread that draws would take time from those that are timed.
    with counted("speed", "passes") as progress:
        task = progress.add_task("", total=repeats + 2 + bool(backend))

        def done() -> None:
            progress.update(task, advance=1, refresh=True)

        def timed() -> None:
            for _ in range(repeats):
                with Watch(clock(model.device)) as watch:
                    work()
                passes.append(watch)
                done()

        costs = count(model, work)
        done()
        if backend:
            _compile(costs.networks, backend, work)
            done()
        work()
        done()
        memory = _peak(model.device, timed)
    return _speed(costs, passes, model.parameter_count(), frames=frames, memory=memory)


def clock(device: torch.device) -> Callable[[], float]:
    """A clock in seconds that waits for the device's work before it is read."""
    if device.type == "cpu":
        return perf_counter

    def read() -> float:
        torch.accelerator.synchronize(device)
        return perf_counter()

    return read


def _speed(costs: Counted, passes: list[Watch], parameters: int, *, frames: int, memory: int) -> Speed:
    middle = sorted(range(len(passes)), key=lambda number: passes[number].total)[(len(passes) - 1) // 2]

    def cost(name: str, parameters: int, multiply_adds: float, seconds: list[float]) -> Cost:
        each = [value / frames for value in seconds]
        return Cost(name, parameters, multiply_adds / frames, seconds=each[middle], low=min(each), high=max(each))

    return Speed(
        total=cost("total", parameters, costs.multiply_adds, [watch.total for watch in passes]),
        parts=tuple(
            cost(name, costs.parameters.get(name, 0), multiply_adds, [watch.spent[name] for watch in passes])
            for name, multiply_adds in costs.by_part.items()
        ),
        rest=cost(
            "rest",
            parameters - sum(costs.parameters.values()),
            costs.multiply_adds - sum(costs.by_part.values()),
            [watch.total - sum(watch.spent.values()) for watch in passes],
        ),
        frames=frames,
        repeats=len(passes),
        memory=memory,
    )


def _compile(networks: list[nn.Module], backend: str, work: Callable[[], None]) -> None:
    """Compile modules in place and see that they run."""
    try:
        for network in networks:
            network.compile(backend=backend)
        with torch._dynamo.config.patch(recompile_limit=COMPILED_AT_MOST, accumulated_recompile_limit=COMPILED_AT_MOST):
            work()
    except torch._dynamo.exc.TorchDynamoException as error:
        reason = str(error).strip().splitlines()[0]
        raise DubbenchError(f"torch.compile cannot compile this model here ({reason}); leave --compile out") from error


def _peak(device: torch.device, work: Callable[[], None]) -> int:
    """Bytes at most while the work is done."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    work()
    return _resident()


def _resident() -> int:
    """Bytes of the resident set at its peak; where that cannot be set back, since the process began."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return getrusage(RUSAGE_SELF).ru_maxrss * (1 if platform == "darwin" else 1024)
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
