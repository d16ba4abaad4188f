"""HuBERT features: weights, alignment with the video frames, and what is trained."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor
from transformers.modeling_outputs import BaseModelOutput

from dubbench.assets import store
from dubbench.errors import DubbenchError
from dubbench.models.layers.hubert import SpeechFeatures


def speech(count: int, frames: int, seed: int = 0) -> Tensor:
    """Noise whose loudness and offset differ from row to row."""
    draw = torch.Generator().manual_seed(seed)
    gain = torch.linspace(0.05, 0.4, count)[:, None]
    return torch.randn(count, frames * 640, generator=draw) * gain + gain / 3


def tiny(trainable: bool = True, seed: int = 0, width: int = 64) -> SpeechFeatures:
    torch.manual_seed(seed)
    return SpeechFeatures("tiny", width, trainable)


def published(features: SpeechFeatures) -> dict[str, Tensor]:
    """The weights under the names of the file on the hub, which is older than torch's parametrised weight norm."""
    names = {"original0": "weight_g", "original1": "weight_v"}
    state = {}
    for name, tensor in features.hubert.state_dict().items():
        stem, _, last = name.rpartition(".parametrizations.weight.")
        state[f"{stem}.{names[last]}" if stem else name] = tensor.clone()
    return {**state, "masked_spec_embed": torch.rand(64)}


class Averages(nn.Module):
    """In HuBERT's place: the mean of the samples that each of its features sees."""

    def forward(self, wave: Tensor) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=wave.unfold(1, 400, 320).mean(-1, keepdim=True))


def test_a_frames_features_are_those_at_its_centre() -> None:
    features = tiny(width=1)
    features.hubert = Averages()
    features.project = nn.Linear(1, 1, bias=False)
    nn.init.ones_(features.project.weight)
    time = np.arange(10 * 640)
    centres = np.arange(10) * 640 + 319.5
    expected = (centres - time.mean()) / time.std()
    found = features(torch.arange(10 * 640.0)[None], 10)[0, :, 0].detach()
    # The last frame's later feature looks beyond the speech.
    assert_allclose(found[:-1], expected[:-1], atol=1e-4)


def test_two_features_a_frame_are_huberts_own() -> None:
    features, waves = SpeechFeatures("tiny", 64, per_frame=2).eval(), speech(2, 16)
    with torch.no_grad():
        found = features(waves, 16)
        scaled = (waves - waves.mean(1, keepdim=True)) / waves.std(1, correction=0, keepdim=True)
        known = features.project(features.hubert(nn.functional.pad(scaled, (0, 80))).last_hidden_state)
    assert found.shape == (2, 32, 64)
    assert_allclose(found, known, atol=1e-4)


def test_its_fields_are_as_long_and_as_far_apart_as_the_alignment_says() -> None:
    convolutions = [layer.conv for layer in tiny().hubert.feature_extractor.conv_layers]
    wave = torch.zeros(1, 1, 2000)
    wave[..., 640] = 1
    with torch.no_grad():
        for conv in convolutions:
            wave = nn.functional.conv1d(wave, torch.ones(1, 1, *conv.kernel_size), stride=conv.stride)
    assert wave[0, 0].nonzero()[:, 0].tolist() == [1, 2]
    assert wave.shape[-1] == (2000 - 400) // 320 + 1


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_equals_transformers_interpolated(frames: int) -> None:
    features, waves = tiny().eval(), speech(2, frames)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
    with torch.no_grad():
        found = features(waves, frames)
        for wave, row in zip(waves, found, strict=True):
            scaled = extractor(wave.numpy(), sampling_rate=16000, return_tensors="np")["input_values"]
            padded = torch.from_numpy(np.pad(scaled, ((0, 0), (0, 80))))
            known = features.hubert(padded).last_hidden_state[0].double().numpy()
            at = (np.arange(frames) * 640 + 320 - 200) / 320
            between = [np.interp(at, np.arange(len(known)), channel) for channel in known.T]
            expected = features.project(torch.from_numpy(np.stack(between, -1)).float())
            assert_allclose(row, expected, atol=1e-5)


def test_loudness_and_offset_change_nothing() -> None:
    features, wave = tiny().eval(), speech(1, 5)
    with torch.no_grad():
        assert_allclose(features(wave * 0.3 + 0.1, 5), features(wave, 5), atol=1e-4)


def test_silence_follows_short_speech_and_the_rest_of_long_speech_is_not_heard() -> None:
    features, wave = tiny().eval(), speech(1, 8)
    with torch.no_grad():
        assert features(wave[:, :3000], 8).shape == (1, 8, 64)
        assert torch.isfinite(features(torch.zeros(1, 640), 3)).all()
        assert torch.equal(features(wave, 4), features(wave[:, : 4 * 640], 4))


