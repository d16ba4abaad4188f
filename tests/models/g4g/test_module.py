"""G4G through Lightning's trainer, on miniature prepared clips."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from dubbench.datamodules.batch import Batch
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.moments import MomentsDataset
from dubbench.datamodules.windows import Place
from dubbench.errors import DubbenchError
from dubbench.models.g4g import losses
from dubbench.models.g4g.module import G4G
from dubbench.models.load import load_model
from dubbench.models.losses import PerceptualLoss
from dubbench.models.sync_expert.module import SyncExpert
from tests.datamodules.miniature import SIZE
from tests.models.conftest import merged, small_expert, trainer
from tests.models.speaking_faces import MOUTH, make, network, small
from tests.models.talkers import Features, Steps, assert_resumes, data, dubbed, fitted, state


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("g4g"))


def window(model: G4G, root: Path) -> Batch:
    """One window of anna's clip, with other moments of it."""
    dataset = MomentsDataset(root, model.window, "train", length=1, moments=model.moments)
    return dataset.collate([Place(PreparedClip(root, "anna/one"), 8, np.array([0, 25, 2, 28, 20]))])


@pytest.fixture(scope="module")
def expert(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sync expert for face crops after two batches."""
    folder = tmp_path_factory.mktemp("expert")
    model = small_expert(crop="face", frames=8, objective="contrastive")
    fitted(root, folder, model).save_checkpoint(folder / "face.ckpt")
    return folder / "face.ckpt"


class Layers(Features):
    """`Features` whose layers count differently, as VGG's do."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = (0.1, 0.4)


@pytest.fixture
def _own_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PerceptualLoss, "pretrained", classmethod(lambda cls: Layers()))


def test_one_window_overfits(root: Path, tmp_path: Path) -> None:
    model, steps = small(), Steps()
    batch = window(model, root)
    before = float((model.generate(network(model), batch) - batch.frames).abs().mean())
    again: DataLoader[Batch] = DataLoader([batch] * 25, batch_size=None)  # type: ignore[arg-type]
    trainer(tmp_path, max_epochs=1, callbacks=[steps]).fit(model, again)
    assert steps.rows[-1]["train_reconstruction"] < 0.5 * steps.rows[0]["train_reconstruction"]
    assert float((model.generate(network(model), batch) - batch.frames).abs().mean()) < 0.5 * before
    assert [row["step"] for row in steps.rows] == [float(k) for k in range(25)]


@pytest.mark.parametrize(("stages", "adversarial"), [("all", 0.0), ("all", 3.0), ("alignment", 3.0)])
def test_only_what_is_trained_moves_and_all_of_it_does(
    root: Path, tmp_path: Path, stages: str, adversarial: float
) -> None:
    model = small(stages=stages, adversarial={"weight": adversarial})
    start = state(model)
    fitted(root, tmp_path, model, 2)
    moved = {name for name, value in state(model).items() if not torch.equal(value, start[name])}
    learning = {name for name, _ in model.named_parameters() if not name.startswith("ema.")}
    drawing = ("deformation", "decoder", "blend") if stages == "alignment" else ()
    resting = {name for name in learning if name.startswith(tuple(f"generator.{part}." for part in drawing))}
    assert learning - moved == resting
    assert (model.adversary is None) is (stages == "alignment" or not adversarial)


@pytest.mark.usefixtures("_own_features")
def test_loss_is_eq_17_and_helpers_stay(root: Path, tmp_path: Path, expert: Path) -> None:
    terms = {"sync_expert": str(expert), "perceptual": "vgg19", "adversarial": {"weight": 3.0}}
    model = G4G(**merged(small().hparams, terms))
    keys, steps, before = set(model.state_dict()), Steps(), {}
    model.setup("fit")
    before = {name: state(net) for name, net in model.frozen.items()}
    fitted(root, tmp_path, model, callbacks=[steps])
    for row in steps.rows:
        weighted = {"attribute": 1, "perceptual": 2, "adversarial": 3, "reconstruction": 4, "contrastive": 5, "sync": 5}
        assert set(row) - {"step"} == {f"train_{name}" for name in (*weighted, "loss", "discriminator")}
        assert all(row[f"train_{name}"] > 0 for name in weighted)
        total = sum(weight * row[f"train_{name}"] for name, weight in weighted.items())
        assert row["train_loss"] == pytest.approx(total, rel=1e-5)
    assert set(before) == {"perceptual", "sync"}
    for name, net in model.frozen.items():
        assert all(torch.equal(value, before[name][key]) for key, value in state(net).items())
        assert all(p.grad is None and not p.requires_grad for p in net.parameters())
        assert not any(module.training for module in net.modules())
    assert set(model.state_dict()) == keys
    assert {key.partition(".")[0] for key in keys} == {"generator", "adversary", "ema"}


