"""RealTalk through Lightning's trainer, `dub`, on miniature prepared clips with geometry."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from dubbench.datamodules.batch import Batch
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.windows import Place, read_windows
from dubbench.errors import DubbenchError
from dubbench.models.load import load_model
from dubbench.models.losses import PerceptualLoss
from dubbench.models.realtalk.mask import learnable_mask, teeth_mask
from dubbench.models.realtalk.module import RealTalk
from dubbench.models.realtalk.networks import stages_of
from dubbench.models.realtalk.other_speech import other_speech
from dubbench.models.two_stages import required
from dubbench.training.onnx_export import export
from tests.datamodules import miniature
from tests.datamodules.miniature import Clip
from tests.models.conftest import trainer
from tests.models.realtalk.small import CLIPS, loaded, small
from tests.models.talkers import FACE, Features, Seen, Steps, assert_resumes, data, dubbed, fitted, make, state


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("realtalk"), CLIPS)


def window(model: RealTalk, root: Path) -> Batch:
    """One window of anna's clip."""
    return read_windows([Place(PreparedClip(root, "anna/one"), 8, np.array([0, 25, 2, 28, 20]))], model.window)


def test_one_window_overfits(root: Path, tmp_path: Path) -> None:
    model, steps = small(), Steps()
    model.held_face.adopt(FACE)
    again: DataLoader[Batch] = DataLoader([window(model, root)] * 40, batch_size=None)  # type: ignore[arg-type]
    trainer(tmp_path, max_epochs=1, callbacks=[steps]).fit(model, again)
    first, last = steps.rows[0], steps.rows[-1]
    assert last["train_expression"] < 0.5 * first["train_expression"]
    assert last["train_l1"] < 0.5 * first["train_l1"]
    assert [row["step"] for row in steps.rows] == [float(k) for k in range(40)]


@pytest.mark.parametrize("stages", ["both", "expression", "rendering"])
def test_only_what_is_trained_moves_and_all_of_it_does(root: Path, tmp_path: Path, stages: str) -> None:
    model = small(stages=stages, adversarial={"weight": 0.01})
    start = state(model)
    fitted(root, tmp_path, model, 2)
    moved = {name for name, value in state(model).items() if not torch.equal(value, start[name])}
    for part, on in (("expression", stages != "rendering"), ("renderer", stages != "expression")):
        learning = {name for name, _ in model.named_parameters() if name.startswith(f"generator.{part}.")}
        # Keys' bias shifts all scores of a query alike, which no softmax sees.
        learning = {name for name in learning if "k_proj.bias" not in name}
        assert learning - moved == (set() if on else learning)
    assert (model.adversary is None) is (stages == "expression")
    assert stages_of(model.ema.module).trained_stages.tolist() == [stages != "rendering", stages != "expression"]


