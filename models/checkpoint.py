"""What a checkpoint file holds, looked at before any of it is believed: it may be anybody's."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from dubbench.core.documents import short
from dubbench.errors import DubbenchError

Network = TypeVar("Network", bound=nn.Module)

# What every checkpoint of ours holds, and of what kind.
FORM: dict[str, type] = {"dubbench": dict, "state_dict": dict, "hyper_parameters": dict}
STAMP: dict[str, type] = {"class_path": str, "window": dict}
# Weights that the file does not hold and the network has all the same: a method's constants.
SPARE = 1 << 26


def check_form(checkpoint: object, where: str) -> None:
    """See that a loaded file is of the form that `DubbingModel` writes.

    Raises:
        DubbenchError: if it is not.
    """
    stamp = checkpoint.get("dubbench") if isinstance(checkpoint, Mapping) else None
    if stamp is None:
        raise DubbenchError(f"{where} is not a checkpoint that `dubbench fit` wrote; name one that it did")
    assert isinstance(checkpoint, Mapping)
    for held, form in ((checkpoint, FORM), (stamp, STAMP)):
        for name, kind in form.items():
            if not isinstance(held, Mapping) or not isinstance(held.get(name), kind):
                raise DubbenchError(f"{where} is damaged: its {name} is missing or no {kind.__name__}; train again")
    strange = [name for name, value in checkpoint["state_dict"].items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise DubbenchError(f"{where} is damaged: its {short(strange[0])} is no tensor; train again")


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
        reason = (str(error) or type(error).__name__).splitlines()[0][:160]
        raise DubbenchError(f"{where} names options that its method does not take ({reason}); train again") from error
