"""PersonaTalk through Lightning's trainer and `dub`, on miniature prepared clips with geometry."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dubbench.datamodules.batch import Batch
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.geometry import geometry_name
from dubbench.datamodules.windows import Place, read_windows
from dubbench.errors import DubbenchError
from dubbench.models.load import load_model
from dubbench.models.losses import PerceptualLoss
from dubbench.models.personatalk.geometry import GeometryGenerator
from dubbench.models.personatalk.module import PersonaTalk
from dubbench.models.personatalk.networks import stages_of
from tests.datamodules import miniature
from tests.datamodules.miniature import Clip
from tests.models.conftest import merged, trainer
from tests.models.talkers import FACE, Features, Steps, Unseen, assert_resumes, data, dubbed, fitted, make, state

CLIPS = [Clip("anna/one", 30), Clip("anna/val", 14, "val"), Clip("bert/one", 20), Clip("bert/two", 3)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("personatalk"), CLIPS)


def small(**options: Any) -> PersonaTalk:  # noqa: ANN401
    torch.manual_seed(0)
    values: dict[str, Any] = {
        "size": 32,
        "vertices": 64,
        "speech": "tiny",
        "transformer": {"width": 32, "layers": 1, "heads": 4, "dropout": 0.0},
        "renderer": {"channels": 16},
        "frames": 8,
        "pictures": 2,
        "face_references": 2,
        "lip_references": 2,
        "dub_lip_references": 4,
        "perceptual": "none",
        "adversarial": {"weight": 0.0, "widths": [4, 8, 8]},
        "optim": {"speech_lr": 3e-3, "lr": 3e-3, "ema_decay": 0.9},
    }
    return PersonaTalk(**merged(values, options))


def window(model: PersonaTalk, root: Path) -> Batch:
    """One window of anna's clip."""
    face, lips = model.hparams["face_references"], model.hparams["lip_references"]
    numbers = np.array([9, 15, 2, 25, 28, 0][: face + lips])
    style = np.array([*range(8), *range(16, 30)])
    return read_windows([Place(PreparedClip(root, "anna/one"), 8, numbers, style=style)], model.window)


def test_one_window_overfits(root: Path, tmp_path: Path) -> None:
    model, steps = small(), Steps()
    model.held_face.adopt(FACE)
    again: DataLoader[Batch] = DataLoader([window(model, root)] * 25, batch_size=None)  # type: ignore[arg-type]
    trainer(tmp_path, max_epochs=1, callbacks=[steps]).fit(model, again)
    first, last = steps.rows[0], steps.rows[-1]
    assert last["train_vertices"] < 0.8 * first["train_vertices"]
    assert last["train_velocity"] < first["train_velocity"]
    assert last["train_l1"] < 0.5 * first["train_l1"]
    assert [row["step"] for row in steps.rows] == [float(k) for k in range(25)]


@pytest.mark.parametrize("stages", ["both", "geometry", "rendering"])
def test_only_what_is_trained_moves_and_all_of_it_does(root: Path, tmp_path: Path, stages: str) -> None:
    model = small(stages=stages, adversarial={"weight": 0.01})
    start = state(model)
    fitted(root, tmp_path, model, 2)
    moved = {name for name, value in state(model).items() if not torch.equal(value, start[name])}
    for part, on in (("geometry", stages != "rendering"), ("renderer", stages != "geometry")):
        learning = {name for name, _ in model.named_parameters() if name.startswith(f"generator.{part}.")}
        # Keys' bias shifts all scores of a query alike, which no softmax sees.
        learning = {name for name in learning if "k_proj.bias" not in name}
        assert learning - moved == (set() if on else learning)
        averaged = {name.replace("generator.", "ema.module.") for name in learning}
        assert any(not torch.allclose(model.state_dict()[name], start[name]) for name in averaged) is on
    assert (model.adversary is None) is (stages == "geometry")
    if model.adversary is not None:
        assert all(f"adversary.{name}" in moved for name, _ in model.adversary.named_parameters())
    assert stages_of(model.ema.module).trained_stages.tolist() == [stages != "rendering", stages != "geometry"]
    assert model.ema.n_averaged == 4


