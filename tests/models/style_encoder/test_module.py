"""Speaking style: order matters, speakers are told apart, and the face model travels with the network."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor
from torch.utils.data import DataLoader

from dubbench.datamodules.batch import Batch
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.errors import DubbenchError
from dubbench.face3d.model import REGIONS, LinearFaceModel
from dubbench.models.layers.positions import positional_encoding
from dubbench.models.load import load_model
from dubbench.models.style_encoder.module import StyleEncoder, embed
from dubbench.models.style_encoder.networks import StyleNetwork, pair_loss, triplet_accuracy
from tests.datamodules import miniature
from tests.datamodules.miniature import Clip

VERTICES, EXPRESSIONS, FRAMES = 70, 6, 12
SPEAKERS = ("ann", "bob", "cat", "dan")


def face(seed: int = 0, vertices: int = VERTICES) -> LinearFaceModel:
    """A face model of random vertices that says nothing about faces."""
    draw = torch.Generator().manual_seed(seed)
    arrays = {
        "mean": torch.randn(vertices, 3, generator=draw),
        "shape_basis": torch.randn(3, vertices, 3, generator=draw) * 0.1,
        "expression_basis": torch.randn(EXPRESSIONS, vertices, 3, generator=draw) * 0.02,
        "triangles": torch.tensor([[0, 1, 2]]),
        "landmarks": torch.arange(68),
    }
    regions = {f"region_{name}": torch.arange(4) for name in REGIONS if name != "upper_face"}
    return LinearFaceModel.of(arrays | regions, "mesh")


def fresh(seed: int = 0, frames: int = FRAMES, gap: int = 2, **options: float) -> StyleEncoder:
    """An encoder that has seen no face model yet."""
    torch.manual_seed(seed)
    sizes = {"width": 32, "layers": 2, "heads": 2, "lr": 2e-3, **options}
    return StyleEncoder(vertices=VERTICES, frames=frames, gap=gap, **sizes)  # type: ignore[arg-type]


def encoder(seed: int = 0, frames: int = FRAMES, gap: int = 2, **options: float) -> StyleEncoder:
    model = fresh(seed, frames, gap, **options)
    model.held_face.adopt(face())
    return model


def motion(speaker: int, frames: int, draw: torch.Generator) -> Tensor:
    """Expression [frames, E] of a speaker: everybody's have equal means and deviations, but an own rhythm."""
    time = torch.arange(frames)[:, None] + torch.rand(1, generator=draw) * 20
    phases = torch.linspace(0, 3, EXPRESSIONS) * (1 + speaker)
    return (time * 0.35 * (1 + 0.5 * speaker) + phases).sin() + torch.randn(frames, EXPRESSIONS, generator=draw) * 0.2


