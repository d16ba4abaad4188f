"""All torchmetrics classes: one value for any batches and any number of processes, and nothing heavy on import."""

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torchmetrics import Metric

from dubbench.metrics import (
    CSIM,
    FID,
    KID,
    LMD,
    MSE,
    MSSSIM,
    PSNR,
    SSIM,
    LPIPSDistance,
    StyleSim,
    Sync,
    SyncSimilarity,
    csim,
    frechet_distance,
    kernel_distance,
    lmd,
    ms_ssim,
    mse,
    ssim,
    style_similarity,
    sync_scores,
    sync_similarity,
)
from dubbench.metrics.common.images import image_keys

HEAVY = ("lightning", "mediapipe", "dubbench.models", "insightface", "pytorch_fid")
COUNT = 5
KEPT = 3


@dataclass(frozen=True)
class Case:
    """A class, arguments of an update with all samples, and the value of any of them worked out without the class."""

    metric: Callable[[], Metric]
    samples: Callable[[], tuple[Tensor, ...]]
    value: Callable[..., Any]
    higher: bool | None
    clip_by_clip: bool = False
    rtol: float = 1e-12

    def update(self, metric: Metric, rows: slice) -> None:
        arguments = tuple(argument[rows] for argument in self.samples())
        for part in zip(*arguments, strict=True) if self.clip_by_clip else [arguments]:
            metric.update(*part)

    def check(self, found: Any, rows: slice) -> None:  # noqa: ANN401
        wanted = self.value(*(argument[rows] for argument in self.samples()))
        torch.testing.assert_close(found, wanted, rtol=self.rtol, atol=0)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images() -> tuple[Tensor, Tensor]:
    target = torch.randint(0, 200, (COUNT, 3, 177, 183), generator=random(3), dtype=torch.uint8)
    noise = torch.randint(0, 40, target.shape, generator=random(4), dtype=torch.uint8)
    return target + noise, target


def faces() -> tuple[Tensor, ...]:
    five = torch.tensor([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)])
    return *images(), five + torch.rand(COUNT, 5, 2, generator=random(5)) * 9


def landmarks() -> tuple[Tensor, Tensor]:
    left, right = torch.rand(2, COUNT, 68, 2, generator=random(3))
    return left, right


def sequences() -> tuple[Tensor, Tensor]:
    left, right = torch.randn(2, COUNT, 13, 4, generator=random(6), dtype=torch.float64)
    return left, right


def talk() -> tuple[Tensor, Tensor]:
    frames = torch.randint(0, 256, (COUNT, 9, 224, 224, 3), generator=random(7), dtype=torch.uint8)
    return frames, torch.randint(-3000, 3000, (COUNT, 9 * 640), generator=random(8), dtype=torch.int16)


def windows() -> tuple[Tensor, Tensor]:
    frames = torch.randint(0, 256, (COUNT, 7, 3, 8, 8), generator=random(9), dtype=torch.uint8)
    return frames, torch.randn(COUNT, 7, 80, 20, generator=random(10))


def levels(crops: Tensor) -> Tensor:
    """A stand-in for networks of images: mean colours of quarters, exact in any batch."""
    return adaptive_avg_pool2d(crops.double() - 100, 2).flatten(1)


def differ(pred: Tensor, target: Tensor) -> Tensor:
    return (pred.double() - target.double()).abs().mean(dim=(1, 2, 3))


def last_and_mean(sequence: Tensor) -> Tensor:
    return torch.cat([sequence[:, -1], sequence.mean(dim=1)], dim=1)


