"""Networks of the options that a checkpoint names, which may be anybody's: no larger than what it holds."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from dubbench.errors import DubbenchError

Network = TypeVar("Network", bound=nn.Module)

# Weights that the file does not hold and the network has all the same: a method's constants.
SPARE = 1 << 26


def built(make: Callable[..., Network], options: Mapping[str, Any], held: Mapping[str, Any], where: str) -> Network:
    """A network of the options that a checkpoint names, if it is no larger than what the checkpoint holds.

    Args:
        make: its class.
        options: of the constructor.
        held: the checkpoint's ``state_dict``.
        where: the checkpoint, for messages.

    Raises:
        DubbenchError: if the constructor refuses them, or they ask for more weights than there are.
    """
    kept = sum(tensor.numel() for tensor in held.values())
    try:
        try:
            with torch.device("meta"):  # which costs no memory, however wide the options say that it is
                size = sum(value.numel() for value in make(**options).state_dict().values() if value.is_meta)
        except (NotImplementedError, RuntimeError) as error:
            if "meta" not in str(error).lower():
                raise
            size = 0  # it looks at its own weights while it is made
        if size > 2 * kept + SPARE:
            raise DubbenchError(
                f"{where} names options of a network of {size:,} weights and holds {kept:,}; name another checkpoint"
            )
        return make(**options)
    except (TypeError, ValueError, RuntimeError, OverflowError, MemoryError, AttributeError, KeyError) as error:
        reason = " ".join((str(error) or type(error).__name__).split())[:160]
        raise DubbenchError(
            f"{where} was trained with options that {make.__name__} cannot be built with ({reason}); train again"
        ) from error
