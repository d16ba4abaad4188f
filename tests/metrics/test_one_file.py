"""A metric is one file: what a stranger adds is scored, ranked and in protocols, and moves nothing published."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from dubbench import metrics as package
from dubbench.cli import main
from dubbench.core.config_names import names
from dubbench.protocols import protocol as protocols
from tests import talking
from tests.scored import clip_values, nose_crops, record, table

CLIP = "ann/two"
DEFINITION = """
    Definition(
        name="mae",
        text="mean absolute error over pixels and channels",
        unit="grey levels",
        better="lower",
        version=1,
        needs="pixels",
    ),
"""
MAE = f'''"""Mean absolute error."""

from torch import Tensor

from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.frames import PixelMetric

DEFINITIONS = ({DEFINITION})


def mae(left: Tensor, right: Tensor) -> Tensor:
    return (left - right).abs().mean(dim=(1, 2, 3))


COMPUTE: dict[str, PixelMetric] = {{"mae": lambda pixels: mae(*pixels.levels)}}
'''


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts a folder with one file, mae.py, on the metrics' path."""

    def one(source: str) -> None:
        folder = tmp_path / "own"
        folder.mkdir()
        (folder / "mae.py").write_text(source)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])

    yield one
    sys.modules.pop("dubbench.metrics.mae", None)
    vars(package).pop("mae", None)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's videos: the corpus, lighter towards the right."""
    root = tmp_path_factory.mktemp("theirs")
    for clip in talking.LENGTHS:
        ramp = np.linspace(1, 0.7, talking.WIDTH)[:, None]
        images = [np.asarray(255 - (255 - frame) * ramp, np.uint8) for frame in talking.frames(clip)]
        talking.write(root / f"{clip}.mkv", images, talking.speech(clip))
    return root


def by_numpy(prepared: Path, corpus: Path, video: Path, clip: str) -> float:
    pairs = nose_crops(prepared, corpus, clip, video)
    return float(np.mean([np.abs(a.astype(float) - b.astype(float)).mean() for a, b in pairs]))


def hashes() -> dict[str, str]:
    return {each.name: each.hash for name in names("protocol") for each in protocols.load_all(name)}


