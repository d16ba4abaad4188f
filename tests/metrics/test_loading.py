"""What is loaded when: listing metrics loads nothing heavy, and no file hides the function of its name."""

import subprocess
import sys

import pytest

HEAVY = (
    "torchvision", "torchmetrics", "lightning", "mediapipe", "transformers", "insightface", "pytorch_fid", "lpips",
    "librosa", "matplotlib", "dubbench.models", "dubbench.datamodules",
)  # fmt: skip


@pytest.mark.parametrize(
    ("script", "heavy"),
    [
        ("import dubbench.metrics", ("torch", "numpy", *HEAVY)),
        ("from dubbench.metrics import DEFINITIONS; assert len(DEFINITIONS) > 20", ("torch", "numpy", *HEAVY)),
        ("from dubbench.protocols.protocol import load; assert load('first_frame').hash", ("torch", *HEAVY)),
        ("from dubbench.metrics.common.options import SyncRule", ("torch", "numpy", *HEAVY)),
        ("from dubbench.metrics import csim, lmd, lpips, ms_ssim, mse, psnr, ssim", HEAVY),
        ("from dubbench.metrics import Suite, score; assert Suite(['psnr', 'lmd', 'fid']).metrics[1] == 'lmd'", HEAVY),
    ],
)
def test_nothing_heavy_is_loaded(script: str, heavy: tuple[str, ...]) -> None:
    ending = f"import sys; print(*({set(heavy)!r} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", f"{script}\n{ending}"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.strip()) == (0, ""), ended.stderr


def test_functions_are_themselves_after_their_files() -> None:
    script = """
import dubbench.metrics.psnr, dubbench.metrics.ssim
from dubbench.metrics import Suite
Suite(["psnr", "mse", "lmd"])
from dubbench import metrics
from dubbench.metrics import lmd, mse, psnr, ssim
assert all(map(callable, (lmd, mse, psnr, ssim, metrics.csim))), psnr
assert all(hasattr(metrics, name) for name in metrics.__all__)
assert {"PSNR", "psnr", "Suite", "DEFINITIONS"} <= set(metrics.__all__) <= set(dir(metrics))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
