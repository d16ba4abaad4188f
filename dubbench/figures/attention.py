"""Attention maps: where in the reference a patch of the generated lower half looks (RADIO's Figure 5)."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dubbench.core import devices
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.figures import plotting
from dubbench.media.container import Image
from dubbench.models.base import AttentionMaps
from dubbench.models.load import load_model

GREEN = "#00ff00"
CHEEK = (3, 48)  # landmarks of the jaw and the mouth's corner, between which a cheek lies


def patches(clip: PreparedClip, frame: int, rows: int, columns: int) -> dict[str, tuple[int, int]]:
    """Row and column of patches worth a look: at the mouth, as Figure 5's left columns, and far from it."""
    points = clip.aligned_points([frame], columns)[0].astype(float)
    positions = {
        "lips": points[[62, 66]].mean(0),
        "mouth corner": points[54],
        "chin": points[8],
        "cheek": points[list(CHEEK)].mean(0),
        "background": np.array([columns / 16, 1.75 * rows]),
    }
    return {
        name: (int(np.clip(y - rows, 0, rows - 1)), int(np.clip(x, 0, columns - 1)))
        for name, (x, y) in positions.items()
    }


def draw(found: AttentionMaps, chosen: Mapping[tuple[int, int], Mapping[str, tuple[int, int]]], out: Path) -> None:
    """Write the figure: for each layer the generated frame with a patch in green, below it the reference and its map.

    Args:
        found: see `DubbingModel.attention_maps`.
        chosen: layers, and for each the patches by name.
        out: PNG.
    """
    names = list(next(iter(chosen.values())))
    figure, cells = plotting.grid(2 * len(chosen), len(names) + 1)
    for k, (layer, positions) in enumerate(chosen.items()):
        upper, lower = cells[2 * k], cells[2 * k + 1]
        weights = found.maps[layer]
        plotting.show(upper[0], found.generated)
        plotting.show(lower[0], found.reference)
        plotting.name_row(upper[0], f"Att$_{{{layer[0]},{layer[1]}}}$\ngenerated")
        plotting.name_row(lower[0], "reference")
        for column, (name, (row, across)) in enumerate(positions.items(), 1):
            side = len(found.generated) / weights.shape[1]
            plotting.show(upper[column], found.generated, name if k == 0 else "")
            box = plotting.library("matplotlib.patches").Rectangle(
                (across * side - 0.5, len(found.generated) / 2 + row * side - 0.5),
                side,
                side,
                fill=False,
                edgecolor=GREEN,
                linewidth=1.6,
            )
            upper[column].add_patch(box)
            looked = weights[row, across]
            plotting.show(lower[column], overlay(found.reference, looked))
            even = f"{looked.min() * looked.size:.2g} to {looked.max() * looked.size:.2g} x even"
            lower[column].set_xlabel(even, fontsize=7, labelpad=1)
    plotting.save(figure, out)


def overlay(reference: Image, looked: NDArray[np.float32]) -> Image:
    """The reference in grey, its lower half coloured by attention [rows, columns], dark at its least."""
    size = len(reference)
    grey = np.repeat(cv2.cvtColor(reference, cv2.COLOR_RGB2GRAY)[..., None], 3, 2).astype(np.float32)
    strength = cv2.resize(
        (looked - looked.min()) / max(float(np.ptp(looked)), 1e-12),
        (size, size - size // 2),
        interpolation=cv2.INTER_LINEAR,
    )
    colours = plotting.library("matplotlib").colormaps["inferno"](np.clip(strength, 0, 1))[..., :3] * 255
    grey[size // 2 :] = 0.4 * grey[size // 2 :] + 0.6 * colours
    return np.asarray(np.clip(grey, 0, 255), np.uint8)


def make(
    *,
    ckpt_path: Path,
    root: Path,
    clip: str,
    frame: int,
    reference: int,
    layers: list[str] | None,
    device: str,
    out: Path,
) -> None:
    """Write the figure of one frame.

    Args:
        ckpt_path: RADIO's checkpoint.
        root: folder of prepared clips.
        clip: id of a clip in it.
        frame: number of the frame that is dubbed.
        reference: number of the frame that is the reference.
        layers: ``I,J`` of Att_IJ; None for the last of each decoder layer.
        device: name of a device.
        out: PNG.

    Raises:
        DubbenchError: where one of these does not fit clip or model.
    """
    model = load_model(ckpt_path, devices.device(device))
    dubbed = PreparedClip(root, clip)
    model.check_alignment(dubbed.info.align, f"{root} was prepared")
    frame = plotting.within(frame, "--frame", len(dubbed))
    found = model.attention_maps(dubbed, frame, plotting.within(reference, "--reference", len(dubbed)))
    chosen = {layer: patches(dubbed, frame, *found.maps[layer].shape[:2]) for layer in _layers(layers, found)}
    draw(found, chosen, out)


def _layers(wanted: list[str] | None, found: AttentionMaps) -> list[tuple[int, int]]:
    if wanted is None:
        last = {i: (i, j) for i, j in found.maps}
        return list(last.values())
    named = {f"{i},{j}": (i, j) for i, j in found.maps}
    for name in wanted:
        if name not in named:
            raise DubbenchError(f"--layers {name} is not in this model; it has {' '.join(named)}")
    return [named[name] for name in wanted]
