"""A trained sync expert as a frozen judge of what a method draws."""

from pathlib import Path

from dubbench.datamodules.batch import Window
from dubbench.errors import DubbenchError
from dubbench.models.load import load_kind
from dubbench.models.sync_expert.module import SyncExpert
from dubbench.models.sync_expert.networks import SyncNetwork


def load_judge(path: str | Path, window: Window) -> SyncNetwork:
    """The network of a sync expert's checkpoint that judges what a method with such windows draws.

    Raises:
        DubbenchError: if the checkpoint is none of a sync expert, or that one sees other frames or other speech.
    """
    expert = load_kind(SyncExpert, "sync expert", path)
    check_judge(expert.window, window, str(path))
    return expert.network


def check_judge(expert: Window, window: Window, where: str) -> None:
    """See that a sync expert sees what a method draws and hears; ``where`` names it in messages.

    Raises:
        DubbenchError: if not.
    """
    if (expert.size, expert.crop, expert.mel) != (window.size, window.crop, window.mel):
        kinds = {"square": "frames", "face": "mouths of face crops"}
        raise DubbenchError(
            f"{where} judges {kinds[expert.crop]} of {expert.size} pixels and this model draws {kinds[window.crop]} of "
            f"{window.size}; train an expert with --model.crop {window.crop} --model.size {window.size}"
        )
