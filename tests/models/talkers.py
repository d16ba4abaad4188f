"""Miniature prepared clips with geometry, and what tests of methods with two stages do with them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.face3d import raster
from dubbench.face3d.model import project
from dubbench.media.video import VideoWriter
from dubbench.models.base import DubbingModel
from tests.datamodules import miniature
from tests.datamodules.miniature import SIZE, Clip
from tests.models.conftest import trainer

FACE = miniature.face_model()


def pictures(clip: Clip) -> NDArray[np.uint8]:
    """Frames whose faces wear the colours of their vertices, and a mouth that is darker from frame to frame."""
    values = {name: torch.from_numpy(array) for name, array in miniature.coefficients(clip).items()}
    posed = project(FACE.vertices(values["shape"], values["expression"]), values["pose"], SIZE).numpy()
    colours = 0.3 + 0.6 * FACE.pncc().numpy()
    colours[FACE.regions["lips"].numpy()] = 0.1 + 0.1 * len(clip.speaker)
    drawn = raster.rasterise(posed, FACE.triangles.numpy(), colours, SIZE, background=0.2)
    drawn[:, :, 40:48, 20:44] *= np.linspace(1, 0.5, clip.frames)[:, None, None, None]
    return np.ascontiguousarray((drawn * 255).round().astype(np.uint8).transpose(0, 2, 3, 1))


def make(folder: Path, clips: Sequence[Clip]) -> Path:
    """A prepared folder of clips that `pictures` show, with geometry."""
    root = miniature.make(folder, clips)
    miniature.write_geometry(root, clips, FACE)
    for clip in clips:
        with VideoWriter(root / clip.clip / "video.mp4", SIZE, SIZE, intra=True) as video:
            for frame in pictures(clip):
                video.write(frame)
    return root


def data(root: Path, **options: Any) -> DubbingDataModule:  # noqa: ANN401
    values: dict[str, Any] = {"batch_size": 2, "num_workers": 0, "windows_per_epoch": 4, "val_windows": 2}
    return DubbingDataModule(str(root), "mini", **{**values, **options})


class Steps(L.Callback):
    """What training logged, a row a batch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, *args: object) -> None:
        self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def fitted(root: Path, folder: Path, model: DubbingModel, epochs: int = 1, **options: Any) -> L.Trainer:  # noqa: ANN401
    fitting = trainer(folder, max_epochs=epochs, limit_val_batches=0, **options)
    fitting.fit(model, datamodule=data(root))
    return fitting


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


class Features(nn.Module):
    """In place of VGG: L1 between what a convolution makes of two images."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        distance: Tensor = (self.convolution(fake) - self.convolution(real)).abs().mean()
        return distance


def dubbed(
    model: DubbingModel,
    root: Path,
    clip: str = "anna/one",
    references: list[int] | None = None,
    speech: NDArray[np.float32] | None = None,
    precision: torch.dtype | None = None,
) -> NDArray[np.uint8]:
    prepared = PreparedClip(root, clip)
    every = list(range(len(prepared))) if references is None else references
    heard = prepared.speech() if speech is None else speech
    return np.stack(list(model.dub(prepared, heard, every, precision)))


class Seen(PreparedClip):
    """A clip that keeps account of the frames that are decoded."""

    def frames(self, indices: Any, size: int | None = None) -> NDArray[np.uint8]:  # noqa: ANN401
        self.decoded = [*getattr(self, "decoded", []), list(indices)]
        return super().frames(indices, size)


class Unseen(Seen):
    """A clip whose own frames are not to be seen but where they are asked for by number."""

    def stream(self, size: int | None = None) -> Iterator[NDArray[np.uint8]]:
        raise AssertionError("the target's own frames are not to be seen")


def assert_resumes(root: Path, folder: Path, build: Callable[[], DubbingModel]) -> None:
    """Training that stops after the first of two epochs and goes on ends with the weights of one that does not stop."""

    def run(epochs: int, start: Path | None = None) -> tuple[DubbingModel, L.Trainer]:
        model = build()
        fitting = trainer(folder, max_epochs=epochs, limit_val_batches=0)
        fitting.fit(model, datamodule=data(root), ckpt_path=start, weights_only=True)
        return model, fitting

    straight, _ = run(2)
    _, half = run(1)
    half.save_checkpoint(folder / "half.ckpt")
    resumed, _ = run(2, folder / "half.ckpt")
    for name, value in state(straight).items():
        assert torch.equal(value, state(resumed)[name]), name