def windows(model: StyleEncoder, speakers: Sequence[str], seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    count, frames = len(speakers), model.window.frames
    expression = torch.stack([motion(SPEAKERS.index(name), frames, draw) for name in speakers])
    empty = torch.zeros(count, 0)
    return Batch(
        frames=empty,
        references=empty,
        mel=None,
        waveform=empty,
        points=empty,
        reference_points=empty,
        indices=torch.arange(frames).expand(count, -1),
        reference_indices=torch.zeros(count, 0, dtype=torch.int64),
        speakers=list(speakers),
        clips=[f"clip{i}" for i in range(count)],
        expression=expression,
        face=face().hash(),
    )


def test_positions_are_those_of_the_formula() -> None:
    found = positional_encoding(50, 8).double().numpy()
    for place in (0, 1, 49):
        for pair in range(4):
            angle = place / 10_000 ** (2 * pair / 8)
            assert found[place, 2 * pair : 2 * pair + 2] == pytest.approx([math.sin(angle), math.cos(angle)], abs=1e-6)


@torch.no_grad()
def test_order_changes_the_style() -> None:
    torch.manual_seed(0)
    network = StyleNetwork(12, 32, 2, 4).eval()
    sequence = torch.randn(3, 40, 12)
    style = network(sequence)
    for other in (sequence.flip(1), sequence[:, torch.randperm(40)], sequence.roll(7, 1)):
        assert (network(other) - style).abs().amax() > 0.01
    assert torch.allclose(network(sequence[1:]), style[1:], atol=1e-5)


def slow_loss(styles: Tensor, speakers: Sequence[str], temperature: float) -> float:
    units = styles.double().numpy() / np.linalg.norm(styles.double().numpy(), axis=-1, keepdims=True)
    terms = []
    for i, j in np.ndindex(len(speakers), 2):
        positive = math.exp(units[i, j] @ units[i, 1 - j] / temperature)
        negatives = [
            math.exp(units[i, j] @ units[k, side] / temperature)
            for k, side in np.ndindex(len(speakers), 2)
            if speakers[k] != speakers[i]
        ]
        terms.append(-math.log(positive / (positive + sum(negatives))))
    return float(np.mean(terms))


@pytest.mark.parametrize("speakers", [["a", "b", "c"], ["a", "b", "a", "a"], ["a", "a"]])
def test_loss_equals_the_formula(speakers: list[str]) -> None:
    styles = torch.randn(len(speakers), 2, 5, generator=torch.Generator().manual_seed(3))
    assert pair_loss(styles, speakers, 0.2).item() == pytest.approx(slow_loss(styles, speakers, 0.2), rel=1e-5)


def test_triplets_are_counted() -> None:
    angles = torch.tensor([0.0, 10.0, 19.0, 24.0]).deg2rad()
    styles = torch.stack([angles.cos(), angles.sin()], 1)
    # Only a's second stretch, at 10 degrees, lies nearer to one of b's two, at 19, than to a's other one, at 0.
    lengths = torch.tensor([[1.0], [3.0], [2.0], [5.0]])
    assert triplet_accuracy(styles * lengths, ["a", "a", "b", "b"]).item() == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert triplet_accuracy(styles, ["a", "a", "a", "a"]).isnan()
    assert triplet_accuracy(styles, ["a", "b", "c", "d"]).isnan()


@torch.no_grad()
def test_vertices_and_coefficients_have_one_style() -> None:
    model = encoder(components=4).eval()
    expression = torch.randn(2, FRAMES, EXPRESSIONS)
    style = model.styles(expression)
    vertices = face().expression_only(expression)
    assert torch.allclose(model(vertices), style, atol=1e-5)
    assert torch.allclose(model(vertices.flatten(2)), style, atol=1e-5)
    seen = torch.zeros(EXPRESSIONS).index_fill(0, torch.arange(4), 1)
    assert torch.allclose(model.styles(expression * seen), style, atol=0.05)
    assert not torch.allclose(model.styles(expression * (1 - seen)), style, atol=0.5)


@torch.no_grad()
def test_the_network_sees_the_coefficients() -> None:
    model = encoder(components=8).eval()
    expression = torch.randn(2, FRAMES, EXPRESSIONS)
    seen: list[Tensor] = []
    model.network.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0]))
    # What no expression can do, as another network's vertices may, is left out.
    basis = face().expression_basis.flatten(1)
    stray = torch.randn(2, FRAMES, basis.shape[1]) * 0.01
    stray = stray - stray @ torch.linalg.pinv(basis) @ basis
    model(face().expression_only(expression).flatten(2) + stray)
    assert torch.allclose(seen[0][..., :EXPRESSIONS], expression, atol=0.02)
    assert not seen[0][..., EXPRESSIONS:].any()


@torch.no_grad()
def test_training_moves_each_stretch_as_a_whole() -> None:
    model = encoder(components=EXPRESSIONS)
    expression = torch.randn(400, FRAMES, EXPRESSIONS) * torch.arange(1, EXPRESSIONS + 1)
    seen: list[Tensor] = []
    model.network.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0]))
    model.styles(expression)
    model.styles(expression, 0.5 * torch.randn(len(expression), 1, EXPRESSIONS))
    moved = seen[1] - seen[0]
    assert (moved - moved[:, :1]).abs().amax() < 1e-4
    assert_allclose(moved[:, 0].std(0), 0.5 * torch.arange(1, EXPRESSIONS + 1), rtol=0.15)


def test_learns_to_tell_rhythms_apart() -> None:
    model = encoder(dropout=0.0)
    optimizer = model.configure_optimizers()
    unseen = windows(model, SPEAKERS * 8, seed=1000)
    names = [name for name in unseen.speakers for _ in range(2)]

    @torch.no_grad()
    def accuracy() -> float:
        return triplet_accuracy(model.eval().pairs(unseen).flatten(0, 1), names).item()

    before = accuracy()
    for step in range(100):
        optimizer.zero_grad()
        batch = windows(model.train(), SPEAKERS * 3, seed=step)
        torch.autograd.backward(pair_loss(model.pairs(batch), batch.speakers, 0.1))
        optimizer.step()
    assert before < 0.75
    assert accuracy() > 0.9


class Corpus(L.LightningDataModule):
    """A prepared folder's face model, and windows."""

    def __init__(self, root: Path, model: StyleEncoder, speakers: Sequence[str] = SPEAKERS) -> None:
        super().__init__()
        self.root = root
        self.batches = [windows(model, speakers, seed) for seed in range(2)]

    def train_dataloader(self) -> "DataLoader[Batch]":
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]

    val_dataloader = train_dataloader


def trainer(folder: Path, epochs: int = 1) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """A finished training: the folder with face model and checkpoint, and what was logged."""
    folder = tmp_path_factory.mktemp("style")
    face().save(folder / "face_mesh.npz")
    model = fresh()
    training = trainer(folder)
    training.fit(model, Corpus(folder, model))
    training.save_checkpoint(folder / "last.ckpt")
    return folder, dict(training.callback_metrics)


def test_training_reports_the_triplets(run: tuple[Path, dict[str, Tensor]]) -> None:
    logged = run[1]
    assert 0 <= logged["val_triplet_accuracy"] <= 1
    assert {"train_loss", "val_loss"} <= logged.keys()


