import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dubbench.models.radio.stylegan2 import ModulatedConv
from dubbench.models.radio.vit import CrossAttention, LowerHalfViT


def plain_modulated(conv: ModulatedConv, x: Tensor, style: Tensor) -> Tensor:
    """Eqs. 1 and 3 of StyleGAN2 as printed: a kernel a sample, convolved one by one."""
    outputs = []
    for image, scale in zip(x, conv.affine(style), strict=True):
        kernel = conv.weight * scale[None, :, None, None]
        if conv.demodulate:
            kernel = kernel / torch.sqrt(kernel.pow(2).sum((1, 2, 3), keepdim=True) + 1e-8)
        if conv.up:
            stuffed = torch.zeros(1, x.shape[1], 2 * x.shape[2] + 3, 2 * x.shape[3] + 3)
            stuffed[:, :, 2:-1:2, 2:-1:2] = image
            wide = F.conv2d(stuffed, kernel.flip(2, 3))
            tap = torch.tensor([1.0, 3.0, 3.0, 1.0])
            filtered = F.conv2d(wide.transpose(0, 1), torch.outer(tap, tap)[None, None] / 16, padding=1)
            outputs.append(filtered.transpose(0, 1)[0])
        else:
            outputs.append(F.conv2d(image[None], kernel, padding=kernel.shape[-1] // 2)[0])
    return torch.stack(outputs)


@pytest.mark.parametrize(("kernel", "demodulate", "up"), [(3, True, False), (3, True, True), (1, False, False)])
def test_modulated_convolution_is_stylegan2s(kernel: int, demodulate: bool, up: bool) -> None:
    conv = ModulatedConv(5, 7, kernel, 11, demodulate=demodulate, up=up)
    x, style = torch.randn(3, 5, 6, 6), torch.randn(3, 11)
    torch.testing.assert_close(conv(x, style), plain_modulated(conv, x, style), rtol=1e-4, atol=1e-5)


def test_upsampling_keeps_a_constant_in_place() -> None:
    ramp = torch.arange(8.0)[None, None, None].expand(1, 1, 8, 8)
    conv = ModulatedConv(1, 1, 3, 2, demodulate=False, up=True)
    with torch.no_grad():
        conv.weight.zero_()[0, 0, 1, 1] = 1
        conv.affine.weight.zero_()
    up = conv(ramp, torch.zeros(1, 2))[0, 0, 6]
    # Pixel j of the doubled ramp lies at (j + 0.5) / 2 - 0.5 of the old one.
    torch.testing.assert_close(up[3:-3], (torch.arange(16.0)[3:-3] + 0.5) / 2 - 0.5)


def naive_attention(block: CrossAttention, tokens: Tensor, source: Tensor) -> Tensor:
    """RADIO eq. 1 written out, a head and a query at a time."""
    q = block.query(block.query_norm(tokens))
    keys, values = block.source(block.source_norm(source)).chunk(2, -1)
    width = q.shape[-1] // block.heads
    result = torch.zeros_like(q)
    for n in range(len(q)):
        for head in range(block.heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(q.shape[1]):
                scores = torch.stack([q[n, i, part] @ key[part] for key in keys[n]]) / math.sqrt(width)
                weight = scores.exp() / scores.exp().sum()
                result[n, i, part] = sum(w * value[part] for w, value in zip(weight, values[n], strict=True))
    tokens = tokens + block.out(result)
    widened: Tensor = block.mlp(block.mlp_norm(tokens))
    return tokens + widened


def test_attention_is_softmax_attention() -> None:
    block = CrossAttention(16, heads=8)
    tokens, source = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    torch.testing.assert_close(block(tokens, source), naive_attention(block, tokens, source), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [1, 3])
def test_weights_are_softmax_of_q_and_k_and_give_the_layers_output(share: int) -> None:
    layer = CrossAttention(16, 4).double()
    tokens, source = torch.randn(2 * share, 5, 16).double(), torch.randn(2, 7, 16).double()
    out, weights = layer(tokens, source), layer.weights(tokens, source)
    assert weights.shape == (2 * share, 4, 5, 7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2 * share, 4, 5).double())
    q = layer.query(layer.query_norm(tokens))
    k, v = layer.source(layer.source_norm(source)).repeat_interleave(share, 0).split(16, -1)
    for head in range(4):
        part = slice(4 * head, 4 * head + 4)
        slow = torch.softmax(torch.einsum("nqc,nkc->nqk", q[..., part], k[..., part]) / 2, -1)
        torch.testing.assert_close(weights[:, head], slow)
    heads = weights @ v.unflatten(-1, (4, 4)).transpose(1, 2)
    mixed = tokens + layer.out(heads.transpose(1, 2).flatten(2))
    torch.testing.assert_close(mixed + layer.mlp(layer.mlp_norm(mixed)), out)


def test_one_source_serves_its_neighbours() -> None:
    block = CrossAttention(16, heads=8)
    tokens, source = torch.randn(6, 3, 16), torch.randn(2, 5, 16)
    torch.testing.assert_close(block(tokens, source), block(tokens, source.repeat_interleave(3, 0)))


def test_vit_sees_and_changes_only_lower_halves() -> None:
    vit = LowerHalfViT(4, 64, layers=2, width=16)
    feature, style = torch.randn(2, 4, 64, 64), torch.randn(2, 4, 64, 64)
    out = vit(feature, style)
    assert torch.equal(out[:, :, :32], feature[:, :, :32])
    assert (out[:, :, 32:] != feature[:, :, 32:]).all()
    other_top = torch.cat([torch.randn(2, 4, 32, 64), style[:, :, 32:]], 2)
    assert torch.equal(vit(feature, other_top), out)
    assert not torch.equal(vit(feature, style.flip(2)), out)


def test_vit_tokens_lie_where_their_patches_are() -> None:
    vit = LowerHalfViT(3, 64, layers=0, width=12)
    with torch.no_grad():
        vit.query_positions.zero_()
        # Embed a patch as its 2 x 2 x 3 pixels, rows first and channels last, and give them back.
        vit.embed_query.weight.copy_(torch.eye(12).view(12, 2, 2, 3).permute(0, 3, 1, 2))
        vit.embed_query.bias = None
        vit.unembed.weight.copy_(torch.eye(12))
        vit.unembed.bias.zero_()
    feature = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(vit(feature, feature)[:, :, 32:], 2 * feature[:, :, 32:])
