"""What RealTalk's two networks are made of, as ``--model.transformer.width`` and ``--model.renderer.blocks`` say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass
class TransformerOptions:
    """The transformer from speech to expressions (3.1); the paper prints none of its sizes.

    Args:
        width: of its tokens, even.
        heads: attention heads, dividing the width.
        encoder_layers: N1.
        decoder_layers: N2.
        dropout: in its layers.
        shape_prior: False leaves the shape out (Table 5).
        history_prior: False leaves the historical expressions out (Table 5).
    """

    width: int = 512
    heads: int = 8
    encoder_layers: int = 4
    decoder_layers: int = 2
    dropout: float = 0.1
    shape_prior: bool = True
    history_prior: bool = True


@dataclass
class RendererOptions:
    """The renderer from expressions to faces (3.2); its widths meet Table 7's numbers of parameters.

    Args:
        widths: channels at 1/2, 1/4, 1/8 and 1/16, of d = 4 stages (4.1).
        stem: channels at full size.
        blocks: residual blocks of an FIA module, 1 to 3 in Table 7.
        alignment: what brings the reference's texture into an FIA module, Table 7's "reference module".
        heads: attention heads of that; not printed.
    """

    widths: Sequence[int] = (128, 256, 512, 768)
    stem: int = 64
    blocks: int = 2
    alignment: Literal["attention", "flow", "deformation"] = "attention"
    heads: int = 8
