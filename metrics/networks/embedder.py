"""Face embeddings by ArcFace-shaped ONNX files, through onnxruntime."""

from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubbench.core.files import sha256
from dubbench.errors import DubbenchError

Normalisation = Literal["arcface", "imagenet", "none"]
CROP = 112  # pixels a side of an aligned face
BATCH = 32
IMAGENET = (255 * np.array((0.485, 0.456, 0.406)), 255 * np.array((0.229, 0.224, 0.225)))


class ArcFace:
    """An embedder for `csim`: insightface's recognition models and whatever has their shape.

    Runs on a CUDA device where the installed onnxruntime can, else on the CPU with as many threads as torch has.

    Args:
        path: ONNX file with one input float [N or fixed, 3, 112, 112] in RGB and one output [N, D].
        normalisation: ``arcface`` is (x - 127.5) / 127.5; ``imagenet`` takes x / 255 by ImageNet's mean and deviation;
            ``none`` hands 0..255 over. None decides by insightface's rule: ``none`` if the graph begins with a
            subtraction and a multiplication of its own (old mxnet exports), else ``arcface``.

    Attributes:
        name: the file's, without suffix.
        normalisation: the one in use.

    Raises:
        DubbenchError: if the file is not there, is no ONNX file, or has another shape.
    """

    normalisation: Normalisation

    def __init__(self, path: Path | str, normalisation: Normalisation | None = None) -> None:
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX
        from onnxruntime import InferenceSession, SessionOptions, disable_telemetry_events, get_available_providers

        # Recent releases report sessions to their makers unless told not to.
        disable_telemetry_events()

        if normalisation not in (None, *get_args(Normalisation)):
            raise DubbenchError(
                f"there is no normalisation {normalisation!r} of face crops; take one of {get_args(Normalisation)}"
            )
        self.path, self._asked = Path(path), normalisation
        self.name = self.path.stem
        if not self.path.is_file():
            raise DubbenchError(f"face embedder {self.path} is not there; name an ArcFace-shaped ONNX file")
        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        wanted = [
            name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in get_available_providers()
        ]
        try:
            self._session = InferenceSession(str(self.path), options, providers=wanted)
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise DubbenchError(
                f"face embedder {self.path} cannot be read as an ONNX network ({str(error).splitlines()[0]}); "
                "fetch it again or name another"
            ) from error
        self._batch, self._width = self._check()
        if normalisation is None:
            inner = ArcFaceONNX(str(self.path), self._session)
            normalisation = "arcface" if inner.input_mean else "none"
        self.normalisation = normalisation

    def _check(self) -> tuple[int | None, int]:
        """Batch size that the file fixes, None if it takes any, and width of an embedding, 0 if it does not say."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        fits = len(shape) == 4 and all(
            size == fixed or not isinstance(size, int) for size, fixed in zip(shape[1:], (3, CROP, CROP), strict=True)
        )
        if not fits or inputs[0].type != "tensor(float)" or len(outputs) != 1 or len(outputs[0].shape) != 2:
            found = [f"{node.name} {node.type} {node.shape}" for node in (*inputs, *outputs)]
            raise DubbenchError(
                f"face embedder {self.path} has {', '.join(found)}; it must take one float [N, 3, {CROP}, {CROP}] "
                "and give one [N, D]"
            )
        width = outputs[0].shape[1]
        return shape[0] if isinstance(shape[0], int) else None, width if isinstance(width, int) else 0

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file."""
        return sha256(self.path)

    def describe(self) -> dict[str, str]:
        """What a result must say of the embedder: name, sha256 and normalisation."""
        return {"name": self.name, "sha256": self.sha256, "normalisation": self.normalisation}

    def __call__(self, crops: Tensor) -> Tensor:
        """Embed aligned faces.

        Args:
            crops: uint8 [N, 3, 112, 112] RGB, as `face_crop` cuts them.

        Returns:
            float32 [N, D] on the CPU, not normalised to unit length.

        Raises:
            DubbenchError: on another shape or type.
        """
        if crops.dtype != torch.uint8 or crops.shape[1:] != (3, CROP, CROP):
            raise DubbenchError(
                f"crops are {crops.dtype} {list(crops.shape)}; {self.name} takes uint8 [N, 3, 112, 112]"
            )
        pixels = self._normalised(crops.cpu().numpy())
        step = self._batch or BATCH
        name = self._session.get_inputs()[0].name
        parts = []
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            count = len(part)
            if self._batch and count < step:
                part = np.concatenate([part, np.repeat(part[-1:], step - count, axis=0)])
            parts.append(torch.from_numpy(self._session.run(None, {name: part})[0][:count]))
        return torch.cat(parts) if parts else torch.zeros(0, self._width)

    def _normalised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.normalisation == "none":
            return pixels.astype(np.float32)
        mean, deviation = IMAGENET if self.normalisation == "imagenet" else (np.full(3, 127.5), np.full(3, 127.5))
        # In float64 first: the result then depends on no order of operations.
        normalised = (pixels - mean.reshape(3, 1, 1)) / deviation.reshape(3, 1, 1)
        return np.asarray(normalised, dtype=np.float32)

    def __reduce__(self) -> tuple[type["ArcFace"], tuple[Path, Normalisation | None]]:
        """Copies and other processes open the file again: a session cannot be pickled."""
        return ArcFace, (self.path, self._asked)
