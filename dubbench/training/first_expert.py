"""The sync expert that a method learns from and that is trained before it: with which words of a command line."""

from pathlib import Path
from typing import Any

import yaml

from dubbench.core.config_names import read
from dubbench.core.files import write_text
from dubbench.models.base import DubbingModel

# What is the method's own training's alone: its length, its place, and objects that hold its state.
OWN = (
    *("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "default_root_dir", "callbacks"),
    *("fast_dev_run", "enable_checkpointing"),
)


def words_of_expert(name: str, model: DubbingModel) -> list[str]:
    """Options by which the expert of the config ``name`` sees what ``model`` draws: its size and its crop."""
    given = read("model", name)["init_args"]
    words = ["--model.size", str(model.window.size)]
    if model.window.crop != given.get("crop", "square"):
        words += ["--model.crop", model.window.crop]
    return words


def run_words(config: Any, out: Path) -> list[str]:  # noqa: ANN401  # a namespace of jsonargparse
    """Data, seed, length and trainer of the expert's training, as those of the method's, in files in ``out``."""
    # The batch size is left out: it belongs to a model's recipe, and this is another model.
    options = {key: value for key, value in config.data.init_args.as_dict().items() if key != "batch_size"}
    write_text(out / "data.yaml", yaml.safe_dump({"class_path": config.data.class_path, "init_args": options}))
    trainer = {key: value for key, value in config.trainer.as_dict().items() if key not in OWN and value is not None}
    write_text(out / "trainer.yaml", yaml.safe_dump(trainer))
    words = ["--data", str(out / "data.yaml"), "--trainer", str(out / "trainer.yaml")]
    words += ["--seed_everything", str(config.seed_everything)]
    if config.save_minutes is not None:
        words += ["--save_minutes", str(config.save_minutes)]
    if config.first_iterations is not None:
        words += ["--model.iterations", str(config.first_iterations)]
    return words