@pytest.mark.parametrize(("shape", "frames"), [((1, 0), 1), ((1, 640), 0), ((640,), 1)])
def test_no_speech_or_no_frame_is_told(shape: tuple[int, ...], frames: int) -> None:
    with pytest.raises(DubbenchError, match="has no features"):
        tiny()(torch.zeros(shape), frames)


def trained(features: SpeechFeatures) -> set[str]:
    """Parts that a few steps of training change."""
    before = {name: value.detach().clone() for name, value in features.named_parameters()}
    optimizer = torch.optim.AdamW(features.parameters(), 1e-3)
    for step in range(2):
        optimizer.zero_grad()
        features.train()(speech(2, 4, step), 4).square().mean().backward()
        optimizer.step()
    moved = {name for name, value in features.named_parameters() if not torch.equal(value, before[name])}
    return {".".join(name.split(".")[:2]).removesuffix(".weight").removesuffix(".bias") for name in moved}


def test_of_pretrained_weights_the_convolutions_stay() -> None:
    with torch.device("meta"):
        base = SpeechFeatures("base", 8)
    assert not any(p.requires_grad for p in base.hubert.feature_extractor.parameters())
    assert all(p.requires_grad for p in base.hubert.encoder.parameters())
    features = tiny()
    features.hubert.feature_extractor._freeze_parameters()
    assert trained(features) == {"hubert.feature_projection", "hubert.encoder", "project"}


def test_random_weights_are_trained_whole() -> None:
    assert trained(tiny()) == {"hubert.feature_extractor", "hubert.feature_projection", "hubert.encoder", "project"}


def test_a_frozen_hubert_stays_and_draws_nothing() -> None:
    features, wave = tiny(trainable=False), speech(1, 5)
    assert trained(features) == {"project"}
    assert torch.equal(features.train()(wave, 5), features.eval()(wave, 5))


def test_training_is_random_by_the_seed_alone() -> None:
    features, wave = tiny().train(), speech(1, 5)
    torch.manual_seed(1)
    first = features(wave, 5)
    torch.manual_seed(1)
    assert torch.equal(features(wave, 5), first)
    assert not torch.equal(features(wave, 5), first)


def headed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"hubert.{name}": tensor for name, tensor in state.items()} | {"lm_head.weight": torch.rand(32, 64)}


@pytest.mark.parametrize("with_head", [False, True])
def test_loads_the_published_layout(with_head: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tiny(seed=1).eval(), tiny(seed=2).eval()
    state = published(source)
    torch.save(headed(state) if with_head else state, tmp_path / "weights.bin")
    monkeypatch.setattr(store, "find", lambda name: tmp_path / "weights.bin")
    target.kind = "base"
    target.load_pretrained()
    target.project = source.project
    wave = speech(1, 5)
    with torch.no_grad():
        assert torch.equal(target(wave, 5), source(wave, 5))


def test_weights_of_another_layout_are_told() -> None:
    state = published(tiny())
    del state["encoder.layers.1.attention.k_proj.weight"]
    with pytest.raises(DubbenchError, match=r"other\.bin is no HuBERT of this size .*k_proj"):
        tiny().load_hubert(state, "other.bin")


def test_absent_weights_are_told_only_when_they_are_wanted() -> None:
    with torch.device("meta"):
        base = SpeechFeatures("base", 8)
    # What the file on the hub holds, but for the mask's embedding.
    assert sum(parameter.numel() for parameter in base.hubert.parameters()) + 768 == 94_371_712
    with pytest.raises(DubbenchError, match=r"assets pull hubert-base-ls960\.bin"):
        base.load_pretrained()
    tiny().load_pretrained()


def test_mel_features_lie_where_huberts_do_and_are_loud_where_the_speech_is() -> None:
    features = SpeechFeatures("mel", 8, per_frame=2)
    features.mel.layers = nn.Sequential()
    features.project = nn.Linear(80, 80, bias=False)
    nn.init.eye_(features.project.weight)
    for k in (0, 7, 31):
        wave = torch.zeros(1, 16 * 640)
        wave[0, 320 * k + 200] = 1  # the centre of HuBERT's feature k
        found = features(wave, 16)
        assert found.shape == (1, 32, 80)
        assert int(found[0].mean(1).argmax()) == k
    quiet, loud = (features(torch.full((1, 16 * 640), level) * torch.randn(16 * 640), 16) for level in (0.01, 0.1))
    assert float((loud - quiet).mean().detach()) == pytest.approx(np.log(10) / 2.2, rel=0.05)


def test_mel_features_are_learnt_and_need_no_file() -> None:
    features = SpeechFeatures("mel", 8)
    features.load_pretrained()
    features(speech(2, 5), 5).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in features.parameters())
    assert not any(name.startswith("hubert") for name in features.state_dict())
