"""``--align``: where the square hangs, who is told, and that metrics look at the same places all the same."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from dubbench.cli import main
from dubbench.datamodules.clip import PreparedClip, read_dataset, read_manifest
from dubbench.evaluation.crops import Geometry
from dubbench.face.alignment import ffhq_transform, upper_transform
from dubbench.models.load import load_model

TINY = (
    *("--model", "g4g_tiny", "--dataset.batch_size", "2", "--dataset.windows_per_epoch", "2"),
    *(
        "--dataset.val_windows",
        "0",
        "--dataset.num_workers",
        "0",
        "--dataset.holdout",
        "0.5",
        "--trainer.accelerator",
        "cpu",
    ),
)


def made(corpus: Path, out: Path, align: str) -> Path:
    """The corpus on squares of an alignment, all of it in the split ``train``."""
    words = ["--root", str(corpus), "--out", str(out), "--size", "96", "--align", align, "--split", "train"]
    assert main(["prepare", "--dataset", "folder", *words, "--quiet"]) == 0
    return out


@pytest.fixture(scope="module")
def upper(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(corpus, tmp_path_factory.mktemp("upper"), "upper")


@pytest.fixture(scope="module")
def ffhq(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(corpus, tmp_path_factory.mktemp("ffhq"), "ffhq")


def test_squares_are_smoothed_ones_of_eyes_and_nose(upper: Path) -> None:
    assert read_dataset(upper)["align"] == "upper"
    for name in read_manifest(upper)["clip"]:
        clip = PreparedClip(upper, str(name))
        assert (clip.info.align, clip.info.smooth) == ("upper", 8.0)
        alone = np.stack([upper_transform(points, 96) for points in clip.points()])
        wanted = gaussian_filter1d(alone, 8.0, axis=0, mode="nearest")
        np.testing.assert_allclose(clip.transforms(), wanted, atol=1e-6)


def test_no_mouth_or_jaw_moves_the_square() -> None:
    random = np.random.default_rng(0)
    points = random.uniform(0, 200, (68, 2))
    talking = points.copy()
    talking[[*range(27), *range(48, 68)]] = random.uniform(0, 200, (47, 2))
    np.testing.assert_array_equal(upper_transform(talking, 64), upper_transform(points, 64))
    assert not np.allclose(ffhq_transform(talking, 64), ffhq_transform(points, 64))


def test_the_square_follows_the_head(upper: Path) -> None:
    points = PreparedClip(upper, str(read_manifest(upper)["clip"][0])).points([0])[0].astype(float)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    moved = 1.7 * points @ turn.T + [30, -12]
    expected = 1.7 * turn @ upper_transform(points, 64) + np.array([[0, 0, 30], [0, 0, -12]])
    np.testing.assert_allclose(upper_transform(moved, 64), expected, atol=1e-9)


def test_metrics_look_at_the_same_places(upper: Path, ffhq: Path) -> None:
    for name in read_manifest(upper)["clip"]:
        one, other = (Geometry.of_clip(PreparedClip(root, str(name)), range(10), 128) for root in (upper, ffhq))
        assert not np.allclose(one.aligned, other.aligned)
        for field in ("crop", "mouth", "points", "to_256"):
            np.testing.assert_allclose(getattr(one, field), getattr(other, field), atol=1e-9)


def test_another_alignment_is_refused_wherever_clips_meet(
    upper: Path, ffhq: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "--dataset", "folder", "--root", str(corpus), "--out", str(upper), "--size", "96"]) == 1
    assert "was prepared with align upper" in capsys.readouterr().err
    wrong = ["--root", str(corpus), "--out", str(tmp_path / "x"), "--align", "mouth"]
    assert main(["prepare", "--dataset", "folder", *wrong]) == 1
    assert "--align mouth is not known; give ffhq or upper" in capsys.readouterr().err

    words = ["fit", *TINY, "--dataset", "folder", "--out", str(tmp_path / "run")]
    assert main([*words, "--dataset.root", str(upper), "--model.iterations", "1"]) == 0
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    assert load_model(checkpoint).align == "upper"
    scored = ["eval", "--model", "g4g_tiny", "--ckpt_path", str(checkpoint), "--dataset", "folder"]
    capsys.readouterr()
    scored += ["--dataset.root", str(ffhq), "--split", "train", "--out", str(tmp_path / "results")]
    assert main(scored) == 1
    assert "was prepared with --align ffhq, and this model's clips with --align upper" in capsys.readouterr().err
    resumed = ["--ckpt_path", str(checkpoint), "--dataset.root", str(ffhq), "--model.iterations", "2"]
    assert main([*words, *resumed]) == 1
    assert "the checkpoint was trained on clips with --align upper" in capsys.readouterr().err
