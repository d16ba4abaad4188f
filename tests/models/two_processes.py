"""Train one step on four windows in as many processes as asked for, and keep the generator."""

import sys
from pathlib import Path

import torch

from tests.models.conftest import PlainRadio, loader, small_radio, trainer, windows


def train(folder: Path, processes: int) -> dict[str, torch.Tensor]:
    strategy = "ddp_find_unused_parameters_true" if processes > 1 else "auto"
    model = small_radio(PlainRadio, lip_weight=2.0)
    fitting = trainer(folder, max_epochs=1, devices=processes, strategy=strategy)
    fitting.fit(model, loader(windows(model.window, 4), 4 // processes))
    weights = model.generator.state_dict()
    if fitting.is_global_zero:
        torch.save(weights, folder / f"{processes}.pt")
    return weights


if __name__ == "__main__":
    train(Path(sys.argv[1]), 2)
