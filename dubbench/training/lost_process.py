"""What the other processes of a training are told when one of them is gone."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed as dist

from dubbench.errors import DubbenchError

# What gloo and NCCL say of a process that they cannot reach any more.
GONE = re.compile(
    r"connection (closed|reset|refused)|connectFullMesh failed|broken pipe|socket (timeout|closed)|timed out waiting|"
    r"remote process|ncclRemoteError|ncclSystemError|watchdog|peer has closed|no such host",
    re.IGNORECASE,
)


@contextmanager
def told_of_lost_process() -> Iterator[None]:
    """Turn what a backend says of a lost process into a sentence.

    Raises:
        DubbenchError: instead of the backend's own error, where several processes train.
    """
    try:
        yield
    except (RuntimeError, ConnectionError) as error:
        # While they look for each other, only the launcher has said how many they are.
        started = dist.is_available() and dist.is_initialized()
        together = dist.get_world_size() if started else int(os.environ.get("WORLD_SIZE", "1"))
        of_backend = isinstance(error, (ConnectionError, torch.distributed.DistError))
        if together == 1 or not (of_backend or GONE.search(str(error))):
            raise
        raise DubbenchError(
            f"another of the {together} processes of this training has ended or cannot be reached "
            f"({_first(str(error))}); its own log says why, and the same command with --ckpt_path last goes on from "
            "the last checkpoint"
        ) from error


def _first(message: str) -> str:
    """The line that says it, without where in the backend's sources it was said."""
    said = next((line for line in message.splitlines() if GONE.search(line)), message.partition("\n")[0])
    return re.sub(r"\[[\w/.-]+:\d+\]\s*", "", said).strip().partition(". ")[0][:120]
