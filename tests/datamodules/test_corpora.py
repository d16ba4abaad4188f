"""Training on several corpora at once."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from dubbench.cli import main
from dubbench.datamodules.corpora import MixedDataset
from dubbench.datamodules.datamodule import DubbingDataModule
from dubbench.datamodules.windows import WindowDataset
from dubbench.errors import DubbenchError
from tests.datamodules import miniature
from tests.datamodules.miniature import Clip
from tests.datamodules.test_datamodule import WINDOW, Recorder, fit


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small corpus with a validation split and a larger one without, with a speaker of the same name."""
    folder = tmp_path_factory.mktemp("corpora")
    small = [Clip("anna/one", 12, dataset="grid"), Clip("cleo/a", 8, "val", dataset="grid")]
    large = [Clip(f"{name}/one", 32, dataset="hdtf") for name in ("anna", "bert")]
    return [miniature.make(folder / "grid", small), miniature.make(folder / "hdtf", large)]


def mixed(roots: list[Path], weights: list[float] | None, length: int = 100) -> MixedDataset:
    parts = [WindowDataset(root, WINDOW, "train", length) for root in roots]
    return MixedDataset(parts, ["grid", "hdtf"], weights, length)


def origins(data: MixedDataset, rounds: int) -> Counter[str]:
    places = (data[turn, index] for turn in range(rounds) for index in range(len(data)))
    return Counter(place.clip.root.name for place in places)


@pytest.mark.parametrize(
    ("weights", "share"),
    [(None, 10 / 70), ([1, 1], 0.5), ([3, 1], 0.75), ([1, 300], 1 / 301)],
    ids=["by windows", "even", "given", "less than one a round"],
)
def test_windows_come_by_weight(roots: list[Path], weights: list[float] | None, share: float) -> None:
    data = mixed(roots, weights)
    counts = origins(data, 7)
    assert sum(counts.values()) == 700
    assert counts["grid"] == pytest.approx(700 * share, abs=1)
    assert sum(data.counts(turn)[0] for turn in range(900)) == pytest.approx(90_000 * share, abs=1)


def test_every_corpus_is_gone_over_evenly(roots: list[Path]) -> None:
    data = mixed(roots, [1, 1], 120)
    starts = Counter(
        (place.clip.root.name, place.clip.info.clip, place.start) for place in map(data.__getitem__, range(120))
    )
    assert len(starts) == 70  # every place of both
    assert {count for (root, *_), count in starts.items() if root == "grid"} == {6}


def test_no_speaker_is_anothers(roots: list[Path]) -> None:
    module = DubbingDataModule([str(root) for root in roots], ["grid", "hdtf"], batch_size=4, num_workers=0)
    seen: list[Any] = []

    class Names(Recorder):
        def training_step(self, batch: Any) -> torch.Tensor:  # noqa: ANN401
            seen.extend(zip(batch.speakers, batch.clips, strict=True))
            return super().training_step(batch)

    module.windows_per_epoch = 40
    model = fit(module, 1, Names())
    assert {speaker for speaker, _ in seen} == {"grid/anna", "hdtf/anna", "hdtf/bert"}
    assert all(clip.startswith(f"{speaker}/") for speaker, clip in seen)
    assert model.validated  # of grid alone
    assert module.corpora() == [
        {"dataset": "grid", "clips": 1, "places": 10, "share": pytest.approx(10 / 70)},
        {"dataset": "hdtf", "clips": 2, "places": 60, "share": pytest.approx(60 / 70)},
    ]


def test_a_corpus_without_validation_is_told(roots: list[Path]) -> None:
    module = DubbingDataModule([str(root) for root in roots], ["grid", "hdtf"], batch_size=4, num_workers=0)
    module.windows_per_epoch = 4
    with pytest.warns(UserWarning, match="validation goes without hdtf: split val of .* has no clip"):
        fit(module, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": ["one"]}, r"2 corpora \(grid, hdtf\) and 1 folders \(one\) do not go together"),
        ({"dataset": ["grid", "grid"]}, "give each corpus once"),
        ({"weights": [1.0]}, "the weights 1.0 do not go with 2 corpora"),
        ({"weights": [1.0, 0.0]}, "give one above 0 for each, or none"),
        ({"speakers": ["anna"]}, "speaker anna may be of any of grid, hdtf; .* name speakers as grid/SPEAKER"),
        ({"speakers": ["grid/anna"]}, "hdtf has none of the speakers"),
    ],
)
def test_what_does_not_go_together(roots: list[Path], options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"root": [str(root) for root in roots], "dataset": ["grid", "hdtf"], "num_workers": 0}
    with pytest.raises(DubbenchError, match=message):
        fit(DubbingDataModule(**{**given, **options}), 1)


def test_fit_mixes_corpora_by_their_names_and_keeps_a_record(
    roots: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", "radio_tiny", "--model.size", "32", "--model.widths", "[4,4,8]", "--model.sync_expert", "null"]
    model += ["--model.sync_weight", "0", "--model.adversarial.weight", "0"]
    words = ["fit", *model, "--model.iterations", "3"]
    words += ["--dataset", "grid,hdtf", "--dataset.root", ",".join(map(str, roots)), "--data.weights", "[1,3]"]
    words += ["--data.num_workers", "0", "--trainer.accelerator", "cpu", "--trainer.logger", "false"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert "on grid (1 clips, 25%), hdtf (2 clips, 75%)" in capsys.readouterr().err
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    corpora = checkpoint["DubbingDataModule"]["corpora"]
    assert [(each["dataset"], each["share"]) for each in corpora] == [("grid", 0.25), ("hdtf", 0.75)]
    scored = ["eval", *model, "--dataset", "grid,hdtf", "--dataset.root", ",".join(map(str, roots))]
    assert main([*scored, "--ckpt_path", str(tmp_path / "run" / "checkpoints" / "last.ckpt")]) == 1
    assert "grid, hdtf are several corpora, and here one is meant; name it alone" in capsys.readouterr().err
