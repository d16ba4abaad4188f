"""Gradients of the losses that compare windows, with half of them in each of two processes."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from dubbench.models.g4g.losses import Features, attribute, contrastive, told_apart
from tests.models.conftest import small_expert

WINDOWS, FRAMES, DIM, OTHERS = 6, 5, 8, 2
CLIPS = ["anna/one", "bert/one", "anna/one", "anna/one", "bert/two", "cleo/one"]
STARTS = torch.tensor([3, 3, 20, 5, 3, 0])  # the first and the fourth share frames across the processes
THERE = torch.tensor([[1, 1], [1, 0], [0, 0], [1, 1], [1, 1], [1, 0]]).bool()


class Encoders(nn.Module):
    """Linear encoders and a temperature, by eqs. 8 to 10 and 12."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.visual, self.speech, self.landmark = nn.Linear(5, DIM), nn.Linear(7, DIM), nn.Linear(5, DIM)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, rows: slice) -> Tensor:
        seen, heard, others, _ = (each[rows] for each in windows())
        visual, *speech = (
            F.normalize(encoder(each), dim=-1)
            for encoder, each in ((self.visual, seen), (self.speech, heard), (self.speech, others))
        )
        features = Features(visual, speech[0], speech[1], THERE[rows])
        apart = told_apart(CLIPS[rows], STARTS[rows], FRAMES)
        landmark = self.landmark(seen)
        speakers = [clip[:4] for clip in CLIPS[rows]]
        return contrastive(features, self.scale, apart) + attribute(landmark, landmark[:, 0] + 1, speakers)


class Drawn(nn.Module):
    """Frames of colours that are learnt, by eq. 16."""

    def __init__(self) -> None:
        super().__init__()
        self.expert = small_expert(crop="face").network.eval().requires_grad_(False)
        self.gain, self.shift = nn.Parameter(torch.ones(3, 1, 1)), nn.Parameter(torch.zeros(3, 52, 40))

    def forward(self, rows: slice) -> Tensor:
        _, _, _, pictures = (each[rows] for each in windows())
        draw = torch.Generator().manual_seed(2)
        mel, others = (
            torch.randn(WINDOWS, 5, 80, 16, generator=draw),
            torch.randn(WINDOWS, 2, 5, 80, 16, generator=draw),
        )
        apart = told_apart(CLIPS[rows], STARTS[rows], FRAMES)
        loss: Tensor = self.expert.agreement_loss(
            pictures * self.gain + self.shift,
            mel[rows],
            "contrastive",
            others=others[rows],
            there=THERE[rows],
            told_apart=apart,
        )
        return loss


def gradients(net: nn.Module, rows: slice) -> dict[str, Tensor]:
    loss = net(rows)
    loss.backward()
    found = {name.removeprefix("module."): p.grad for name, p in net.named_parameters() if p.grad is not None}
    return {**found, "loss": loss.detach()}


def windows() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What is seen, heard, heard at other moments, and pictures."""
    draw = torch.Generator().manual_seed(1)
    seen, heard = (torch.randn(WINDOWS, FRAMES, size, generator=draw) for size in (5, 7))
    others = torch.randn(WINDOWS, OTHERS, FRAMES, 7, generator=draw)
    return seen, heard, others, torch.randn(WINDOWS, FRAMES, 3, 52, 40, generator=draw) / 2


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    half = slice(rank * WINDOWS // 2, (rank + 1) * WINDOWS // 2)
    for kind in (Encoders, Drawn):
        net = nn.parallel.DistributedDataParallel(kind())
        torch.save(gradients(net, half), Path(folder, f"{kind.__name__}{rank}.pt"))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    work(int(sys.argv[2]), sys.argv[1])
