import subprocess
import sys
from pathlib import Path

import torch

from tests.models.conftest import PlainRadio, small_radio
from tests.models.two_processes import train

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    one = train(tmp_path, 1)
    command = [sys.executable, "-m", "tests.models.two_processes", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=240, capture_output=True)
    two = torch.load(tmp_path / "2.pt", weights_only=True)
    start = small_radio(PlainRadio).generator.state_dict()
    assert sum((one[name] - start[name]).abs().max() > 1e-4 for name in one) > len(one) / 2
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)
