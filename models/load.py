"""Trained models, rebuilt from their checkpoints alone."""

from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import TypeVar

import torch

from dubbench import __version__
from dubbench.errors import DubbenchError
from dubbench.models.base import DubbingModel
from dubbench.models.checkpoint import built, read_checkpoint

Model = TypeVar("Model", bound=DubbingModel)


def load_kind(kind: type[Model], what: str, path: str | Path, map_location: torch.device | str = "cpu") -> Model:
    """`load_model` of a checkpoint that must hold a ``kind``, which messages call ``what``.

    Raises:
        DubbenchError: as `load_model`, or if it holds another model.
    """
    model = load_model(path, map_location)
    if not isinstance(model, kind):
        raise DubbenchError(f"{path} is no {what} but a {type(model).__name__}; train one with dubbench fit")
    return model


def load_model(path: str | Path, map_location: torch.device | str = "cpu", named: str | None = None) -> DubbingModel:
    """Rebuild a model from a checkpoint alone, in eval mode.

    Args:
        path: of the checkpoint.
        map_location: device.
        named: class path that the user gave. Code outside this package runs only if a user named it, never because a
            checkpoint does.

    Raises:
        DubbenchError: if there is no such file, or it is no checkpoint of ours.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path, map_location)
    stamp = checkpoint["dubbench"]
    module, _, name = stamp["class_path"].rpartition(".")
    known = module.startswith("dubbench.") or stamp["class_path"] == named
    try:
        kind = getattr(import_module(module), name, None) if known else None
    except (ModuleNotFoundError, ValueError) as error:
        raise DubbenchError(f"{path} holds a {stamp['class_path']}, which cannot be imported ({error})") from error
    if not (isinstance(kind, type) and issubclass(kind, DubbingModel)) or kind is DubbingModel:
        raise DubbenchError(
            f"{path} holds a {stamp['class_path']}, which is no model of this version ({__version__}); of a method of "
            "yours name the class, as MODULE.CLASS, with its folder in PYTHONPATH"
        )
    values = {key: value for key, value in checkpoint["hyper_parameters"].items() if not str(key).startswith("_")}
    parameters = signature(kind).parameters
    anything = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    if unknown := ", ".join(str(name) for name in values if name not in parameters and not anything):
        raise DubbenchError(
            f"{path} was trained with options that {kind.__name__} does not have any more ({unknown[:160]}); "
            "train again, or use the commit that wrote it"
        )
    model = built(kind, values, checkpoint["state_dict"], str(path))
    if not hasattr(model, "window"):
        raise DubbenchError(f"{path} holds a {stamp['class_path']}, which is a beginning of methods and none itself")
    model.load_checkpoint(checkpoint, path)
    return model.to(map_location).eval()
