"""Every short name of a model builds, and the paper's has the paper's shapes."""

from importlib import import_module
from typing import Any

import pytest
import torch

from dubbench.core.config_names import names, read
from dubbench.errors import DubbenchError
from dubbench.models.base import DubbingModel
from dubbench.models.radio.module import Radio
from dubbench.models.radio.networks import DecoderLayer, Generator
from dubbench.models.radio.vit import LowerHalfViT
from dubbench.models.sync_expert.module import SyncExpert
from tests.models.conftest import small_radio


def build(name: str) -> DubbingModel:
    config = read("model", name)
    module, _, kind = config["class_path"].rpartition(".")
    model = getattr(import_module(module), kind)(**config["init_args"])
    assert isinstance(model, DubbingModel)
    return model


@pytest.mark.parametrize("name", names("model"))
def test_builds_on_no_memory(name: str) -> None:
    with torch.device("meta"):
        model = build(name)
    assert model.window.mel is not None or model.window.geometry
    assert model.iterations > 0
    assert model.batch_size > 0
    expert = model.hparams.get("sync_expert")
    if expert is not None:
        judge = SyncExpert(**read("model", expert)["init_args"])
        assert judge.window.size == model.window.size
        assert judge.window.mel == model.window.mel


def generator(name: str) -> Generator:
    model = build(name)
    assert isinstance(model, Radio)
    assert isinstance(model.generator, Generator)
    return model.generator


def test_radio_has_the_papers_shapes() -> None:
    model = generator("radio")
    frames, mel = torch.rand(1, 3, 192, 192), torch.randn(1, 80, 20)
    seen: dict[str, tuple[int, ...]] = {}
    for i, layer in enumerate(model.decoder, 1):
        assert isinstance(layer, DecoderLayer)
        layer.second.register_forward_hook(lambda m, a, out, i=i: seen.__setitem__(f"layer {i}", tuple(out.shape[1:])))
        for attention in (m for m in layer.modules() if isinstance(m, LowerHalfViT)):
            attention.embed_query.register_forward_hook(
                lambda m, a, out, i=i: seen.__setitem__(f"tokens {i}", tuple(out.shape[2:]))
            )
            assert len(attention.layers) == 2
            assert attention.layers[0].heads == 8
    with torch.inference_mode():
        reference = model.encode_reference(frames)
        content = model.content_encoder(frames)
        assert model.render(frames, reference, mel).shape == (1, 3, 192, 192)
        assert model.f_w(reference, mel).shape == (1, 1024)
    assert [tuple(f.shape[1:]) for f in content] == [
        (64, 192, 192),
        (128, 96, 96),
        (256, 48, 48),
        (512, 24, 24),
        (512, 12, 12),
        (512, 12, 12),
    ]
    assert reference.f_s is not None
    assert reference.f_s.shape == (1, 512)
    assert [seen[f"layer {i}"] for i in range(1, 7)] == [
        (512, 12, 12),
        (512, 12, 12),
        (512, 24, 24),
        (256, 48, 48),
        (128, 96, 96),
        (64, 192, 192),
    ]
    assert (seen["tokens 5"], seen["tokens 6"]) == ((16, 32), (16, 32))


@pytest.mark.parametrize(
    ("name", "blocks", "layers", "width"),
    [
        ("radio_a", 0, 0, 512),
        ("radio_b", 0, 0, 1024),
        ("radio_c", 0, 0, 1024),
        ("radio_d", 2, 4, 1024),
        ("radio_vit_1_1", 1, 1, 1024),
        ("radio_vit_1_2", 1, 2, 1024),
    ],
)
def test_ablations_differ_as_in_the_tables(name: str, blocks: int, layers: int, width: int) -> None:
    with torch.device("meta"):
        model = generator(name)
    vits = [m for m in model.modules() if isinstance(m, LowerHalfViT)]
    assert (len(vits), sum(len(vit.layers) for vit in vits)) == (blocks, layers)
    assert isinstance(layer := model.decoder[0], DecoderLayer)
    assert layer.first.conv.affine.in_features == width
    assert model.content_encoder.first.in_channels == (6 if name == "radio_a" else 3)


def test_a_48_pixel_layer_has_patches_of_one_pixel() -> None:
    with torch.device("meta"):
        model = generator("radio_d")
    vits = [m for m in model.modules() if isinstance(m, LowerHalfViT)]
    assert {(vit.patch, vit.grid) for vit in vits} == {(1, (24, 48)), (3, (16, 32))}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sync_weight": 0.1}, "give an expert and a weight"),
        ({"sync_expert": "sync_expert_tiny"}, "give an expert and a weight"),
        ({"frames": 5, "references": 2}, "references must divide frames"),
        ({"frames": 4, "sync_weight": 0.1, "sync_expert": "x"}, "needs 5 frames"),
        ({"size": 36}, "cannot be halved 3 times"),
    ],
)
def test_settings_that_do_not_go_together_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        small_radio(**options)
