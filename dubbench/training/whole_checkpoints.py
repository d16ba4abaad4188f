"""Checkpoints that a kill leaves whole, wherever temporary files lie."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from dubbench.core.files import atomic


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning's own writes it into the folder for temporary files and moves it. From one file system to another, as on
    most clusters, that is a copy over the old checkpoint, and a kill leaves neither; what it wrote stays behind, too.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ANN401
        """Write a checkpoint; addresses of other file systems are Lightning's."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        buffer = BytesIO()  # in which torch writes what a full disk would make an error of no kind
        torch.save(checkpoint, buffer)
        with atomic(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())