def test_a_frozen_hubert_stays(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dubbench.models.layers.hubert import SpeechFeatures

    monkeypatch.setattr(SpeechFeatures, "load_pretrained", lambda self: None)
    model = small(stages="expression")
    speech = stages_of(model.generator).expression.speech
    frozen = SpeechFeatures("tiny", 32, trainable=False, per_frame=2)
    stages_of(model.generator).expression.speech = frozen
    assert speech.per_frame == frozen.per_frame
    before = state(frozen.hubert)
    fitted(root, tmp_path, model, 2)
    assert all(torch.equal(value, before[name]) for name, value in state(frozen.hubert).items())


def test_frames_keep_the_source_outside_the_mask(root: Path) -> None:
    model = small()
    model.held_face.adopt(FACE)
    batch = window(model, root)
    fake = model.generate(model.generator, batch)
    expression, pose = (
        required(field)[:, model.window.pictured].flatten(0, 1) for field in (batch.expression, batch.pose)
    )
    shape = required(batch.reference_shape)[:, :1].expand(-1, batch.frames.shape[1], -1).flatten(0, 1)
    mask = learnable_mask(FACE, shape, expression, pose, size=32)
    assert 0 < mask.mean() < 1
    outside = mask.expand(2, 3, 32, 32) == 1
    assert torch.equal(fake.flatten(0, 1)[outside], batch.frames.flatten(0, 1)[outside])
    assert not torch.isclose(fake.flatten(0, 1)[~outside], batch.frames.flatten(0, 1)[~outside]).any()


def test_what_the_mask_hides_is_not_seen(root: Path) -> None:
    model = small(mask="naive")
    model.held_face.adopt(FACE)
    batch = window(model, root)
    other = batch.frames.clone()
    other[..., 16:, :] = 0.7
    fake = model.generate(model.generator, batch)
    assert torch.equal(fake[..., 16:, :], model.generate(model.generator, replace(batch, frames=other))[..., 16:, :])
    assert torch.equal(fake[..., :16, :], batch.frames[..., :16, :])


def test_losses_are_those_of_the_paper(root: Path) -> None:
    model = small()
    model.held_face.adopt(FACE)
    batch = window(model, root)
    fake = batch.frames + 0.1
    terms = model.losses(fake, batch)
    teeth = teeth_mask(batch.points.flatten(0, 1), 32)
    assert float(terms["l1"]) == pytest.approx(0.1, rel=1e-5)
    assert float(terms["teeth"]) == pytest.approx(0.1 * float(teeth.mean()), rel=1e-4)
    assert model.weights == {"l1": 1.0, "perceptual": 0.0, "teeth": 1.0, "adversarial": 0.0}
    assert model.speech_weights == {"expression": 1.0, "vertices": 0.1}
    assert RealTalk(speech="tiny", vertices=64).weights == {
        "l1": 1.0,
        "perceptual": 1.0,
        "teeth": 1.0,
        "adversarial": 0.1,
    }


def test_perceptual_term_is_frozen_and_stays_out(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PerceptualLoss, "pretrained", classmethod(lambda cls: Features()))
    model, steps = small(perceptual="vgg19", stages="rendering"), Steps()
    keys = set(model.state_dict())
    fitted(root, tmp_path, model, callbacks=[steps])
    row = steps.rows[-1]
    assert row["train_perceptual"] > 0
    total = row["train_l1"] + row["train_perceptual"] + row["train_teeth"]
    assert row["train_loss"] == pytest.approx(total, rel=1e-4)
    assert set(model.state_dict()) == keys


def test_validation_tells_the_scale(tmp_path: Path) -> None:
    clips = [Clip("anna/one", 30), Clip("anna/val", 14, "val"), Clip("bert/val", 14, "val")]
    root = make(tmp_path / "prepared", clips)
    model = small(stages="expression")
    module = data(root, val_windows=4, batch_size=4)
    found = trainer(tmp_path).validate(model, datamodule=module, verbose=False)[0]
    assert set(found) == {"val_expression", "val_vertices", "val_expression_mean", "val_expression_other_speech"}
    (batch,) = cast(list[Batch], list(module.val_dataloader()))
    truth, history = required(batch.expression).double(), required(batch.reference_expression)[:, 1:]
    mean = history.double().mean(1, keepdim=True)
    assert found["val_expression_mean"] == pytest.approx(float((truth - mean).square().sum(-1).mean()), rel=1e-5)
    shape = required(batch.reference_shape)[:, 0]
    errors = []
    assert batch.clips == ["anna/val", "anna/val", "bert/val", "bert/val"]
    for order in ([0, 1, 2, 3], [2, 3, 0, 1]):
        heard = batch.waveform[order]
        with torch.no_grad():
            made = stages_of(model.ema.module).eval().expression(heard, shape, history)[..., :2]
        errors.append(float((made.double() - truth).square().sum(-1).mean()))
    assert [found["val_expression"], found["val_expression_other_speech"]] == pytest.approx(errors, rel=1e-4)


def test_a_batch_of_one_moment_has_no_other_speech(root: Path, tmp_path: Path) -> None:
    """Windows of 8 of a clip of 14 frames overlap, and what one says is mostly what the other says."""
    model = small(stages="expression")
    module = data(root, val_windows=4, batch_size=4)
    with pytest.warns(UserWarning, match="leaves out batches of one clip whose windows overlap"):
        found = trainer(tmp_path).validate(model, datamodule=module, verbose=False)[0]
    assert set(found) == {"val_expression", "val_vertices", "val_expression_mean"}


def spoken(clips: str, starts: Sequence[int]) -> Batch:
    """Windows of 8 frames of clips named by a letter, each of which says its own number."""
    waveform = torch.arange(len(clips))[:, None].expand(-1, 8 * 640).float()
    indices = torch.tensor(starts)[:, None] + torch.arange(8)
    nothing = torch.empty(0)
    return Batch(nothing, nothing, None, waveform, nothing, nothing, indices, nothing, list(clips), list(clips))


@pytest.mark.parametrize(
    ("clips", "starts", "rows"),
    [
        ("aabb", [0, 3, 0, 3], [2, 3, 0, 1]),
        ("aaab", [0, 20, 40, 5], [3, 3, 3, 0]),
        ("abc", [0, 0, 0], [1, 2, 0]),
        ("aaa", [0, 8, 30], [1, 2, 0]),
        ("aaa", [0, 7, 8], None),
        ("a", [0], None),
    ],
)
def test_other_speech_is_anothers(clips: str, starts: Sequence[int], rows: Sequence[int] | None) -> None:
    found = other_speech(spoken(clips, starts))
    assert (None if found is None else found[:, 0].tolist()) == rows


def test_training_knows_histories_of_a_single_frame(root: Path) -> None:
    model = small(stages="expression")
    model.held_face.adopt(FACE)
    batch, seen = window(model, root), []
    network = stages_of(model.generator).expression
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    for _ in range(40):
        model.train()
        model.speech_losses(model.generator, batch)
    assert {len(torch.unique(history[0], dim=0)) for history in seen} == {1, 2, 3, 4}
    seen.clear()
    model.eval()
    model.speech_losses(model.generator, batch)
    assert batch.reference_expression is not None
    assert torch.equal(seen[0], batch.reference_expression[:, 1:])


@pytest.fixture(scope="module")
def checkpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model after a few batches of both stages."""
    folder = tmp_path_factory.mktemp("trained")
    fitted(root, folder, small(), 4).save_checkpoint(folder / "both.ckpt")
    return folder / "both.ckpt"


def test_resumed_training_equals_undisturbed(root: Path, tmp_path: Path) -> None:
    assert_resumes(root, tmp_path, lambda: small(adversarial={"weight": 0.01}))


def test_a_checkpoint_alone_dubs(root: Path, checkpoint: Path) -> None:
    model = load_model(checkpoint)
    frames = dubbed(model, root)
    assert frames.shape == (30, 32, 32, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, dubbed(model, root))
    assert model.paste_mask().shape == (32, 32)


@pytest.mark.parametrize(
    "options",
    [
        {"transformer": {"shape_prior": False}},
        {"transformer": {"history_prior": False}},
        {"mask": "naive"},
        {"renderer": {"alignment": "flow"}},
        {"renderer": {"alignment": "deformation"}},
        {"renderer": {"blocks": 2}},
    ],
)
def test_each_ablation_trains_and_dubs(root: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    model = small(**options)
    fitted(root, tmp_path, model)
    assert dubbed(model, root, "bert/two").shape == (3, 32, 32, 3)


def test_speech_moves_the_masked_region_alone(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    out, silent = dubbed(model, root), dubbed(model, root, speech=np.zeros(0, np.float32))
    assert (out != silent).any((1, 2, 3)).all()
    truth = np.stack(list(PreparedClip(root, "anna/one").stream(32)))
    assert np.array_equal(out[:, :2], truth[:, :2])


@pytest.mark.parametrize("kind", ["attention", "flow"])
def test_a_fresh_renderer_exports(kind: str, tmp_path: Path) -> None:
    model = small(renderer={"alignment": kind}).eval()
    stages_of(model.ema.module).trained_stages.fill_(True)
    network, inputs, outputs = model.exportable()
    # Rows that are alike would hide that they are mixed up.
    assert not any(torch.equal(x[0], x[1]) for x in inputs.values() if len(x) > 1)
    assert export(network, inputs, outputs, tmp_path / "renderer.onnx") <= 1e-4
    assert outputs == ["frame"]


def test_only_allowed_frames_tell_of_the_speaker(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    model = loaded(checkpoint)
    for allowed in ([0], [3, 4, 17], list(range(30))):
        clip = Seen(root, "anna/one")
        list(model.dub(clip, clip.speech(), allowed))
        assert clip.decoded == [[allowed[0]]]
    assert not np.array_equal(dubbed(model, root, references=[0]), dubbed(model, root, references=[0, 9]))


class Faceless(PreparedClip):
    """A clip whose first five frames show no face."""

    def detected(self, indices: Any = None) -> NDArray[np.bool_]:  # noqa: ANN401
        every = np.arange(len(self)) >= 5
        return every if indices is None else every[np.asarray(indices, np.int64)]


def test_a_first_frame_without_a_face(root: Path, checkpoint: Path) -> None:
    model, clip = loaded(checkpoint), Faceless(root, "anna/one")
    with pytest.raises(DubbenchError, match="anna/one shows no face in frame 0, the only frames that may be looked at"):
        model.dub(clip, clip.speech(), [0])
    with pytest.raises(DubbenchError, match=r"no face in frames 0, 1, 2, \.\.\."):
        model.dub(clip, clip.speech(), [0, 1, 2, 3])
    frames = np.stack(list(model.dub(clip, clip.speech(), [0, 6])))
    assert np.array_equal(frames, dubbed(model, root, references=[6]))


def test_autocast_and_short_clips(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    full, half = dubbed(model, root, "bert/two"), dubbed(model, root, "bert/two", precision=torch.bfloat16)
    assert np.abs(full.astype(float) - half).mean() < 4
    assert not np.array_equal(full, half)


def test_compiled_dubbing_gives_the_same_frames(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    plain = dubbed(model, root)
    model.optim.compile = "eager"
    assert np.array_equal(dubbed(model, root), plain)


def test_stages_of_their_own_runs_make_one_model(root: Path, tmp_path: Path) -> None:
    first = small(stages="expression")
    fitted(root, tmp_path, first).save_checkpoint(tmp_path / "expression.ckpt")
    with pytest.raises(DubbenchError, match=r"rendering was never trained; fit with --model\.stages both"):
        dubbed(load_model(tmp_path / "expression.ckpt"), root)
    second = small(stages="rendering", initial=str(tmp_path / "expression.ckpt"))
    fitted(root, tmp_path, second).save_checkpoint(tmp_path / "both.ckpt")
    (tmp_path / "expression.ckpt").unlink()
    whole = load_model(tmp_path / "both.ckpt")
    assert dubbed(whole, root).shape == (30, 32, 32, 3)


def test_face_models_of_other_sizes_are_told(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(DubbenchError, match=r"3 shape and 2 expression coefficients.*--model.shapes 3"):
        fitted(root, tmp_path, small(shapes=2))
    with pytest.raises(DubbenchError, match="64 vertices, but this RealTalk is for mesh with 468"):
        fitted(root, tmp_path, small(vertices=None))
    bare = miniature.make(tmp_path / "bare", CLIPS[-1:])
    with pytest.raises(DubbenchError, match="has no geometry of face model"):
        dubbed(loaded(checkpoint), bare, "bert/two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 40}, "must be divisible by 16"),
        ({"transformer": {"width": 30}}, "width 30 by 2 and 4 heads"),
        ({"pictures": 9}, "9 pictures of 8 frames"),
        ({"history": 0}, "do not go together"),
    ],
)
def test_settings_that_do_not_go_together_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        small(**options)
