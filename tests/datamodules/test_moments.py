"""Speech of other moments of a window's clip."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dubbench.datamodules.batch import Mel, Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.mel import clip_windows
from dubbench.datamodules.moments import MomentsDataset, other_starts
from dubbench.datamodules.windows import Place, WindowDataset
from dubbench.errors import DubbenchError
from tests.datamodules import miniature
from tests.datamodules.miniature import SIZE, Clip

# One whose frames are whole numbers of columns long, and one whose frames are not.
MELS = [Mel(), Mel(fft=800, hop=200, columns=16)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature.make(tmp_path_factory.mktemp("moments"), [Clip("anna/one", 30), Clip("bert/one", 12)])


@pytest.mark.parametrize(
    ("start", "count", "stretch", "expected"),
    [
        (20, 4, (0, 75), [10, 15, 25, 30]),
        (20, 3, (0, 75), [15, 25, 30]),
        (7, 4, (0, 75), [2, 12, 17, 22]),  # one fits before, so three come after
        (68, 4, (0, 75), [48, 53, 58, 63]),
        (20, 20, (0, 75), [0, 5, 10, 15, *range(25, 75, 5)]),
        (20, 4, (18, 31), [25]),
        (4, 4, (0, 9), []),
        (4, 4, (0, 13), []),
        (4, 4, (0, 14), [9]),
    ],
)
def test_moments_are_the_nearest_that_share_no_frame(
    start: int, count: int, stretch: tuple[int, int], expected: list[int]
) -> None:
    assert other_starts(start, 5, stretch, count) == expected


def test_moments_are_as_long_as_windows_and_never_close() -> None:
    """Windows of eight frames end to end, of one a fifth of a second apart."""
    assert other_starts(20, 8, (0, 75), 4) == [4, 12, 28, 36]
    assert other_starts(20, 1, (0, 75), 4) == [10, 15, 25, 30]
    assert other_starts(3, 1, (0, 9), 4) == [8]


@pytest.mark.parametrize("mel", MELS)
def test_a_batch_has_the_speech_of_its_moments(root: Path, mel: Mel) -> None:
    window = Window(frames=6, references=1, size=SIZE, mel=mel)
    dataset = MomentsDataset(root, window, "train", length=4, moments=4)
    places = [
        Place(PreparedClip(root, clip), start, np.array([0])) for clip, start in (("anna/one", 9), ("bert/one", 0))
    ]
    batch = dataset.collate(places)
    assert batch.other_starts is not None
    assert batch.other_mel is not None
    assert batch.other_starts.tolist() == [[3, 15, 21, -1], [6, -1, -1, -1]]
    for place, starts, heard in zip(places, batch.other_starts.tolist(), batch.other_mel, strict=True):
        whole = clip_windows(place.clip.speech(), mel, 0, len(place.clip))
        for start, moment in zip(starts, heard, strict=True):
            expected = torch.zeros_like(moment) if start < 0 else whole[start : start + 6]
            torch.testing.assert_close(moment, expected, rtol=0, atol=1e-6)
    plain = WindowDataset(root, window, "train", length=4).collate(places)
    for field in fields(plain):
        if not field.name.startswith("other_"):
            value, expected = getattr(batch, field.name), getattr(plain, field.name)
            assert torch.equal(value, expected) if isinstance(value, Tensor) else value == expected
    moved = batch.to("cpu")
    assert moved.other_mel is not None
    assert torch.equal(moved.other_mel, batch.other_mel)


def test_moments_keep_to_the_stretch_that_is_used(root: Path) -> None:
    """Training does not hear what validation holds out."""
    window = Window(frames=4, references=1, size=SIZE, mel=Mel())
    early = MomentsDataset(root, window, "train", length=20, moments=6, part=(0, 0.6))
    late = MomentsDataset(root, window, "train", length=20, moments=6, part=(0.6, 1))
    for dataset, first, last in ((early, 0, 18), (late, 18, 30)):
        batch = dataset.collate([place for k in range(20) if (place := dataset[k]).clip.info.clip == "anna/one"])
        assert batch.other_starts is not None
        starts = batch.other_starts[batch.other_starts >= 0]
        assert first <= int(starts.min())
        assert int(starts.max()) + 4 <= last


def test_what_has_no_speech_is_told(root: Path) -> None:
    window = Window(frames=4, references=1, size=SIZE)
    with pytest.raises(DubbenchError, match="3 other moments with the mel features None cannot be read"):
        MomentsDataset(root, window, "train", length=4, moments=3)
