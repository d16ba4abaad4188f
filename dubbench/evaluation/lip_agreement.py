"""The suite's own sync expert as the network behind the metric ``sync_similarity``."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dubbench.core.files import sha256
from dubbench.datamodules.mel import clip_windows
from dubbench.errors import DubbenchError
from dubbench.evaluation.crops import ALIGNED
from dubbench.face.warp import warp
from dubbench.media.container import Image
from dubbench.metrics import sync_similarity
from dubbench.models.load import load_kind
from dubbench.models.sync_expert.module import SyncExpert

WINDOW = SyncExpert.FRAMES
BLOCK = 16


class Expert:
    """A trained `SyncExpert`, ready to judge clips.

    Args:
        path: its checkpoint.
        device: where it runs.

    Raises:
        DubbenchError: if there is no such file, it holds another model, or its expert judges face crops.
    """

    def __init__(self, path: Path, device: str | torch.device = "cpu") -> None:
        self.model = load_kind(SyncExpert, "sync expert", path, device)
        if self.model.window.crop != "square":
            raise DubbenchError(
                f"{path} judges {self.model.window.crop} crops, and sync_similarity is of whole aligned frames; give "
                "an expert that was trained with --model.crop square"
            )
        self._described = {"checkpoint": path.name, "sha256": sha256(path)}

    def describe(self) -> dict[str, str]:
        """File name and hash, for records."""
        return self._described

    def stream(self, speech: NDArray[np.int16]) -> "Stream":
        """Begin a clip; see `dubbench.metrics.sync_similarity.SyncJudge`."""
        return Stream(self.model, speech)


class Stream:
    """One clip: aligned frames come in one by one, and every run of five is held against its speech."""

    def __init__(self, model: SyncExpert, speech: NDArray[np.int16]) -> None:
        """Take the network and [S] samples of speech at 16 kHz from the first frame on."""
        self._model, self._speech = model, speech.astype(np.float32) / np.float32(32768)
        self._held: list[Image] = []
        self._first = self._windows = 0
        self._sum = 0.0

    def add(self, image: Image, to_256: NDArray[np.float64]) -> None:
        """Take the next full frame, and the transform [2, 3] from it to the aligned frame of 256 pixels."""
        size = self._model.window.size
        from_256 = np.linalg.inv(np.vstack([to_256, [0, 0, 1]]))[:2]
        self._held.append(warp(image, from_256 * [ALIGNED / size, ALIGNED / size, 1.0], size))
        if len(self._held) == BLOCK + WINDOW - 1:
            self._judge()

    def finish(self) -> float | None:
        """Mean cosine over the clip's windows; None below five frames."""
        if len(self._held) >= WINDOW:
            self._judge()
        return self._sum / self._windows if self._windows else None

    @torch.inference_mode()
    def _judge(self) -> None:
        """Score the frames held, and keep those that later windows share."""
        count, window = len(self._held), self._model.window
        assert window.mel is not None
        device = self._model.device
        levels = torch.from_numpy(np.stack(self._held)).to(device).permute(0, 3, 1, 2)[None]
        mel = clip_windows(self._speech, window.mel, self._first, self._first + count)[None].to(device)
        mean = sync_similarity(self._model.network, levels, mel)
        self._sum += float(mean) * (count - WINDOW + 1)
        self._windows += count - WINDOW + 1
        self._first += count - WINDOW + 1
        self._held = self._held[count - WINDOW + 1 :]
