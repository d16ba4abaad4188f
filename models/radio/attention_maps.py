"""RADIO's attention maps: where in the reference a patch of the generated lower half looks (Figure 5)."""

from contextlib import ExitStack
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from dubbench.models.radio.networks import Generator
from dubbench.models.radio.vit import CrossAttention

Layer = tuple[int, int]


@torch.inference_mode()
def attend(generator: Generator, target: Tensor, reference: Tensor, mel: Tensor) -> tuple[Tensor, dict[Layer, Tensor]]:
    """Dub one frame and record what each attention layer looks at.

    Args:
        generator: trained network in eval mode.
        target: the frame [1, 3, H, W] in [-1, 1].
        reference: [1, 3, H, W].
        mel: [1, bands, columns].

    Returns:
        The dubbed frame [1, 3, H, W], and by (i, j) of the paper's Att_i,j eq. 1's weights, a mean over heads: [rows,
        columns, rows, columns], from patch of the frame's lower half to patch of the reference's. Empty without ViT
        blocks. Of L = 6 decoder layers, i is 5 or 6; 3.2 calls them L - 1 and L, and the "Att_5,2" of the supplement's
        last sentence about the last layer is Att_6,2.
    """
    maps: dict[Layer, Tensor] = {}

    def record(layer: Layer, grid: tuple[int, int], attention: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        maps[layer] = cast(CrossAttention, attention).weights(*inputs)[0].float().mean(0).view(*grid, *grid)

    with ExitStack() as stack:
        for i, block in generator.vit_blocks().items():
            for j, attention in enumerate(block.layers, 1):
                hook = attention.register_forward_pre_hook(partial(record, (i, j), block.grid))
                stack.callback(hook.remove)
        dubbed = generator.render(target, generator.encode_reference(reference), mel)
    return dubbed, maps
