import subprocess
import sys
from pathlib import Path

import torch

from dubbench.models.load import load_model
from dubbench.models.realtalk.module import RealTalk
from tests import ROOT
from tests.datamodules.miniature import Clip
from tests.models.conftest import PlainRadio, small_radio
from tests.models.talkers import make
from tests.models.two_processes import train


def test_two_processes_equal_one(tmp_path: Path) -> None:
    one = train(tmp_path, 1)
    command = [sys.executable, "-m", "tests.models.two_processes", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=240, capture_output=True)
    two = torch.load(tmp_path / "2.pt", weights_only=True)
    start = small_radio(PlainRadio).generator.state_dict()
    assert sum((one[name] - start[name]).abs().max() > 1e-4 for name in one) > len(one) / 2
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)


def test_fit_trains_methods_of_several_optimisers_in_two_processes(tmp_path: Path) -> None:
    """By the strategy that the command chooses itself."""
    root = make(tmp_path / "prepared", [Clip("anna/one", 30), Clip("bert/one", 20), Clip("bert/val", 14, "val")])
    model = {
        "size": 32,
        "vertices": 64,
        "shapes": 3,
        "expressions": 2,
        "speech": "tiny",
        "transformer.width": 16,
        "transformer.heads": 2,
        "frames": 8,
        "history": 2,
        "renderer.widths": "[8,8,16,16]",
        "renderer.stem": 8,
        "renderer.heads": 2,
        "perceptual": "none",
        "adversarial.widths": "[4,8,8]",
        "iterations": 2,
    }
    words = [word for name, value in model.items() for word in (f"--model.{name}", str(value))]
    trainer = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.logger", "false"]
    data = ["--dataset", "folder", "--dataset.root", str(root), "--data.dataset", "mini", "--data.batch_size", "2"]
    data += ["--data.windows_per_epoch", "8", "--data.val_windows", "4", "--data.num_workers", "0"]
    command = [sys.executable, "-m", "dubbench", "fit", "--model", "realtalk", *words, *data, *trainer]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], cwd=ROOT, timeout=240, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    trained = load_model(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert isinstance(trained, RealTalk)
    assert trained.ema.n_averaged
