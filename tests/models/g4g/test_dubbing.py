"""G4G's `dub`, on miniature prepared clips."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from dubbench.datamodules.batch import SAMPLES_PER_FRAME
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.windows import Place, read_windows
from dubbench.errors import DubbenchError
from dubbench.models.g4g.module import G4G
from dubbench.models.load import load_model
from tests.datamodules.miniature import SIZE, Clip
from tests.models.speaking_faces import CLIPS, Frames, landmarks, make, network, small
from tests.models.talkers import Seen, dubbed, fitted


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("g4g"))


@pytest.fixture(scope="module")
def checkpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model after a few batches."""
    folder = tmp_path_factory.mktemp("trained")
    fitted(root, folder, small(), 4).save_checkpoint(folder / "all.ckpt")
    return folder / "all.ckpt"


def test_a_checkpoint_from_before_moments_dubs_as_it_did(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    older = torch.load(checkpoint, weights_only=True)
    del older["hyper_parameters"]["moments"], older["hyper_parameters"]["adversarial"]["betas"]
    torch.save(older, tmp_path / "older.ckpt")
    assert np.array_equal(dubbed(load_model(tmp_path / "older.ckpt"), root), dubbed(load_model(checkpoint), root))


def loaded(path: Path) -> G4G:
    """The model of a checkpoint, to whose speech the deformation listens more than a few batches taught it."""
    model = load_model(path)
    assert isinstance(model, G4G)
    nn.init.normal_(network(model).deformation.coefficients.weight, std=0.5)
    return model


def truth(root: Path, clip: str, size: int = SIZE) -> Frames:
    return np.stack(list(PreparedClip(root, clip).stream(size)))


def regions(clip: Clip, size: int = SIZE, margin: float = 0.0) -> NDArray[np.bool_]:
    """Pixels of the mouth region, as wide as the clip's largest face has it, grown by a margin: [T, size, size]."""
    points = landmarks(clip).astype(float) * size / SIZE
    heights = points[..., 1].max(1) - points[:, 29, 1]
    radius = 1.05 * max(heights.max(), (points[:, 54, 0] - points[:, 48, 0]).max()) / 2
    centres = np.arange(size) + 0.5
    across = np.abs(centres - points[:, 33, 0, None]) < radius + margin
    down = np.abs(centres - points[:, 29, 1, None] - radius) < radius + margin
    return np.asarray(down[:, :, None] & across[:, None])


def test_a_checkpoint_alone_dubs(root: Path, checkpoint: Path) -> None:
    model = load_model(checkpoint)
    frames = dubbed(model, root)
    assert frames.shape == (30, SIZE, SIZE, 3)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, dubbed(model, root))
    assert model.paste_mask().shape == (SIZE, SIZE)


@pytest.mark.parametrize("size", [SIZE, 32, 80])
def test_dubbing_gives_the_network_what_training_does(root: Path, checkpoint: Path, size: int) -> None:
    """Crops out of the prepared pixels, also where frames of another size are given back."""
    model, clip, seen = loaded(checkpoint), PreparedClip(root, "bert/ten"), []
    model.hparams["aligned_size"] = size
    # Window and references are the whole clip, so both find the same largest face.
    batch = read_windows([Place(clip, 0, np.array([5, 6, 7, 8, 9]))], model.window)
    network(model).register_forward_pre_hook(lambda module, given: seen.append(given))
    list(model.dub(clip, clip.speech(), [5, 6, 7, 8, 9]))
    with torch.inference_mode():
        model.run(model.ema.module, batch)
    *dubbing, training = seen
    for place in (0, 2, 3):  # frames, mel windows, face masks
        torch.testing.assert_close(torch.cat([given[place] for given in dubbing])[:5], training[place])
    for own, expected in zip(dubbing[0][1], training[1], strict=True):
        torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("size", [SIZE, 48, 80])
def test_only_the_mouth_region_is_drawn(root: Path, checkpoint: Path, size: int) -> None:
    """Also where aligned frames have another size than the prepared clip's."""
    model = loaded(checkpoint)
    model.hparams["aligned_size"] = size
    out, silent = dubbed(model, root), dubbed(model, root, speech=np.zeros(0, np.float32))
    source = truth(root, "anna/one", size)
    assert out.shape == source.shape
    outside = ~regions(CLIPS[0], size, 1)
    assert 0.5 < outside.mean() < 1
    assert np.array_equal(out[outside], source[outside])
    core = regions(CLIPS[0], size, -3)
    assert (out[core] != source[core]).any(-1).mean() > 0.9
    assert (out != silent).any((1, 2, 3)).all()
    assert np.array_equal(out[outside], silent[outside])


