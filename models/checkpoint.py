"""Checkpoints, which may be anybody's: read without running anything, and networks no larger than what they hold."""

import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dubbench import __version__
from dubbench.datamodules.batch import Window
from dubbench.errors import DubbenchError
from dubbench.models.finite import not_finite

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


def read_checkpoint(path: Path, map_location: torch.device | str = "cpu") -> dict[str, Any]:
    """Load a checkpoint file of `dubbench fit`, tensors and plain values only.

    Raises:
        DubbenchError: if there is no such file, it holds anything else, or its weights are not all finite.
    """
    if not path.is_file():
        raise DubbenchError(f"there is no checkpoint {path}; `dubbench fit` writes one to OUT/checkpoints/last.ckpt")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on how the file was pickled
            checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise DubbenchError(
            f"{path} is not a checkpoint that `dubbench fit` wrote: {_unloadable(error)}; name one that it did"
        ) from error
    _check_form(checkpoint, path)
    if name := not_finite(checkpoint["state_dict"]):
        raise DubbenchError(f"{path} holds weights that are not finite ({name}); its training went wrong, train again")
    return checkpoint


def _unloadable(error: Exception) -> str:
    """Why torch does not load a file, without its advice to do so in an unsafe way."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds code or objects, of which nothing is run"
    if isinstance(error, EOFError | RuntimeError):
        return "it is cut off, damaged or another program's"
    return (str(error) or type(error).__name__).splitlines()[0][:160]


def _check_form(checkpoint: object, path: Path) -> None:
    """See that what was loaded is built as a checkpoint of `dubbench fit` is."""
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("dubbench"), dict):
        raise DubbenchError(f"{path} is not a checkpoint that `dubbench fit` wrote; name one that it did")
    stamp, weights = checkpoint["dubbench"], checkpoint.get("state_dict")
    whole = (
        isinstance(stamp.get("class_path"), str)
        and isinstance(stamp.get("window"), dict)
        and isinstance(checkpoint.get("hyper_parameters"), dict)
        and isinstance(weights, dict)
        and all(isinstance(value, Tensor) for value in weights.values())
    )
    if not whole:
        raise DubbenchError(
            f"{path} lacks what a checkpoint of this version ({__version__}) holds, it says that it is of "
            f"{str(stamp.get('version', 'an unknown one'))[:40]}; train again, or use the version that wrote it"
        )


def check_kind(checkpoint: Mapping[str, Any], wanted: str, window: Window, where: str) -> None:
    """See that a checkpoint is of a model of the class path ``wanted``, trained on the windows that it sees now.

    Raises:
        DubbenchError: if it is not.
    """
    stamp = checkpoint.get("dubbench")
    if stamp is None:
        raise DubbenchError(f"{where} was not written by `dubbench fit`; name a checkpoint that was")
    if stamp["class_path"] != wanted:
        raise DubbenchError(
            f"{where} holds a {stamp['class_path']}, but the model named is a {wanted}; name the checkpoint's own model"
        )
    own, now = stamp["window"], asdict(window)
    if _asked_for(own) == _asked_for(now):
        return
    if newer := [name for name in _asked_for(now) if name not in own]:
        raise DubbenchError(
            f"{where} was trained on other windows, an earlier version's without {', '.join(newer)}; train again, or "
            "use the version that wrote it"
        )
    raise DubbenchError(
        f"{where} was trained on other windows ({own} against {now}); give the model config and options that it was "
        "trained with, they are in its run's config.yaml"
    )


def _asked_for(window: Mapping[str, Any]) -> dict[str, Any]:
    """A stamp's window without what it leaves at its default: an older version's lacks fields that came later."""
    defaults = {field.name: field.default for field in fields(Window)}
    return {name: value for name, value in window.items() if name not in defaults or value != defaults[name]}