def test_losses_are_distances_of_the_lower_face(root: Path) -> None:
    model = small(vertex_lip_weight=3.0)
    model.held_face.adopt(FACE)
    batch = window(model, root)
    assert batch.shape is not None
    assert batch.expression is not None
    assert batch.style_shape is not None
    assert batch.style_expression is not None
    assert batch.style_indices is not None
    nn.init.normal_(stages_of(model.generator).geometry.decoder.weight, std=0.1)
    model.eval()
    with torch.no_grad():
        terms = model.geometry_losses(model.generator, batch, batch.style_indices >= 0)
        assert terms == model.speech_losses(model.generator, batch)
        style = stages_of(model.generator).geometry.embed_style(batch.style_expression[:, :22], FACE.expression_basis)
        template = FACE.vertices(batch.style_shape[:, :22].mean(1), torch.zeros(2))
        made = template + stages_of(model.generator).geometry(batch.waveform, style, template - FACE.mean)[0]
        truth = FACE.vertices(batch.shape, batch.expression)[0]
    lips, total, moving, weights = set(FACE.regions["lips"].tolist()), 0.0, 0.0, 0.0
    for v in FACE.regions["lower_face"].tolist():
        weight = 3.0 if v in lips else 1.0
        error = (made[:, v] - truth[:, v]).double() / 0.02
        total += weight * float(error.norm(dim=1).mean())
        moving += weight * float((error[1:] - error[:-1]).norm(dim=1).mean())
        weights += weight
    assert float(terms["vertices"]) == pytest.approx(total / weights, rel=1e-4)
    assert float(terms["velocity"]) == pytest.approx(moving / weights, rel=1e-4)


def test_references_tell_the_first_stage_nothing_and_style_frames_do(root: Path) -> None:
    model = small().eval()
    model.held_face.adopt(FACE)
    nn.init.normal_(stages_of(model.generator).geometry.decoder.weight, std=0.1)
    batch = window(model, root)
    losses = model.speech_losses(model.generator, batch)

    def told(*names: str) -> dict[str, Tensor]:
        """What the losses are of a batch whose fields of these names are others."""
        changes: dict[str, Any] = {name: torch.randn_like(getattr(batch, name)) for name in names}
        return model.speech_losses(model.generator, replace(batch, **changes))

    assert told("references", "reference_expression", "reference_shape") == losses
    assert told("style_expression") != losses
    assert told("style_shape") != losses