class Painted(PreparedClip):
    """A clip in whose own frames something is painted over."""

    spots: NDArray[np.bool_]

    def stream(self, size: int | None = None) -> Iterator[Frames]:
        for frame, spot in zip(super().stream(size), self.spots, strict=True):
            yield np.where(spot[..., None], np.array([255, 0, 255], np.uint8), frame)


def painted(model: G4G, root: Path, spots: NDArray[np.bool_]) -> Frames:
    clip = Painted(root, "anna/one")
    clip.spots = spots
    return np.stack(list(model.dub(clip, clip.speech(), list(range(30)))))


@pytest.mark.parametrize("fusion", [True, False])
def test_the_targets_own_mouth_is_not_seen(root: Path, tmp_path: Path, fusion: bool) -> None:
    model = small(fusion=fusion)
    fitted(root, tmp_path, model)
    plain, points = dubbed(model, root), landmarks(CLIPS[0])
    centres = np.arange(SIZE) + 0.5
    low, high = points[:, 48:68].min(1), points[:, 48:68].max(1)
    across, down = ((low[:, i, None] < centres) & (centres < high[:, i, None]) for i in (0, 1))
    lips = down[:, :, None] & across[:, None]
    assert lips.any((1, 2)).all()
    seen = np.abs(painted(model, root, lips).astype(int) - plain)
    assert seen.max() <= 1  # G is 1 but for its rounding
    assert (seen > 0).mean() < 1e-3
    brow = np.zeros_like(lips)
    brow[:, 16:22, 24:36] = True
    changed = painted(model, root, brow)
    core = regions(CLIPS[0], margin=-2)
    assert (changed[core] != plain[core]).any()


@pytest.mark.parametrize(
    ("allowed", "taken"),
    [
        ([0], [0] * 5),
        ([17, 3], [3, 3, 3, 17, 17]),
        ([4, 9, 9, 2, 20, 11, 7, 16, 15, 13], [2, 7, 11, 15, 20]),
        (list(range(30)), [0, 7, 14, 22, 29]),
    ],
)
def test_references_are_spread_over_what_may_be_seen(
    root: Path, checkpoint: Path, allowed: list[int], taken: list[int]
) -> None:
    clip = Seen(root, "anna/one")
    list(loaded(checkpoint).dub(clip, clip.speech(), allowed))
    assert clip.decoded == [taken]


def test_references_are_looked_at(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    assert model.chooses_references
    assert not np.array_equal(dubbed(model, root, references=[0]), dubbed(model, root, references=[29]))


def test_short_long_and_silent_speech(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    speech = PreparedClip(root, "anna/one").speech()
    plain = dubbed(model, root, speech=speech)
    longer = dubbed(model, root, speech=np.concatenate([speech, np.ones(50 * SAMPLES_PER_FRAME, np.float32)]))
    assert longer.shape == plain.shape
    assert np.array_equal(longer[:-3], plain[:-3])  # a mel window is a little less than six frames long
    half = speech[: 12 * SAMPLES_PER_FRAME]
    padded = np.concatenate([half, np.zeros(len(speech) - len(half), np.float32)])
    assert np.array_equal(dubbed(model, root, speech=half), dubbed(model, root, speech=padded))
    assert np.array_equal(
        dubbed(model, root, speech=np.zeros(0, np.float32)), dubbed(model, root, speech=np.zeros_like(speech))
    )
    assert dubbed(model, root, speech=speech[:100]).shape == plain.shape


class Faceless(PreparedClip):
    """A clip whose first five frames show no face."""

    def detected(self, indices: Any = None) -> NDArray[np.bool_]:  # noqa: ANN401
        every = np.arange(len(self)) >= 5
        return every if indices is None else every[np.asarray(indices, np.int64)]


def test_frames_without_a_face(root: Path, checkpoint: Path) -> None:
    model, clip = loaded(checkpoint), Faceless(root, "anna/one")
    for allowed in ([0], [0, 1, 2, 3]):
        with pytest.raises(DubbenchError, match=r"anna/one shows no face in .* may be looked at; .* more references"):
            model.dub(clip, clip.speech(), allowed)
    frames = np.stack(list(model.dub(clip, clip.speech(), [0, 6])))
    assert np.array_equal(frames, dubbed(model, root, references=[6]))


def test_autocast_and_short_clips(root: Path, checkpoint: Path) -> None:
    model = loaded(checkpoint)
    full, half = dubbed(model, root, "bert/two"), dubbed(model, root, "bert/two", precision=torch.bfloat16)
    assert np.abs(full.astype(float) - half).mean() < 4
    assert not np.array_equal(full, half)
