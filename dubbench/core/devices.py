"""The processor that a command runs on, and the precision that it computes in."""

from typing import TYPE_CHECKING

from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "bfloat16", "float16")


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
