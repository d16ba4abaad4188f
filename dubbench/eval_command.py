"""``dubbench eval``: score a checkpoint of ours, or anybody's videos, under a named protocol."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.errors import DubbenchError
from dubbench.files import sha256
from dubbench.models.base import DubbingModel
from dubbench.names import expand, names, value_of


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dubbench eval", description=__doc__)
    parser.add_subclass_arguments(DubbingModel, "model", required=False, help="a method's short name or YAML file")
    parser.add_argument("--ckpt_path", type=str | None, help="the method's checkpoint")
    parser.add_argument("--videos", type=str | None, help="folder of finished videos to score, matched by clip id")
    parser.add_argument("--method", type=str | None, help="name of the row (default: the model's or folder's name)")
    parser.add_subclass_arguments(DubbingDataModule, "data", required=True, help="a dataset's short name or YAML file")
    parser.add_argument("--protocol", default="first_frame", help=f"one of {', '.join(names('protocol'))}, or a file")
    parser.add_argument("--split", default="test", help="which split of the prepared clips")
    parser.add_argument("--out", default="results", help="folder of the results")
    parser.add_argument("--source_root", type=str | None, help="where the corpus lies, if it moved since `prepare`")
    parser.add_argument("--limit", type=int | None, help="score only the first clips of the split")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument("--seed", type=int, default=0, help="seed of pairings and intervals")
    return parser


def load_checkpoint(model: DubbingModel, path: Path) -> None:
    """Put the weights of ``path`` into ``model``, which the command line has named and built.

    Raises:
        DubbenchError: if the file is no checkpoint of ours, or of another method, or of other settings.
    """
    if not path.is_file():
        raise DubbenchError(f"there is no checkpoint {path}; `dubbench fit` writes one to OUT/checkpoints/last.ckpt")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DubbenchError(f"{path} is not a checkpoint that holds only tensors and plain values: {error}") from error
    model.load_checkpoint(checkpoint, path)


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DubbenchError(f"device {wanted!r} cannot be used here; `--device cpu` always works") from error
    return device
