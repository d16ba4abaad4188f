"""A network as an ONNX file, checked with onnxruntime against PyTorch before it appears."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dubbench.core.files import atomic
from dubbench.errors import DubbenchError

TOLERANCE = 1e-4  # of frames in [-1, 1]


def export(network: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path) -> float:
    """Write a network as ONNX and run it with onnxruntime beside PyTorch; the file appears whole and right, or not.

    Args:
        network: takes ``inputs`` by name and returns a tensor or several.
        inputs: an example. The first axis of those with two rows or more is the batch and may have any length in the
            file; one row stays one, for all of the batch.
        outputs: names for what the network returns.
        path: of the file.

    Returns:
        The largest difference on an example that is one row longer.

    Raises:
        DubbenchError: if it cannot be expressed in ONNX, or onnxruntime gives something else than PyTorch.
    """
    network = network.cpu().eval()
    example = {name: tensor.detach().cpu() for name, tensor in inputs.items()}
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} if _batched(tensor) else {} for name, tensor in example.items()}
    with atomic(path) as temporary, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, to its own makers
        try:
            program = torch.onnx.export(
                network,
                kwargs=example,
                input_names=list(example),
                output_names=list(outputs),
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0][:160]
            raise DubbenchError(f"{type(network).__name__} cannot be exported to ONNX ({reason})") from error
        assert program is not None
        program.save(str(temporary))
        difference = _difference(network, example, temporary)
        if not difference <= TOLERANCE:
            raise DubbenchError(
                f"onnxruntime's output differs from PyTorch's by {difference:.1e}, more than {TOLERANCE:.0e}; {path} "
                "was not written; use other versions of onnxruntime and torch"
            )
    return difference


def axes(tensor: Tensor) -> list[int | str]:
    """Axes of an example as the file has them: its batch by name, a single row as 1."""
    return ["batch" if _batched(tensor) else 1, *tensor.shape[1:]]


def _difference(network: nn.Module, example: Mapping[str, Tensor], path: Path) -> float:
    import onnxruntime

    # One row more than the example: that the batch may change is seen by changing it.
    rows = {name: torch.cat([x, x[:1]]).flip(0) if _batched(x) else x for name, x in example.items()}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    made = session.run(None, {name: tensor.numpy() for name, tensor in rows.items()})
    expected = network(**rows)
    expected = [expected] if isinstance(expected, Tensor) else expected
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(made, expected, strict=True))


def _batched(tensor: Tensor) -> bool:
    return tensor.shape[0] > 1
