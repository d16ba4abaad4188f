import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from dubbench.metrics import LMD, MSE, MSSSIM, PSNR, SSIM, lmd, ms_ssim, mse, psnr, ssim

CASES = {
    "psnr": (PSNR, psnr, True),
    "ssim": (SSIM, ssim, True),
    "ms_ssim": (MSSSIM, ms_ssim, True),
    "mse": (MSE, mse, False),
    "lmd": (LMD, lmd, False),
}


def batch(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    if name == "lmd":
        left, right = torch.rand(2, 5, 68, 2, generator=generator)
        return left, right
    target = torch.randint(0, 200, (5, 3, 176, 176), generator=generator, dtype=torch.uint8)
    noise = torch.randint(0, 40, target.shape, generator=generator, dtype=torch.uint8)
    return target + noise, target


@pytest.mark.parametrize("name", CASES)
def test_mean_over_samples_in_any_batches(name: str) -> None:
    kind, function, higher = CASES[name]
    metric, (pred, target) = kind(), batch(name)
    metric.update(pred[:4], target[:4])
    metric = pickle.loads(pickle.dumps(metric))
    metric.update(pred[4:], target[4:])
    torch.testing.assert_close(metric.compute(), function(pred, target).mean(), rtol=1e-12, atol=0)
    assert metric.higher_is_better is higher
    metric.reset()
    metric.update(pred[:1], target[:1])
    torch.testing.assert_close(metric.compute(), function(pred[:1], target[:1])[0], rtol=1e-12, atol=0)


def test_region_and_centring_reach_the_function() -> None:
    pred, target = batch("lmd")
    metric = LMD("face", centred=False)
    metric.update(pred, target)
    torch.testing.assert_close(metric.compute(), lmd(pred, target, "face", False).mean())


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    values = {}
    for name, (kind, _, _) in CASES.items():
        metric, (pred, target) = kind(), batch(name)
        metric.update(pred[rank::2], target[rank::2])  # three samples here, two there
        values[name] = metric.compute()
    heavy = [name for name in ("lightning", "mediapipe", "dubbench.models") if name in sys.modules]
    torch.save((values, heavy), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one_and_import_nothing_heavy(tmp_path: Path) -> None:
    spawn: Callable[..., object] = vars(mp)["spawn"]
    spawn(_process, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        values, heavy = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert heavy == [], "metrics pull in training or detection"
        for name, (_, function, _) in CASES.items():
            torch.testing.assert_close(values[name], function(*batch(name)).mean(), rtol=1e-12, atol=0)
