"""No answer in the question: beside speech, methods are told less of the mouth in squares that it does not move."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import leak
from benchmarks.told import TOLD
from dubbench.cli import main
from tests.data import speakers

SENTENCES = ("de-1", "de-6", "en-1", "en-2", "en-3", "es-1", "es-2", "es-3")
GRID_CLIPS = 10
Places = tuple[Path, Path]


def prepare(corpus: Path, folder: Path, *more: str) -> Places:
    """The corpus in FFHQ's squares, and in those that hang on eyes and nose."""
    places = folder / "ffhq", folder / "upper"
    for place in places:
        words = ["--root", str(corpus), "--out", str(place), "--size", "96", "--align", place.name, *more]
        assert main(["prepare", "--dataset", "folder", "--split", "train", "--quiet", *words]) == 0
    return places


def told(places: Places, methods: Sequence[str], capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[float, float]]:
    """R2 by method in the two folders, from the table that is printed."""
    capsys.readouterr()
    leak.main([*map(str, places), "--methods", *methods])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    return {method.strip("`"): (float(ffhq), float(upper)) for method, ffhq, upper in lines}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A speaker whose head sways without regard to what she says: all that is read of her mouth is the square's."""
    folder = tmp_path_factory.mktemp("drawn")
    speakers.make(folder / "corpus", SENTENCES, speakers.SPEAKERS[:1])
    return prepare(folder / "corpus", folder, "--geometry", "mesh")


@pytest.mark.parametrize("method", [name for name in TOLD if name in ("radio", "g4g")])
def test_what_pictures_tell_is_the_squares(drawn: Places, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    ffhq, upper = told(drawn, [method], capsys)[method]
    assert ffhq > 0.15
    assert upper <= ffhq / 3


@pytest.mark.parametrize(("method", "share"), [("personatalk", 1 / 3), ("realtalk", 0.8)])
def test_what_geometry_tells_is_the_squares(
    drawn: Places, method: str, share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """RealTalk's mask leaves the surroundings of jaw and neck to be seen; what they tell stays."""
    ffhq, upper = told(drawn, [method], capsys)[method]
    assert upper <= max(share * ffhq, 0.05)


def test_a_filmed_speaker_is_read_less(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Heads nod as they speak, which pictures show in any square."""
    (tmp_path / "corpus" / "s1").mkdir(parents=True)
    for video in sorted((shared / "data" / "grid" / "s1").glob("*.mpg"))[:GRID_CLIPS]:
        shutil.copy(video, tmp_path / "corpus" / "s1")
    for ffhq, upper in told(prepare(tmp_path / "corpus", tmp_path), ["radio", "g4g"], capsys).values():
        assert ffhq > 0.3
        assert upper <= 0.6 * ffhq