def test_one_file_is_a_metric(
    add: Callable[[str], None],
    prepared: Path,
    corpus: Path,
    theirs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = hashes()
    add(MAE)
    assert hashes() == before
    assert "mae" not in protocols.load("first_frame").metrics

    words = ["score", "--pred", str(theirs / f"{CLIP}.mkv"), "--target", str(corpus / f"{CLIP}.mkv"), "--device", "cpu"]
    assert main([*words, "--metrics", "mae", "psnr", "--json", str(tmp_path / "score.json")]) == 0
    scored = json.loads((tmp_path / "score.json").read_text())
    wanted = by_numpy(prepared, corpus, theirs / f"{CLIP}.mkv", CLIP)
    assert wanted > 5
    assert scored["clips"]["two"]["values"]["mae"] == pytest.approx(wanted, rel=1e-2), "landmarks are found anew"
    assert scored["definitions"]["mae"]["text"] == "mean absolute error over pixels and channels"

    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({"base": "first_frame", "metrics": {"psnr": 2, "mae": 1}}))
    assert main(["protocol", str(own)]) == 0
    assert "version 1: mean absolute error over pixels and channels" in capsys.readouterr().out
    out = tmp_path / "results"
    words = ["eval", "--dataset", "folder", "--dataset.root", str(prepared), "--videos", str(theirs), "--out", str(out)]
    assert main([*words, "--protocol", str(own), "--method", "theirs", "--device", "cpu"]) == 0
    for clip in talking.LENGTHS:
        wanted = by_numpy(prepared, corpus, theirs / f"{clip}.mkv", clip)
        assert float(clip_values(out, "mae")["theirs", clip]) == pytest.approx(wanted, rel=1e-5)
    assert (table(out)["theirs", "mae"]["unit"], table(out)["theirs", "mae"]["better"]) == ("grey levels", "lower")
    assert record(out)["metrics"]["mae"] == scored["definitions"]["mae"]

    board = {name: tmp_path / f"board.{name}" for name in ("csv", "tidy", "md", "html")}
    places = ["--out", str(board["csv"]), "--tidy", str(board["tidy"])]
    places += ["--markdown", str(board["md"]), "--html", str(board["html"]), "--videos", "none"]
    assert main(["leaderboard", str(out), *places]) == 0
    assert " mae ↓ " in capsys.readouterr().out
    with board["csv"].open() as file:
        wide = {row["method"]: row["mae"] for row in csv.DictReader(file)}
    assert float(wide["theirs"]) > float(wide["ground_truth"]) == 0
    with board["tidy"].open() as file:
        (row,) = (row for row in csv.DictReader(file) if (row["method"], row["metric"]) == ("theirs", "mae"))
    assert (row["unit"], row["better"], row["value"]) == ("grey levels", "lower", wide["theirs"])
    for page in ("md", "html"):
        assert "mean absolute error over pixels and channels" in board[page].read_text()
    assert hashes() == before


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (MAE.replace('"lower"', "LOWER"), "mae.py, line 9: a definition is read without being run"),
        (MAE.replace("        version=1,\n", ""), "missing 1 required keyword-only argument: 'version'"),
        (MAE.replace("version=1", "version='1'"), "mae.py, line 9: version is '1'; give a whole number"),
        (MAE.replace('"lower"', '"down"'), "better is 'down'; it can be 'higher', 'lower', ''"),
        (MAE.replace('"pixels"', '"colours"'), "needs is 'colours'; it can be 'pixels', 'landmarks'"),
        (MAE.replace('"pixels"', '"pool"'), "a pool is of the features of 'inception'"),
        (MAE.replace('name="mae"', 'name="m a e"'), "name is 'm a e'; give a word"),
        (MAE.replace('name="mae"', 'name="psnr"'), "two metrics are called 'psnr'"),
        (MAE.replace("def mae(", "def mae)"), "metric file mae.py is no Python, line 20"),
        (MAE.replace("COMPUTE", "COMPUTES"), "defines mae and has no COMPUTE['mae']"),
    ],
)
def test_a_wrong_file_is_a_sentence(
    add: Callable[[str], None], corpus: Path, source: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add(source)
    video = str(corpus / f"{CLIP}.mkv")
    assert main(["score", "--pred", video, "--target", video, "--metrics", "mae", "--device", "cpu"]) == 1
    assert words in capsys.readouterr().err


LOUDNESS = '''"""Loudness of the speech."""

from collections.abc import Mapping

import numpy as np

from dubbench.metrics.catalogue import Definition
from dubbench.metrics.common.clips import Clip, ClipMetric, ClipStream
from dubbench.metrics.common.frames import Frames

DEFINITIONS = (
    Definition(
        name="loudness",
        text="root mean square of the speech",
        unit="1",
        better="",
        version=1,
        needs="speech",
    ),
)


class Loudness(ClipStream):
    def __init__(self, clip: Clip) -> None:
        self.value = float(np.sqrt(np.mean(np.square(clip.speech, dtype=np.float64))))

    def look(self, image: object, boxes: object, to_256: object) -> None:
        pass

    def add(self, frames: Frames) -> None:
        pass

    def finish(self) -> Mapping[str, float]:
        return {"loudness": self.value, "peak": 1.0}


COMPUTE: dict[str, ClipMetric] = {"loudness": Loudness}
'''


def test_a_value_that_no_definition_names_is_refused(
    add: Callable[[str], None], corpus: Path, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(LOUDNESS)
    words = ["score", "--pred", str(theirs / f"{CLIP}.mkv"), "--target", str(corpus / f"{CLIP}.mkv"), "--device", "cpu"]
    assert main([*words, "--metrics", "loudness"]) == 1
    assert "a metric gives a value peak that no definition names" in capsys.readouterr().out
