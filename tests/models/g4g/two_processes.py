"""Gradients of the contrastive loss with half of the windows in each of two processes."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from dubbench.models.g4g.losses import contrastive

WINDOWS, FRAMES, DIM = 6, 3, 8


class Encoders(nn.Module):
    """Two linear encoders and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.visual, self.speech = nn.Linear(5, DIM), nn.Linear(7, DIM)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        return contrastive(F.normalize(self.visual(seen), dim=-1), F.normalize(self.speech(heard), dim=-1), self.scale)


def gradients(net: nn.Module, seen: Tensor, heard: Tensor) -> dict[str, Tensor]:
    loss = net(seen, heard)
    loss.backward()
    found = {name.removeprefix("module."): p.grad for name, p in net.named_parameters() if p.grad is not None}
    return {**found, "loss": loss.detach()}


def windows() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(WINDOWS, FRAMES, 5, generator=draw), torch.randn(WINDOWS, FRAMES, 7, generator=draw)


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    half = slice(rank * WINDOWS // 2, (rank + 1) * WINDOWS // 2)
    net = nn.parallel.DistributedDataParallel(Encoders())
    torch.save(gradients(net, *(each[half] for each in windows())), Path(folder, f"{rank}.pt"))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    work(int(sys.argv[2]), sys.argv[1])
