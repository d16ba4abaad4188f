"""HyperIQA: its file, its arithmetic, and what it is fed, each against another way to the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from dubbench.assets import store
from dubbench.errors import DubbenchError
from dubbench.metrics.networks.hyperiqa import FILE, HyperIQA, crop_places, hyperiqa, load_hyperiqa
from tests import hyperiqa as reference

MEAN, DEVIATION = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reference.write(tmp_path_factory.mktemp("hyperiqa") / FILE, reference.state())


def as_the_demo_feeds_it(picture: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> list[Tensor]:
    """The crops, resized by Pillow as torchvision's Resize((512, 384)) does."""
    resized = np.asarray(Image.fromarray(picture).resize((384, 512), Image.Resampling.BILINEAR))
    crops = [resized[y : y + 224, x : x + 224] for y, x in crop_places()]
    return [torch.from_numpy(((crop / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)).float() for crop in crops]


def test_the_published_file_has_just_these_tensors() -> None:
    """The file is 109,768,650 bytes long, of which its 355 tensors leave 150 a tensor for names and shapes."""
    network = HyperIQA().state_dict()
    assert {name: value.shape for name, value in network.items()} == {
        name: value.shape for name, value in reference.state().items()
    }
    held = sum(value.numel() * value.element_size() for value in network.values())
    assert 100 * len(network) < store.get(FILE).size - held < 200 * len(network)


def test_scores_are_those_of_the_arithmetic_written_out(file: Path) -> None:
    weights, network = reference.state(), load_hyperiqa(file)
    picture = astronaut()[:300, 60:360]  # type: ignore[no-untyped-call]  # scikit-image has no types
    crops = as_the_demo_feeds_it(picture)
    few = [crops[k] for k in (0, 5, 11)]
    expected = [reference.judged(weights, crop) for crop in few]
    assert np.ptp(expected) > 1e-3
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.stack(few)).numpy(), expected, rtol=1e-4)
        whole = network(torch.stack(crops)).mean()
    frames = torch.from_numpy(np.stack([picture, picture[::-1]])).permute(0, 3, 1, 2)
    scores = hyperiqa(network.train(), frames)
    assert float(scores[0]) == pytest.approx(float(whole), rel=1e-4)
    assert scores[0] != scores[1]
    assert torch.equal(hyperiqa(network, frames[:1]), scores[:1])


def test_crops_lie_evenly_where_the_demo_draws() -> None:
    """The demo draws rows from 0 to 288 and columns from 0 to 160, as likely here as there."""
    rows, columns = zip(*crop_places(), strict=True)
    assert len(set(crop_places())) == 12
    assert (min(rows), max(rows), min(columns), max(columns)) == (36, 288 - 36, 27, 160 - 27)
    assert (np.mean(rows), np.mean(columns)) == (144, 80)


def test_another_file_is_told(tmp_path: Path) -> None:
    weights = reference.state()
    weights["fc1w_conv.weight"] = weights["fc1w_conv.weight"][:, :100]
    with pytest.raises(
        DubbenchError, match=r"is not HyperIQA's koniq_pretrained\.pkl \(size mismatch .*fetch it again"
    ):
        load_hyperiqa(reference.write(tmp_path / "other.pkl", weights))
    torch.save({"model": Path("code")}, tmp_path / "code.pkl")
    with pytest.raises(DubbenchError, match="code in it is never run"):
        load_hyperiqa(tmp_path / "code.pkl")
