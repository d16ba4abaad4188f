"""Methods whose frames are known beforehand: they copy the reference, give the truth, or show whoever speaks."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dubbench.datamodules.batch import Window
from dubbench.datamodules.clip import PreparedClip
from tests import talking
from tests.conftest import SIDE as SIZE

CLIPS = list(talking.LENGTHS)
Image = NDArray[np.uint8]


class Copier(nn.Module):
    """Copies the lower half of the first reference, as ``copy_reference`` must; written here anew."""

    def __init__(self, shade: float = 0.0) -> None:
        super().__init__()
        self.shade = nn.Parameter(torch.tensor(shade))
        self.window = Window(frames=1, references=3, size=SIZE)
        self.asked: list[tuple[str, list[int], NDArray[np.float32]]] = []

    def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
        self.asked.append((clip.info.clip, list(references), speech))
        reference = clip.frames([references[0]])[0]
        for k in range(len(clip)):
            frame = clip.frames([k])[0].copy()
            frame[SIZE // 2 :] = np.clip(reference[SIZE // 2 :] + self.shade.item(), 0, 255)
            yield frame

    def paste_mask(self) -> NDArray[np.float32]:
        return np.repeat(np.arange(SIZE) >= SIZE // 2, SIZE).reshape(SIZE, SIZE).astype(np.float32)

    def parameter_count(self) -> int:
        return 1


class Truth:
    """Gives the clip's own aligned frames at half their size."""

    def __init__(self, frames: int | None = None, kind: type[np.generic] = np.uint8) -> None:
        self.frames, self.kind = frames, kind

    def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
        for _, frame in zip(range(self.frames or len(clip)), clip.stream(SIZE // 2), strict=False):
            yield frame.astype(self.kind)

    def paste_mask(self) -> NDArray[np.float32]:
        return np.ones((SIZE // 2, SIZE // 2), np.float32)

    def parameter_count(self) -> int:
        return 0


class Actor:
    """Shows the driver's own face: whoever hears perfectly."""

    def __init__(self, drivers: dict[str, PreparedClip]) -> None:
        self.drivers = drivers

    def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
        driver = self.drivers[clip.info.clip]
        for k in range(len(clip)):
            yield driver.frames([min(k, len(driver) - 1)])[0]

    def paste_mask(self) -> NDArray[np.float32]:
        return np.ones((SIZE, SIZE), np.float32)

    def parameter_count(self) -> int:
        return 0