def agree(frames: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
    return frames.double().mean(dim=(3, 4))[:, 4:], mel.double()[:, 4:, :3, 0]


class Ears:
    """A stand-in for SyncNet."""

    def visual(self, frames: Tensor) -> Tensor:
        return adaptive_avg_pool2d(frames.double(), 2).flatten(1).unfold(0, 5, 1).flatten(1)[:, :13]

    def audio(self, windows: Tensor) -> Tensor:
        return windows.double().mean(dim=(1, 3))


def mean_of(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *arguments: function(*arguments).mean()


def fid_value(pred: Tensor, target: Tensor) -> Tensor:
    sides = [levels(side).numpy() for side in (pred, target)]
    moments = [part for side in sides for part in (side.mean(axis=0), np.cov(side, rowvar=False))]
    return torch.tensor(frechet_distance(*moments), dtype=torch.float64)


def kid_value(pred: Tensor, target: Tensor) -> Tensor:
    """Of the frames whose keys are smallest."""
    kept = [side[image_keys(side).argsort()[:KEPT]] for side in (pred, target)]
    return torch.tensor(kernel_distance(*(levels(side).float() for side in kept)), dtype=torch.float64)


def sync_value(frames: Tensor, audio: Tensor) -> dict[str, Tensor]:
    scores = [sync_scores(Ears(), *clip) for clip in zip(frames, audio, strict=True)]
    means = {name: np.mean([getattr(score, name) for score in scores]) for name in ("lse_d", "lse_c", "av_offset")}
    found = {name: torch.tensor(value, dtype=torch.float64) for name, value in means.items()}
    return {**found, "clips": torch.tensor(len(frames)), "failed": torch.tensor(0)}


def pooled_psnr(pred: Tensor, target: Tensor) -> Tensor:
    """Of all pixels of all samples at once."""
    return 10 * (255**2 / (pred.double() - target.double()).square().mean()).log10()


CASES = {
    "psnr": Case(PSNR, images, pooled_psnr, True),
    "ssim": Case(SSIM, images, mean_of(ssim), True),
    "ms_ssim": Case(MSSSIM, images, mean_of(ms_ssim), True),
    "mse": Case(MSE, images, mean_of(mse), False),
    "lmd": Case(LMD, landmarks, mean_of(lmd), False),
    "lpips": Case(lambda: LPIPSDistance(differ), images, mean_of(differ), False),
    "fid": Case(lambda: FID(levels, minimum=2), images, fid_value, False, rtol=1e-6),
    "kid": Case(lambda: KID(levels, sample=KEPT), images, kid_value, False, rtol=1e-9),
    "csim": Case(lambda: CSIM(levels), faces, mean_of(lambda *faces: csim(levels, *faces)), True),
    "style": Case(
        lambda: StyleSim(last_and_mean, window=5),
        sequences,
        mean_of(lambda pred, target: style_similarity(last_and_mean, pred, target, window=5)),
        True,
    ),
    "sync": Case(lambda: Sync(Ears()), talk, sync_value, None, clip_by_clip=True),
    "sync_similarity": Case(
        lambda: SyncSimilarity(agree), windows, mean_of(lambda *clips: sync_similarity(agree, *clips)), True
    ),
}


@pytest.mark.parametrize("size", [1, 3, COUNT])
@pytest.mark.parametrize("name", CASES)
def test_one_value_in_any_batches(name: str, size: int) -> None:
    case = CASES[name]
    metric = case.metric()
    for start in range(0, COUNT, size):
        case.update(metric, slice(start, start + size))
        metric = pickle.loads(pickle.dumps(metric))
    case.check(metric.compute(), slice(COUNT))
    assert metric.higher_is_better is case.higher
    assert vars(type(metric))["unit"]
    metric.reset()
    case.update(metric, slice(2))
    case.check(metric.compute(), slice(2))


def test_region_and_centring_reach_the_function() -> None:
    pred, target = landmarks()
    metric = LMD("face", centred=False)
    metric.update(pred, target)
    torch.testing.assert_close(metric.compute(), lmd(pred, target, "face", False).mean())


def _process(rank: int, folder: str) -> None:
    heavy = [name for name in HEAVY if name in sys.modules]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    values = {}
    for name, case in CASES.items():
        metric = case.metric()
        case.update(metric, slice(rank, None, 2))  # three samples here, two there
        values[name] = metric.compute()
    torch.save((values, heavy), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one_and_import_nothing_heavy(tmp_path: Path) -> None:
    spawn: Callable[..., object] = vars(mp)["spawn"]
    spawn(_process, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        values, heavy = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert heavy == [], "metrics pull in training, detection or what few of them need"
        for name, case in CASES.items():
            case.check(values[name], slice(COUNT))