def test_weights_are_the_papers() -> None:
    paper = {"attribute": 1, "perceptual": 2, "adversarial": 3, "reconstruction": 4, "contrastive": 5, "sync": 5}
    with torch.device("meta"):
        assert G4G().weights == paper
        assert G4G(stages="alignment").weights == {**paper, "adversarial": 0}


@pytest.mark.usefixtures("_own_features")
def test_terms_are_those_of_the_batch(root: Path, expert: Path) -> None:
    """Each term from pictures and features by hand; the losses themselves have tests of their own."""
    model = small(perceptual="vgg19", sync_expert=str(expert))
    model.setup("fit")
    places = [Place(PreparedClip(root, "anna/one"), 8, np.array([0, 25, 2, 28, 20]))]
    places += [Place(PreparedClip(root, "bert/one"), 2, np.array([12, 15, 9, 19, 11]), 1.1)]
    batch = MomentsDataset(root, model.window, "train", length=1, moments=8).collate(places)
    made = model.run(model.generator, batch)
    terms = model.terms(model.generator, made, batch)
    fake, real = made.image, batch.frames.flatten(0, 1)
    features = cast(Layers, model.frozen["perceptual"])
    assert features.weights == (0.5, 0.5)
    halves = [nn.functional.interpolate(image, scale_factor=0.5, mode="area") for image in (fake, real)]
    expected = (features(fake, real) + features(*halves)) / 2
    torch.testing.assert_close(terms["perceptual"], expected, rtol=1e-4, atol=1e-6)
    assert batch.mel is not None
    assert batch.other_mel is not None
    assert batch.other_starts is not None
    # anna's 30 frames hold five more moments, bert's 20 three.
    assert [[start for start in row if start >= 0] for row in batch.other_starts.tolist()] == [
        [3, 13, 18, 23],
        [7, 12],
    ]
    seen, heard = (rows.view(2, 5, -1) for rows in (made.visual, made.speech))
    elsewhere = made.others.view(2, 8, 5, -1)
    similarity = torch.einsum("itd,jtd->ij", seen, heard) / 5 / 0.07
    beside = [similarity.new_tensor(0)] * 2
    for row, count in enumerate((4, 2)):
        more = torch.einsum("td,ktd->k", seen[row], elsewhere[row, :count]) / 5 / 0.07
        beside[row] = torch.cat([similarity[row], more]).log_softmax(0)[row]
    crossed = -(similarity.log_softmax(0).diagonal() + torch.stack(beside)).mean() / 2
    torch.testing.assert_close(terms["contrastive"], crossed, rtol=1e-4, atol=1e-5)
    network = cast(SyncExpert, load_model(expert)).network
    lips, speech = network(fake.view_as(batch.frames), batch.mel)
    agreement = nn.functional.cosine_similarity(lips[:, None, 0], speech[None, :, 0], dim=-1) / 0.07
    for row, count in enumerate((4, 2)):
        other = network.embed_speech(batch.other_mel[row, :count, 2])
        more = nn.functional.cosine_similarity(lips[row, :1], other, dim=-1) / 0.07
        beside[row] = torch.cat([agreement[row], more]).log_softmax(0)[row]
    crossed = -(agreement.log_softmax(0).diagonal() + torch.stack(beside)).mean() / 2
    torch.testing.assert_close(terms["sync"], crossed, rtol=1e-3, atol=1e-4)
    assert terms["reconstruction"] > (fake - real).abs().mean()


