"""What a row of speeds says of itself: the model, its weights, the machine and how it computed."""

import platform
from pathlib import Path

import torch

from dubbench import __version__
from dubbench.core.files import sha256
from dubbench.models.base import DubbingModel


def labels(
    model: DubbingModel,
    device: torch.device,
    *,
    name: str,
    precision: str,
    compiler: str,
    checkpoint: Path | None,
    seed: int,
) -> dict[str, str]:
    """The columns of a row that its measurement does not know, see `dubbench.speed.report.lines`.

    Args:
        model: that was timed.
        device: it ran on.
        name: of the method.
        precision: of autocast, one of `dubbench.core.devices.PRECISIONS`.
        compiler: backend of torch.compile, or empty.
        checkpoint: where the weights came from; None for fresh ones.
        seed: of fresh weights.
    """
    return {
        "model": name,
        "device": processor(device),
        "precision": precision,
        "compile": compiler,
        "size": str(model.aligned_size),
        "threads": str(torch.get_num_threads()),
        "weights": sha256(checkpoint)[:12] if checkpoint else f"fresh, seed {seed}",
        "torch": str(torch.__version__),
        "version": __version__,
    }


def processor(device: torch.device) -> str:
    """Name of the processor, as its maker calls it where the system tells."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
