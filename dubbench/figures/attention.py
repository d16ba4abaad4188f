"""RADIO's attention maps: where in the reference a patch of the generated lower half looks (Figure 5)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.core import devices
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.mel import clip_windows
from dubbench.errors import DubbenchError
from dubbench.figures import plotting
from dubbench.media.container import Image
from dubbench.models.base import load_kind
from dubbench.models.layers.attention import CrossAttention, LowerHalfViT
from dubbench.models.layers.pictures import to_frames, to_pictures
from dubbench.models.radio.module import Radio
from dubbench.models.radio.networks import Generator

GREEN = "#00ff00"
CHEEK = (3, 48)  # landmarks of the jaw and the mouth's corner, between which a cheek lies


@dataclass
class Recorder:
    """Attention weights of layers while their network runs.

    Attributes:
        weights: by layer, [N, heads, Q, K] on the CPU; rows sum to 1.
    """

    weights: dict[CrossAttention, Tensor] = field(default_factory=dict)

    @contextmanager
    def watching(self, network: nn.Module) -> Iterator["Recorder"]:
        """Record what each attention layer in a network does within the block."""
        hooks = [
            layer.register_forward_pre_hook(self._look)
            for layer in network.modules()
            if isinstance(layer, CrossAttention)
        ]
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()

    def _look(self, layer: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        attention = cast(CrossAttention, layer)
        self.weights[attention] = weights(attention, *inputs).cpu()


def weights(layer: CrossAttention, tokens: Tensor, source: Tensor) -> Tensor:
    """Eq. 1's softmax(Q K^T / sqrt(d_k)), which fused attention never gives out, from the layer's own Q and K.

    Args:
        layer: of attention.
        tokens: [N, Q, width], as the layer takes them.
        source: [M, K, width], M dividing N.

    Returns:
        [N, heads, Q, K].
    """
    keys = layer.source(layer.source_norm(source)).chunk(2, -1)[0].repeat_interleave(len(tokens) // len(source), 0)
    queries = layer.query(layer.query_norm(tokens))
    q, k = (each.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for each in (queries, keys))
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)


@dataclass(frozen=True)
class Attention:
    """What one frame looked at.

    Attributes:
        generated: the dubbed frame, uint8 [S, S, 3].
        reference: uint8 [S, S, 3].
        maps: by (i, j) of the paper's Att_ij, [rows, columns, rows, columns]: from patch of the lower half of the frame
            to patch of that of the reference, mean over heads.
    """

    generated: Image
    reference: Image
    maps: Mapping[tuple[int, int], NDArray[np.float32]]


@torch.inference_mode()
def attend(model: Radio, clip: PreparedClip, frame: int, reference: int) -> Attention:
    """Dub one frame of a clip by its own speech and record the attention.

    Raises:
        DubbenchError: if the model has no attention layers.
    """
    generator, size, mel = cast(Generator, model.ema.module).eval(), model.window.size, model.window.mel
    assert mel is not None
    # Att_ij: decoder layers count from 1 at the smallest resolution, attention layers within one from 1 (3.2).
    named = {
        attention: (i, j, layer.fidelity)
        for i, layer in enumerate(generator.decoder, 1)
        if isinstance(layer.fidelity, LowerHalfViT)
        for j, attention in enumerate(layer.fidelity.layers, 1)
    }
    if not named:
        raise DubbenchError(
            f"this RADIO (variant {generator.variant}) has no attention; give a checkpoint of variant D with vit_blocks"
        )
    pictures = clip.frames([frame, reference], size)
    target, style = (to_pictures(picture[None], model.device) for picture in pictures)
    speech = torch.as_tensor(clip_windows(clip.speech(), mel, frame, frame + 1)).to(model.device)
    with Recorder().watching(generator) as recorder:
        generated = next(iter(to_frames(generator.render(target, generator.encode_style(style), speech))))
    maps = {}
    for attention, (i, j, vit) in named.items():
        mean = recorder.weights[cast(CrossAttention, attention)][0].float().mean(0)
        maps[i, j] = mean.view(*vit.grid, *vit.grid).numpy()
    return Attention(np.asarray(generated), pictures[1], maps)


def patches(clip: PreparedClip, frame: int, rows: int, columns: int) -> dict[str, tuple[int, int]]:
    """Row and column of patches worth a look: at the mouth, as Figure 5's left columns, and far from it."""
    points = clip.aligned_points([frame], columns)[0].astype(float)
    places = {
        "lips": points[[62, 66]].mean(0),
        "mouth corner": points[54],
        "chin": points[8],
        "cheek": points[list(CHEEK)].mean(0),
        "background": np.array([columns / 16, 1.75 * rows]),
    }
    return {
        name: (int(np.clip(y - rows, 0, rows - 1)), int(np.clip(x, 0, columns - 1))) for name, (x, y) in places.items()
    }


def draw(found: Attention, chosen: Mapping[tuple[int, int], Mapping[str, tuple[int, int]]], out: Path) -> None:
    """Write the figure: for each layer the generated frame with a patch in green, below it the reference and its map.

    Args:
        found: see `attend`.
        chosen: layers, and for each the patches by name.
        out: PNG.
    """
    names = list(next(iter(chosen.values())))
    figure, cells = plotting.grid(2 * len(chosen), len(names) + 1)
    for k, (layer, places) in enumerate(chosen.items()):
        upper, lower = cells[2 * k], cells[2 * k + 1]
        weights = found.maps[layer]
        plotting.show(upper[0], found.generated)
        plotting.show(lower[0], found.reference)
        plotting.name_row(upper[0], f"Att$_{{{layer[0]},{layer[1]}}}$\ngenerated")
        plotting.name_row(lower[0], "reference")
        for column, (name, (row, across)) in enumerate(places.items(), 1):
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
    model = load_kind(Radio, "RADIO checkpoint", ckpt_path, devices.device(device))
    dubbed = PreparedClip(root, clip)
    frame = plotting.within(frame, "--frame", len(dubbed))
    found = attend(model, dubbed, frame, plotting.within(reference, "--reference", len(dubbed)))
    chosen = {layer: patches(dubbed, frame, *found.maps[layer].shape[:2]) for layer in _layers(layers, found)}
    draw(found, chosen, out)


def _layers(wanted: list[str] | None, found: Attention) -> list[tuple[int, int]]:
    if wanted is None:
        last = {i: (i, j) for i, j in found.maps}
        return list(last.values())
    named = {f"{i},{j}": (i, j) for i, j in found.maps}
    for name in wanted:
        if name not in named:
            raise DubbenchError(f"--layers {name} is not in this model; it has {' '.join(named)}")
    return [named[name] for name in wanted]