def test_an_expert_for_other_pictures_is_refused(root: Path, tmp_path: Path, expert: Path) -> None:
    square = tmp_path / "square.ckpt"
    fitted(root, tmp_path, small_expert(size=MOUTH, frames=8)).save_checkpoint(square)
    for options in ({"sync_expert": str(square)}, {"sync_expert": str(expert), "size": 64}):
        with pytest.raises(
            DubbenchError,
            match=r"draws mouths of face crops of \d+; train an expert with --model.crop face --model.size",
        ):
            small(**options).setup("fit")
    model = small(stages="alignment", sync_expert=str(tmp_path / "absent.ckpt"))
    model.setup("fit")
    assert not model.frozen


def test_resumed_training_equals_undisturbed(root: Path, tmp_path: Path, expert: Path) -> None:
    assert_resumes(root, tmp_path, lambda: small(adversarial={"weight": 3.0}, sync_expert=str(expert)))


@pytest.mark.parametrize("stages", ["all", "alignment"])
def test_validation_scores_the_average(root: Path, tmp_path: Path, stages: str) -> None:
    model = small(stages=stages)
    module = data(root, val_windows=4, batch_size=4)
    fitted(root, tmp_path, model)
    scores = trainer(tmp_path).validate(model, datamodule=module, verbose=False)[0]
    (batch,) = cast(list[Batch], list(module.val_dataloader()))
    model.eval()
    with torch.no_grad():
        visual, speech, others, there = model.embedded(network(model), batch)
    right = [int(torch.stack([(heard * seen).sum() for seen in visual]).argmax()) for heard in speech]
    expected = {"val_retrieval_over_chance": sum(own == k for k, own in enumerate(right)) / 4 / (1 / 4)}
    # The validation's clip has 14 frames: one or two windows of five before or after another.
    found = []
    for seen, heard, more, exists in zip(visual, speech, others, there, strict=True):
        assert exists.sum() >= 1
        sums = [float((seen * each).sum()) for each in (heard, *more[exists])]
        found.append(len(sums) * (max(sums) == sums[0]))
    expected["val_retrieval_in_clip_over_chance"] = sum(found) / 4
    if stages == "all":
        fake = model.generate(network(model), batch)
        error = ((fake - batch.frames)[..., 26:, :] / 2).square().mean((2, 3, 4))
        expected["val_l1"] = float((fake - batch.frames).abs().mean())
        expected["val_psnr_lower"] = float((-10 * error.log10()).mean())
    assert scores == pytest.approx(expected, rel=1e-4)


def test_training_knows_one_reference_and_five(root: Path) -> None:
    """As protocols show them: one frame five times, in a quarter of the windows, or five; when scoring, all five."""
    model = small(stages="alignment")
    batch, seen = window(model, root), []
    model.generator.get_submodule("reference_encoder").register_forward_pre_hook(
        lambda module, given: seen.append(given[0])
    )
    for mode in (True, False):
        model.train(mode)
        seen.clear()
        for _ in range(80):
            model.embedded(model.generator, batch)
        kinds = [len(torch.unique(each[0].view(5, -1), dim=0)) for each in seen]
        assert set(kinds) == ({1, 5} if mode else {5})
        assert (10 <= kinds.count(1) <= 32) is mode  # 20 of 80, three deviations about it
        alone = [each[0] for each, kind in zip(seen, kinds, strict=True) if kind == 1]
        assert all(torch.equal(each, batch.references[0, :1].expand(5, -1, -1, -1).flatten(0, 1)) for each in alone)


def test_discriminators_have_an_adam_of_their_own() -> None:
    def of(**options: Any) -> tuple[float, tuple[float, float]]:  # noqa: ANN401
        weighted = {"weight": 3.0, **options.pop("adversarial", {})}
        (group,) = small(adversarial=weighted, **options).named_optimizers()["discriminator"].param_groups
        return group["lr"], group["betas"]

    assert of() == (1e-4, (0.5, 0.99))
    assert of(optim={"lr": 0.1, "betas": [0.9, 0.999]}) == (1e-4, (0.5, 0.99))
    assert of(adversarial={"lr": 1e-3, "betas": [0.0, 0.9]}) == (1e-3, (0.0, 0.9))


