"""Linear systems of a chain of frames: each frame's unknowns meet those of the next two, and some that all share."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Chain:
    """A symmetric positive definite system over T frames of n unknowns, and S that they share.

    Attributes:
        own: [T, n, n], blocks of the diagonal.
        next: [T - 1, n, n], rows of a frame, columns of the following one.
        second: [T - 2, n], diagonals of the blocks between frames two apart.
        shared: [T, n, S], rows of a frame, columns of the shared unknowns.
        corner: [S, S], the shared unknowns' own block.
    """

    own: Tensor
    next: Tensor
    second: Tensor
    shared: Tensor
    corner: Tensor

    @classmethod
    def zeros(cls, like: Tensor, length: int, count: int, shared: int) -> "Chain":
        """An empty system over ``length`` frames of ``count`` unknowns and ``shared`` ones."""
        return cls(
            own=like.new_zeros(length, count, count),
            next=like.new_zeros(max(length - 1, 0), count, count),
            second=like.new_zeros(max(length - 2, 0), count),
            shared=like.new_zeros(length, count, shared),
            corner=like.new_zeros(shared, shared),
        )

    def solve(self, frames: Tensor, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Unknowns [T, n] and [S] for right-hand sides of these shapes; time and memory grow as T."""
        sides = torch.cat([frames[..., None], self.shared], 2)
        solved = self._solve_chain(sides)
        schur = self.corner - torch.einsum("tns,tnr->sr", self.shared, solved[..., 1:])
        rest = shared - torch.einsum("tns,tn->s", self.shared, solved[..., 0])
        common = torch.linalg.solve(schur, rest)
        return solved[..., 0] - solved[..., 1:] @ common, common

    def _solve_chain(self, sides: Tensor) -> Tensor:
        """Solve without the shared unknowns, for sides [T, n, R].

        Two frames are one link, so that links meet neighbours only, and block elimination runs along the chain.
        """
        diagonal, link = self._links()
        width = diagonal.shape[-1]
        odd = len(sides) % 2
        sides = torch.nn.functional.pad(sides, (0, 0, 0, 0, 0, odd)).reshape(len(diagonal), width, -1)
        factors: list[Tensor] = []
        done: list[Tensor] = []
        for k in range(len(diagonal)):
            block, side = diagonal[k], sides[k]
            if k:
                carried = torch.cholesky_solve(torch.cat([link[k - 1], done[-1]], 1), factors[-1])
                block = block - link[k - 1].T @ carried[:, :width]
                side = side - link[k - 1].T @ carried[:, width:]
            factors.append(torch.linalg.cholesky(block))
            done.append(side)
        solved = [torch.cholesky_solve(done[-1], factors[-1])]
        for k in range(len(diagonal) - 2, -1, -1):
            solved.append(torch.cholesky_solve(done[k] - link[k] @ solved[-1], factors[k]))
        whole = torch.stack(solved[::-1]).reshape(2 * len(diagonal), width // 2, -1)
        return whole[: len(whole) - odd]

    def _links(self) -> tuple[Tensor, Tensor]:
        """Diagonal blocks [T / 2, 2n, 2n] of the links, and the blocks between neighbours; an odd end is filled up."""
        count, n = self.own.shape[:2]
        links = (count + 1) // 2
        own = torch.eye(n, dtype=self.own.dtype, device=self.own.device).repeat(2 * links, 1, 1)
        own[:count] = self.own
        following, second = own.new_zeros(2 * links, n, n), own.new_zeros(2 * links, n, n)
        following[: count - 1] = self.next
        second[: len(self.second)] = torch.diag_embed(self.second)
        even, odd = slice(0, None, 2), slice(1, None, 2)
        diagonal = torch.cat(
            [torch.cat([own[even], following[even]], 2), torch.cat([following[even].mT, own[odd]], 2)], 1
        )
        zero = torch.zeros_like(second[even])
        link = torch.cat([torch.cat([second[even], zero], 2), torch.cat([following[odd], second[odd]], 2)], 1)
        return diagonal, link[:-1]
