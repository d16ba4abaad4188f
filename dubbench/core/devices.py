"""The processor that a command runs on, its cores, and the precision that it computes in."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16", "float16")
CGROUP = Path("/sys/fs/cgroup")


def device(wanted: str) -> "torch.device":
    """Choose a device by name; ``auto`` takes the first GPU where there is one.

    Raises:
        DubbenchError: if it cannot be used here.
    """
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(wanted)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise DubbenchError(f"device {wanted!r} cannot be used here; `--device cpu` always works") from error
    return chosen


def autocast_type(precision: str) -> "torch.dtype | None":
    """The type of autocast for one of `PRECISIONS`; None for float32, which needs no autocast."""
    import torch

    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)


def usable_cores() -> int:
    """Cores' worth of time that this process gets, at least 1."""
    granted = quota(CGROUP)
    return allowed_cores() if granted is None else max(1, min(allowed_cores(), int(granted)))


def allowed_cores() -> int:
    """Cores that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(cgroup: Path) -> float | None:
    """Cores' worth of time that a container grants; None for no limit."""
    try:
        most, period = (cgroup / "cpu.max").read_text().split()
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError):
        pass
    most_of_old, period_of_old = (limit(cgroup / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return most_of_old / period_of_old if most_of_old and most_of_old > 0 and period_of_old else None


def limit(path: Path) -> int | None:
    """The number in a file of a control group; None where there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
