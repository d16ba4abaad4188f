"""Random numbers of a whole batch, of which each process takes its own rows."""

import torch
from torch import Tensor
from torch import distributed as dist

from dubbench.models.layers.gather import own_rows, shared


class BatchRandom:
    """Draws a row a window, so that a batch is given the same numbers whatever the number of processes that share it.

    Each process draws for all of them, of one seed, and takes its own rows. Before the first `begin`, and after `end`,
    it draws from torch's own generator, as a module outside training does.
    """

    def __init__(self) -> None:
        self._seed: int | None = None
        self._generators: dict[torch.device, torch.Generator] = {}

    def begin(self, seed: int) -> None:
        """Draw by this seed from here on."""
        self._seed = seed
        self._generators.clear()

    def end(self) -> None:
        """Draw from torch's own generator again."""
        self._seed = None

    def uniform(self, rows: int, *shape: int, device: torch.device) -> Tensor:
        """Numbers in [0, 1): float32 [rows, *shape]."""
        drawn = torch.rand(self._all(rows), *shape, device=device, generator=self._of(device))
        return self._own(drawn, rows)

    def normal(self, rows: int, *shape: int, device: torch.device) -> Tensor:
        """Numbers of the unit normal: float32 [rows, *shape]."""
        drawn = torch.randn(self._all(rows), *shape, device=device, generator=self._of(device))
        return self._own(drawn, rows)

    def integers(self, low: int, high: int, rows: int, *shape: int, device: torch.device) -> Tensor:
        """Numbers from ``low`` to ``high - 1``: int64 [rows, *shape]."""
        drawn = torch.randint(low, high, (self._all(rows), *shape), device=device, generator=self._of(device))
        return self._own(drawn, rows)

    def _of(self, device: torch.device) -> torch.Generator | None:
        # A device without memory draws nothing, and has no generator.
        if self._seed is None or device.type == "meta":
            return None
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def _all(self, rows: int) -> int:
        return rows * dist.get_world_size() if self._together() else rows

    def _own(self, drawn: Tensor, rows: int) -> Tensor:
        return own_rows(drawn, rows) if self._together() else drawn

    def _together(self) -> bool:
        return self._seed is not None and shared()