def test_clips_coarser_than_the_crops_are_told_of(root: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"was prepared at 64 pixels, .* a mouth of 32 .* dubbench prepare --size 96"):
        fitted(root, tmp_path, small(stages="alignment", aligned_size=3 * MOUTH))


def test_widths_of_another_number_are_told() -> None:
    with pytest.raises(DubbenchError, match=r"blend_widths three.*these are .*\[4\]"):
        small(networks={"blend_widths": [4]})


def test_retrieval_goes_from_speech_to_frames(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last window's speech is like the first two's frames, so these would not find their own speech."""
    model = small(stages="alignment")
    visual = torch.eye(4)
    speech = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [2, 3, 0, 0.1]])

    def embedded(generator: nn.Module, batch: Batch) -> losses.Features:
        assert generator is model.ema.module
        seen, heard = (rows[:, None].expand(-1, 5, -1) for rows in (visual, speech))
        return losses.Features(seen, heard, heard[:, None], torch.zeros(4, 1, dtype=torch.bool))

    monkeypatch.setattr(model, "embedded", embedded)
    module = data(root, val_windows=4, batch_size=4)
    found = trainer(tmp_path).validate(model, datamodule=module, verbose=False)[0]
    assert found == {"val_retrieval_over_chance": pytest.approx(3.0)}


@pytest.mark.parametrize(
    "options", [{"alignment": False}, {"supervision": False}, {"fusion": False}, {"alignment": False, "fusion": False}]
)
def test_each_ablation_trains_and_dubs(root: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    model, steps = small(**options), Steps()
    fitting = trainer(tmp_path, max_epochs=1, callbacks=[steps])
    fitting.fit(model, datamodule=data(root))
    heard = {"train_attribute", "train_contrastive"}
    assert set(steps.rows[-1]) & heard == (heard if options.get("alignment", True) else set())
    assert dubbed(model, root, "bert/two").shape == (3, SIZE, SIZE, 3)


@pytest.mark.usefixtures("_own_features")
def test_training_under_autocast(root: Path, tmp_path: Path, expert: Path) -> None:
    rows = []
    for precision in ("32-true", "bf16-mixed"):
        model, steps = small(perceptual="vgg19", adversarial={"weight": 3.0}, sync_expert=str(expert)), Steps()
        trainer(tmp_path, max_epochs=1, callbacks=[steps], precision=precision).fit(model, datamodule=data(root))
        rows.append(steps.rows[0])
        assert all(value.isfinite().all() and value.dtype != torch.bfloat16 for value in model.state_dict().values())
    assert rows[1] == pytest.approx(rows[0], rel=0.05, abs=0.01)


def test_alignment_alone_draws_nothing_and_is_where_drawing_starts(root: Path, tmp_path: Path) -> None:
    first = small(stages="alignment")
    fitted(root, tmp_path, first).save_checkpoint(tmp_path / "alignment.ckpt")
    with pytest.raises(DubbenchError, match="trained with stages alignment, which draws nothing; train with all"):
        dubbed(load_model(tmp_path / "alignment.ckpt"), root)
    second, average = small(initial=str(tmp_path / "alignment.ckpt")), state(first.ema.module)
    second.setup("fit")
    assert all(torch.equal(value, average[name]) for name, value in state(second.generator).items())
    fitted(root, tmp_path, second).save_checkpoint(tmp_path / "all.ckpt")
    (tmp_path / "alignment.ckpt").unlink()
    assert dubbed(load_model(tmp_path / "all.ckpt"), root, "bert/two").shape == (3, SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 40}, "a mouth of 40 pixels .* multiples of 32"),
        ({"networks": {"dim": 24}}, "features of 24 cannot be divided"),
        ({"stages": "alignment", "alignment": False}, "stages alignment trains what alignment false leaves out"),
        ({"size": 36}, "a face crop of 36 mouth pixels has no whole sides"),
        ({"moments": -1}, "-1 other moments of a clip are too few; give --model.moments 0"),
    ],
)
def test_settings_that_do_not_go_together_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DubbenchError, match=message):
        small(**options)
