"""The endless stream of training windows, and what share of a batch each process gets."""

from collections.abc import Callable, Iterator, Sized
from typing import Any

import torch
from torch.utils.data import DistributedSampler

from dubbench.errors import DubbenchError

# Windows that go over the whole split evenly before the next as many do, whatever the length of an epoch.
ROUND = 1000


class StreamSampler(DistributedSampler[Any]):
    """Keys (round, window) of one endless stream, of which each batch is the next stretch.

    Window number n of a training is the same whatever the number of processes and workers, the length of epochs, and
    however often the training was resumed. A round is the dataset's length; within it every window comes once, in an
    order that follows from seed and round. Each process gets the next rows of every batch, in the order of their ranks.

    A `DistributedSampler` only so that Lightning leaves it as it is.

    Args:
        dataset: whose windows; its length is a round's.
        batch_size: windows a batch of all processes together.
        length: windows an epoch, whole batches.
        seed: of the order.
        replicas: processes.
        rank: which of them this is.
        position: tells when an epoch begins how many windows the training has seen.
    """

    def __init__(
        self,
        dataset: Any,  # noqa: ANN401  # sized, of keys (round, window)
        batch_size: int,
        length: int,
        *,
        seed: int,
        replicas: int = 1,
        rank: int = 0,
        position: Callable[[], int] = int,
    ) -> None:
        super().__init__(dataset, replicas, rank, seed=seed)
        self.batch_size, self.length, self.position = batch_size, length, position

    def __len__(self) -> int:
        return self.length // self.num_replicas

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first, share = self.position(), share_of(self.batch_size, self.num_replicas)
        begin = self.rank * share
        number, order = -1, torch.empty(0)
        for batch in range(first, first + self.length, self.batch_size):
            for place in range(batch + begin, batch + begin + share):
                turn, index = divmod(place, len(self._sized))
                if turn != number:
                    number, order = turn, self._order(turn)
                yield turn, int(order[index])

    @property
    def _sized(self) -> Sized:
        sized: Sized = self.dataset  # type: ignore[assignment]
        return sized

    def _order(self, turn: int) -> torch.Tensor:
        return torch.randperm(len(self._sized), generator=torch.Generator().manual_seed(self.seed + turn))


class SameSampler(DistributedSampler[Any]):
    """Keys (0, window) of a dataset in its order, dealt out to the processes: always the same windows."""

    def __init__(self, dataset: Any, replicas: int = 1, rank: int = 0) -> None:  # noqa: ANN401
        super().__init__(dataset, replicas, rank, shuffle=False)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(0, index) for index in super().__iter__()])


def share_of(batch_size: int, processes: int) -> int:
    """Windows of a batch that each process gets.

    Raises:
        DubbenchError: if the batch has no whole shares.
    """
    if batch_size % processes:
        nearest = max(1, round(batch_size / processes)) * processes
        raise DubbenchError(
            f"a batch of {batch_size} windows cannot be shared by {processes} processes; give --data.batch_size "
            f"{nearest}, or train on a number of devices that divides it"
        )
    return batch_size // processes
