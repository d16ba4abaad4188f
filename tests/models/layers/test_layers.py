import pytest
import torch
from torch import Tensor, nn

from dubbench.models.layers.blur import blur
from dubbench.models.layers.discriminator import Discriminator, minibatch_deviation
from dubbench.models.layers.se_resnet import AttentiveBlock, SelfAttentivePooling, SpeechEncoder, SqueezeExcite
from dubbench.models.sync_expert.networks import ChannelSpatialAttention


def test_blur_halves_without_shift() -> None:
    ramp = torch.arange(8.0)[None, None, None].expand(1, 2, 8, 8)
    half = blur(ramp, stride=2, padding=1)
    assert half.shape == (1, 2, 4, 4)
    torch.testing.assert_close(half[0, 1, 1, 1:-1], torch.tensor([2.5, 4.5]))


@pytest.mark.parametrize("gates", [SqueezeExcite, ChannelSpatialAttention])
def test_gates_differ_from_sample_to_sample(gates: type[nn.Module]) -> None:
    """Channel gates squeezed after the instance norm would be the same for every input."""
    block = AttentiveBlock(16, 16, 1, gates)
    seen: list[Tensor] = []
    block.attention.register_forward_hook(lambda module, inputs, factors: seen.append(factors))
    block(torch.stack([torch.randn(16, 8, 8), torch.rand(16, 8, 8) ** 8]))
    assert (seen[0][0] - seen[0][1]).abs().max() > 1e-4
    assert 0 < seen[0].min() < seen[0].max() < 1


def test_speech_encoder_hears_loudness() -> None:
    """Instance norm takes a window's level away; the norm-free stem and the skips must carry it."""
    encoder = SpeechEncoder(12, [4, 4, 8, 8], [1, 1, 1, 1])
    mel, other = torch.randn(2, 1, 80, 20)
    quiet, loud = encoder(mel - 1), encoder(mel + 1)
    assert (quiet - loud).norm() > 0.5 * (encoder(other) - encoder(mel)).norm()


def test_self_attentive_pooling_by_hand() -> None:
    pool = SelfAttentivePooling(3, 5)
    x = torch.randn(2, 4, 3)
    for sample, got in zip(x, pool(x), strict=True):
        scores = torch.stack([torch.tanh(pool.hidden(frame)) @ pool.context for frame in sample])
        weights = scores.exp() / scores.exp().sum()
        torch.testing.assert_close(got, (weights[:, None] * sample).sum(0))


def test_speech_encoder_treats_windows_one_by_one() -> None:
    encoder = SpeechEncoder(12, [4, 4, 8, 8], [1, 1, 1, 1])
    mel = torch.randn(3, 80, 20)
    together = encoder(mel)
    assert together.shape == (3, 12)
    torch.testing.assert_close(together[1:2], encoder(mel[1:2]), rtol=1e-4, atol=1e-5)


def test_a_standardised_speech_feature_has_unit_deviation_over_what_is_said() -> None:
    encoder = SpeechEncoder(12, [4, 4, 8, 8], [1, 1, 1, 1], standardised=True)
    mel = torch.randn(64, 80, 20)
    feature = encoder(mel)
    torch.testing.assert_close(feature.mean(0), torch.zeros(12), atol=1e-4, rtol=0)
    torch.testing.assert_close(feature.std(0, correction=0), torch.ones(12), atol=0.02, rtol=0)
    for _ in range(100):
        encoder(mel)
    encoder.eval()
    torch.testing.assert_close(encoder(mel), feature, atol=0.05, rtol=0.05)  # by what training saw, window by window
    torch.testing.assert_close(encoder(mel[:1]), encoder(mel)[:1], atol=1e-4, rtol=1e-4)


def test_minibatch_deviation_by_hand() -> None:
    x = torch.randn(6, 2, 3, 3)
    out = minibatch_deviation(x, 4)  # the largest divisor of 6 up to 4 is 3: samples i, i + 2, i + 4 form a group
    for i in range(6):
        group = x[i % 2 :: 2]
        expected = torch.sqrt(((group - group.mean(0)) ** 2).mean(0) + 1e-8).mean()
        torch.testing.assert_close(out[i, 2], expected.expand(3, 3))


def test_discriminator_gives_a_logit_a_frame_and_differentiates_twice() -> None:
    judge = Discriminator(32, [4, 8, 8])
    images = torch.randn(4, 3, 32, 32, requires_grad=True)
    logits = judge(images).logits
    assert logits.shape == (4,)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    torch.autograd.backward(gradient.square().sum())
    assert judge.from_rgb.weight.grad is not None
    assert judge.from_rgb.weight.grad.abs().sum() > 0