def seen_styles(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Frames that count, [B, N], and the style made of them, of each call that follows."""
    calls: list[tuple[Tensor, Tensor]] = []
    embed = GeometryGenerator.embed_style

    def spied(net: GeometryGenerator, expression: Tensor, basis: Tensor, keep: Tensor | None = None) -> Tensor:
        counted = torch.ones(expression.shape[:2], dtype=torch.bool) if keep is None else keep
        calls.append((counted, embed(net, expression, basis, keep)))
        return calls[-1][1]

    monkeypatch.setattr(GeometryGenerator, "embed_style", spied)
    return calls


def test_training_sees_one_style_frame_or_all_and_what_lies_between(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small()
    model.held_face.adopt(FACE)
    batch, calls = window(model, root), seen_styles(monkeypatch)
    for _ in range(400):
        model.speech_losses(model.generator, batch)
    counts = [int(keep.sum()) for keep, _ in calls]
    assert (min(counts), max(counts)) == (1, 22)
    assert not any(bool(keep[:, 22:].any()) for keep, _ in calls)
    # As many of one frame as the logarithm's share of them, and every frame among those that stand alone.
    assert counts.count(1) / 400 == pytest.approx(np.log(2) / np.log(23), abs=0.06)
    alone = {int(keep[0].nonzero()) for keep, _ in calls if int(keep.sum()) == 1}
    assert len(alone) > 15


def test_style_is_the_same_in_training_and_when_dubbing(
    root: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = loaded(checkpoint), seen_styles(monkeypatch)
    batch = window(model, root)
    model.speech_losses(model.ema.module, batch)
    dubbed(model, root, references=[*range(8), *range(16, 30)])
    (_, trained), (_, dubbing) = calls[0], calls[1]
    torch.testing.assert_close(trained, dubbing)
    own = model.own_style(torch.from_numpy(miniature.coefficients(CLIPS[0])["expression"][None]))
    dubbed(model, root)
    torch.testing.assert_close(own, calls[-1][1])


def test_frames_without_a_face_are_not_seen(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    other = shutil.copytree(root, tmp_path / "other")
    track = dict(np.load(other / "anna/one/track.npz"))
    track["detected"][[3, 9]] = False
    np.savez(other / "anna/one/track.npz", **track)
    model = loaded(checkpoint)
    few = dubbed(model, other, references=[0, 3, 9, 17])
    assert np.array_equal(few, dubbed(model, root, references=[0, 17]))
    with pytest.raises(DubbenchError, match="shows no face in frames 3, 9"):
        dubbed(model, other, references=[3, 9])


def test_frame_selection_leaves_the_first_stage_alone(root: Path, tmp_path: Path) -> None:
    """Table 4's last row is about the renderer's references: the geometry generator must learn the very same."""
    trained = []
    for selection in (True, False):
        model = small(frame_selection=selection)
        fitted(root, tmp_path, model, 2)
        trained.append(stages_of(model.generator))
    one, other = (state(stages.geometry) for stages in trained)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    drawn, alike = (state(stages.renderer) for stages in trained)
    assert not all(torch.equal(value, alike[name]) for name, value in drawn.items())


def test_the_geometry_stage_opens_no_video(root: Path, tmp_path: Path) -> None:
    other = shutil.copytree(root, tmp_path / "other")
    for clip in CLIPS:
        (other / clip.clip / "video.mp4").write_bytes(b"no video")
    one, without = small(stages="geometry"), small(stages="geometry")
    fitted(root, tmp_path, one, 2)
    fitted(other, tmp_path, without, 2)
    assert all(torch.equal(value, state(without)[name]) for name, value in state(one).items())
    assert "val_vertices" in trainer(tmp_path).validate(without, datamodule=data(other), verbose=False)[0]
    with pytest.raises(DubbenchError, match=r"video\.mp4"):
        fitted(other, tmp_path, small(), 1)


def test_perceptual_term_is_frozen_and_stays_out(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PerceptualLoss, "pretrained", classmethod(lambda cls: Features()))
    model, steps = small(perceptual="vgg19", stages="rendering"), Steps()
    keys = set(model.state_dict())
    fitted(root, tmp_path, model, callbacks=[steps])
    row = steps.rows[-1]
    assert row["train_perceptual"] > 0
    assert row["train_loss"] == pytest.approx(row["train_l1"] + row["train_perceptual"], rel=1e-4)
    assert set(model.state_dict()) == keys
    assert not any(parameter.requires_grad for parameter in model.frozen["perceptual"].parameters())
    assert small(perceptual="vgg19", stages="geometry").build_frozen() == {}


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("both", {"val_l1", "val_psnr_lower", "val_vertices", "val_velocity"}),
        ("geometry", {"val_vertices", "val_velocity"}),
    ],
)
def test_validation_tells_of_the_stages_that_train(root: Path, tmp_path: Path, stages: str, expected: set[str]) -> None:
    model = small(stages=stages)
    results = trainer(tmp_path).validate(model, datamodule=data(root), verbose=False)
    assert set(results[0]) == expected


@pytest.fixture(scope="module")
def checkpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model after a few batches of both stages."""
    folder = tmp_path_factory.mktemp("trained")
    fitted(root, folder, small(), 4).save_checkpoint(folder / "both.ckpt")
    return folder / "both.ckpt"


def loaded(path: Path) -> PersonaTalk:
    model = load_model(path)
    assert isinstance(model, PersonaTalk)
    return model


def test_resumed_training_equals_undisturbed(root: Path, tmp_path: Path) -> None:
    assert_resumes(root, tmp_path, lambda: small(adversarial={"weight": 0.01}))


def test_a_checkpoint_alone_dubs(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    assert model.face.hash() == FACE.hash()
    frames = dubbed(model, root)
    assert frames.shape == (30, 32, 32, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, dubbed(model, root))
    assert model.paste_mask().shape == (32, 32)


@pytest.mark.parametrize(
    "options",
    [
        {"transformer": {"style": False}},
        {"renderer": {"face_attention": False}},
        {"renderer": {"lip_attention": False}},
        {"frame_selection": False},
    ],
)
def test_each_ablation_trains_and_dubs(root: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    model = small(**options)
    assert model.parameter_count() < small().parameter_count() or "frame_selection" in options
    fitted(root, tmp_path, model)
    assert dubbed(model, root, "bert/two").shape == (3, 32, 32, 3)


def test_only_allowed_frames_are_seen_and_each_face_once(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    for allowed in ([0], [3, 4, 17], list(range(30))):
        clip = Unseen(root, "anna/one")
        list(model.dub(clip, clip.speech(), allowed))
        lips, *faces = clip.decoded
        assert len(lips) == min(4, len(allowed))
        flat = [number for part in faces for number in part]
        assert set(flat) | set(lips) <= set(allowed)
        assert sorted(flat) == sorted(set(flat)), "a face reference was encoded twice"
        assert allowed != list(range(30)) or set(flat) == set(allowed)


def test_speech_moves_the_lower_face_alone(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    nn.init.normal_(stages_of(model.ema.module).geometry.decoder.weight, std=0.1)
    out = dubbed(model, root, references=[0])
    silent = dubbed(model, root, references=[0], speech=np.zeros(0, np.float32))
    changed = (out != silent).any(-1)
    assert changed.any((1, 2)).all()
    # The upper half of the sheet is the target's; turned as it is, and seen through two convolutions, this is left.
    assert not changed[:, :4].any()
    assert changed[:, 16:].mean() > 3 * changed[:, :16].mean()


def test_lower_face_and_lips_of_the_target_frame_are_hidden(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    other = shutil.copytree(root, tmp_path / "other")
    model = loaded(checkpoint)
    # An expression that moves the lower face alone must not be seen, except in the frames that may be.
    path = other / "anna/one" / geometry_name(FACE.hash())
    arrays = dict(np.load(path))
    arrays["expression"][5:] = 0
    np.savez(path, **arrays)
    upper = FACE.regions["upper_face"]
    with torch.no_grad():
        model.face.expression_basis[:, upper] = 0
    assert np.array_equal(dubbed(model, root, references=[0, 4]), dubbed(model, other, references=[0, 4]))
    assert not np.array_equal(dubbed(model, root, references=[0, 9]), dubbed(model, other, references=[0, 9]))


def test_autocast_and_short_clips(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    full, half = dubbed(model, root, "bert/two"), dubbed(model, root, "bert/two", precision=torch.bfloat16)
    assert np.abs(full.astype(float) - half).mean() < 4
    assert not np.array_equal(full, half)


def test_stages_of_their_own_runs_make_one_model(root: Path, tmp_path: Path) -> None:
    first = small(stages="geometry")
    fitted(root, tmp_path, first).save_checkpoint(tmp_path / "geometry.ckpt")
    with pytest.raises(DubbenchError, match=r"rendering was never trained; fit with --model\.stages both"):
        dubbed(loaded(tmp_path / "geometry.ckpt"), root)
    second = small(stages="rendering", initial=str(tmp_path / "geometry.ckpt"), optim={"lr": 1e-3})
    fitted(root, tmp_path, second).save_checkpoint(tmp_path / "both.ckpt")
    (tmp_path / "geometry.ckpt").unlink()
    whole = loaded(tmp_path / "both.ckpt")
    for name, value in state(stages_of(first.ema.module).geometry).items():
        torch.testing.assert_close(stages_of(whole.ema.module).geometry.state_dict()[name], value)
    assert dubbed(whole, root).shape == (30, 32, 32, 3)


def test_checkpoints_that_do_not_fit_are_told(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match="has other networks"):
        fitted(root, tmp_path, small(initial=str(checkpoint), renderer={"channels": 32}))
    with pytest.raises(DubbenchError, match="there is no checkpoint"):
        fitted(root, tmp_path, small(initial=str(tmp_path / "gone.ckpt")))
    torch.save({"state_dict": {}, "dubbench": {"class_path": "x"}}, tmp_path / "other.ckpt")
    with pytest.raises(DubbenchError, match="lacks what a checkpoint of this version"):
        fitted(root, tmp_path, small(initial=str(tmp_path / "other.ckpt")))


def test_another_face_model_is_told(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match="64 vertices, but this PersonaTalk is for mesh with 468"):
        fitted(root, tmp_path, small(vertices=None))
    model = loaded(checkpoint)
    bare = miniature.make(tmp_path / "bare", CLIPS[-1:])
    with pytest.raises(DubbenchError, match="has no geometry of face model"):
        dubbed(model, bare, "bert/two")
    batch = replace(window(model, root), face="0" * 12)
    with pytest.raises(DubbenchError, match="the batch has coefficients of face model 000000000000"):
        model.training_step(batch, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 30}, "must be divisible by 4"),
        ({"renderer": {"channels": 18}}, "must be divisible by 4"),
        ({"transformer": {"width": 30}}, "width 30 by 2 and 4 heads"),
        ({"renderer": {"face_attention": False, "lip_attention": False}}, "nothing is drawn"),
        ({"pictures": 9}, "9 pictures of 8 frames"),
        ({"lip_references": 0}, "do not go together"),
    ],
)
def test_settings_that_do_not_go_together_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        small(**options)
