"""The processor that a command runs on."""

import torch

from dubbench.errors import DubbenchError


def device(wanted: str) -> torch.device:
    """Choose a device by name; ``auto`` takes the first GPU where there is one.

    Raises:
        DubbenchError: if it cannot be used here.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(wanted)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise DubbenchError(f"device {wanted!r} cannot be used here; `--device cpu` always works") from error
    return chosen
