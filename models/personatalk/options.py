"""What PersonaTalk's two networks are made of, as ``--model.transformer.width`` and ``--model.renderer.blocks`` say."""

from dataclasses import dataclass


@dataclass
class TransformerOptions:
    """The transformer from speech to geometry (3.1); the paper prints none of its sizes.

    Args:
        width: D of its features, even.
        layers: self-attention layers.
        heads: attention heads, dividing the width.
        dropout: in its self-attention layers.
        style: False leaves the style embedding out (Table 4).
    """

    width: int = 512
    layers: int = 4
    heads: int = 8
    dropout: float = 0.1
    style: bool = True


@dataclass
class RendererOptions:
    """The renderer from geometry to faces (3.2).

    Args:
        channels: C of its latent space; not printed.
        blocks: residual blocks of its decoder, 0 in the paper.
        face_attention: False draws the whole frame by Lip-Attention (Table 4).
        lip_attention: False draws the whole frame by Face-Attention (Table 4).
    """

    channels: int = 128
    blocks: int = 0
    face_attention: bool = True
    lip_attention: bool = True
