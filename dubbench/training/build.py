"""Models and data modules from the words of a command line, by the rules of LightningCLI but without a trainer."""

from collections.abc import Sequence
from typing import TypeVar

from jsonargparse import ArgumentParser

from dubbench.core.config_names import expand
from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.models.base import DubbingModel
from dubbench.training.wrong_words import told, told_of_values

Built = TypeVar("Built", DubbingModel, DubbingDataModule)


def build_model(name: str, words: Sequence[str], verb: str) -> DubbingModel:
    """Build a model with fresh weights.

    Args:
        name: short name, YAML file or class path.
        words: options of its constructor, ``--model.NAME VALUE``.
        verb: of the command line, for what is said of wrong words.

    Raises:
        DubbenchError: if there is no such name.
        UsageError: if a word is wrong.
        ValueError: if the constructor refuses values; its own error is the cause.
    """
    return _build(DubbingModel, ["--model", name, *words], verb)


def build_data(name: str, words: Sequence[str], verb: str) -> DubbingDataModule:
    """Build a data module; see `build_model`, with ``--data.NAME`` or ``--dataset.NAME`` for the options."""
    return _build(DubbingDataModule, ["--data", name, *words], verb)


def _build(kind: type[Built], words: Sequence[str], verb: str) -> Built:
    flag, *_ = words
    parser = ArgumentParser(prog=f"dubbench {verb}", exit_on_error=False)
    parser.add_subclass_arguments(kind, flag.lstrip("-"), required=True)
    with told("fit"):
        parsed = parser.parse_args(expand(words))
    with told_of_values():
        built: Built = parser.instantiate_classes(parsed)[flag.lstrip("-")]
    return built