@torch.no_grad()
def test_a_checkpoint_brings_its_face_model(run: tuple[Path, dict[str, Tensor]]) -> None:
    model = load_model(run[0] / "last.ckpt")
    assert isinstance(model, StyleEncoder)
    assert model.face.hash() == face().hash()
    assert not any("face" in name or "basis" in name for name in model.state_dict())
    expression = torch.randn(1, FRAMES, EXPRESSIONS)
    style = model.styles(expression)
    other = encoder(seed=1).eval()
    other.network.load_state_dict(model.network.state_dict())
    assert torch.equal(style, other.styles(expression))
    assert torch.allclose(model.double().styles(expression.double()), style.double(), atol=1e-5)


def test_training_goes_on_with_its_own_face_model_only(run: tuple[Path, dict[str, Tensor]], tmp_path: Path) -> None:
    folder, _ = run
    trainer(folder, 2).fit(model := fresh(), Corpus(folder, model), ckpt_path=folder / "last.ckpt", weights_only=True)
    assert model.face.hash() == face().hash()
    face(seed=1).save(tmp_path / "face_mesh.npz")
    with pytest.raises(DubbenchError, match="is not the face model that this StyleEncoder was trained with"):
        trainer(tmp_path, 2).fit(
            model := fresh(), Corpus(tmp_path, model), ckpt_path=folder / "last.ckpt", weights_only=True
        )


def test_data_without_a_face_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match=r"holds no face model face_mesh\.npz; run .* --geometry mesh"):
        trainer(tmp_path).fit(model := fresh(), Corpus(tmp_path, model))


def test_a_face_model_of_another_size_is_told(tmp_path: Path) -> None:
    face(vertices=80).save(tmp_path / "face_mesh.npz")
    with pytest.raises(DubbenchError, match="is mesh with 80 vertices, but this StyleEncoder is for mesh with 70"):
        trainer(tmp_path).fit(model := fresh(), Corpus(tmp_path, model))


@pytest.mark.parametrize("other", ["", "0123456789ab"])
def test_coefficients_of_another_face_model_are_told(other: str) -> None:
    model = encoder()
    with pytest.raises(DubbenchError, match=f"coefficients of face model {other or 'none'}"):
        model.pairs(replace(windows(model, SPEAKERS), face=other))


def test_without_a_face_model_there_is_no_style() -> None:
    with pytest.raises(DubbenchError, match="has no face model yet"):
        fresh().styles(torch.zeros(1, FRAMES, EXPRESSIONS))


@pytest.mark.parametrize("options", [{"frames": 1}, {"gap": -1}])
def test_stretches_that_make_no_pair_are_told(options: dict[str, int]) -> None:
    with pytest.raises(DubbenchError, match="make no pair"):
        encoder(**options)


CLIPS = [Clip("anna/one", 30), Clip("bert/one", 41), Clip("bert/val", 30, "val"), Clip("cleo/val", 26, "val")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = miniature.make(tmp_path_factory.mktemp("mini"), CLIPS)
    miniature.write_geometry(root, CLIPS, miniature.face_model())
    return root


def test_trains_on_a_prepared_folder(prepared: Path) -> None:
    model = StyleEncoder(vertices=64, frames=FRAMES, gap=2, width=16, layers=1, heads=2)
    data = DubbingDataModule(str(prepared), "mini", batch_size=4, windows_per_epoch=8, val_windows=8)
    training = trainer(prepared)
    training.fit(model, data)
    assert model.face.hash() == miniature.face_model().hash()
    assert 0 <= training.callback_metrics["val_triplet_accuracy"] <= 1


@torch.no_grad()
def test_a_clips_stretches_are_side_by_side(prepared: Path) -> None:
    model = StyleEncoder(vertices=64, frames=FRAMES, gap=0, width=16, layers=1, heads=2).eval()
    model.held_face.adopt(miniature.face_model())
    expression = torch.from_numpy(miniature.coefficients(CLIPS[1])["expression"])
    clip = PreparedClip(prepared, CLIPS[1].clip)

    def styles(*starts: int, length: int = FRAMES) -> Tensor:
        return model.styles(torch.stack([expression[start : start + length] for start in starts]))

    assert torch.allclose(embed(model, clip), styles(0, 12, 24), atol=1e-5)
    assert torch.allclose(embed(model, clip, (0.5, 1.0)), styles(20), atol=1e-5)
    assert torch.allclose(embed(model, clip, (0.5, 1.0), hop=4), styles(20, 24, 28), atol=1e-5)
    assert torch.allclose(embed(model, clip, (0.0, 0.25)), styles(0, length=10), atol=1e-5)
    with pytest.raises(DubbenchError, match="frames 41 to 41 of bert/one hold no style"):
        embed(model, clip, (1.0, 1.0))
    other = encoder().eval()
    with pytest.raises(DubbenchError, match="has no geometry of face model"):
        embed(other, clip)
