"""A disk that fills up, a quota, a limit of file sizes: one sentence and no half a file under a name."""

import json
import resource
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from dubbench.assets import store
from dubbench.assets.registry import Asset
from dubbench.cli import main
from dubbench.study.questions import FORM
from tests import dubbed
from tests.boards import results, video
from tests.server import serving

ROOM = 64
TOLD = ("dubbench: no room left to write ", "dubbench: a quota or limit of file sizes is reached")


@contextmanager
def full(most: int) -> Iterator[None]:
    """No file of this process grows beyond ``most`` bytes, as on a disk that has no more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fails(words: Sequence[str], capsys: pytest.CaptureFixture[str], most: int = ROOM) -> None:
    """See that a verb ends as it should where nothing more can be written."""
    with full(most):
        assert main(words) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    *_, last = [line for line in told.splitlines() if line.startswith("dubbench: ")]
    assert last.startswith(TOLD), last


def whole(folder: Path, most: int = ROOM) -> None:
    """See that nothing was left that is as long as the disk had room: it would be the beginning of something."""
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in left if path.stat().st_size == most or ".tmp" in path.name] == []


@pytest.fixture
def board(tmp_path: Path) -> Path:
    folder = results(tmp_path / "run", {"mine": {"psnr": [30.0, 31.0]}, "ground_truth": {"psnr": [40.0, 41.0]}})
    for method in ("mine", "ground_truth"):
        for clip in ("c000", "c001"):
            video(folder / f"videos/{method}/s1/{clip}.mp4", 0.2)
    return folder


# By what is written: the words, and bytes of a file that find room.
FILES = {
    "leaderboard": (["leaderboard", "run", "--out", "out/w.csv"], ROOM),
    "page": (["leaderboard", "run", "--out", "w.csv", "--html", "out/page.html", "--videos", "none"], 4096),
    "videos of a page": (["leaderboard", "run", "--out", "w.csv", "--html", "out/page.html"], 1000),
    "baseline": (["compare", "out/base.csv", "run", "--accept"], ROOM),
    "study": (["study", "make", "run", "--out", "out/study"], 1000),
    "scores": (["study", "score", "answer.json", "--key", "key.json", "--out", "out/scores.csv"], ROOM),
    "figure": (["figure", "strip", "run", "--clip", "s1/c000", "--count", "2", "--out", "out/strip.png"], ROOM),
    "protocol": (["protocol", "listed.yaml", "--csv", "out/clips.csv"], ROOM),
    "prepare": (["prepare", "--dataset", "folder", "--root", "corpus", "--out", "out/clips", "--size", "64"], 1000),
    "settings": (["prepare", "--dataset", "folder", "--root", "corpus", "--out", "out/clips", "--size", "64"], ROOM),
    "geometry": (
        ["prepare", "--dataset", "folder", "--root", "corpus", "--out", "clips", "--geometry", "mesh",
         "--size", "128", "--faces", "largest"],
        20_000,
    ),
    "dub": (["dub", "--ckpt_path", "a.ckpt", "--video", "v.mkv", "--audio", "v.mkv", "--out", "out/o.mp4"], 2000),
    "fit": (
        ["fit", "--model", "radio_tiny", "--dataset", "folder", "--dataset.root", "clips", "--out", "out/run",
         "--model.size", "32", "--model.sync_expert", "null", "--model.sync_weight", "0", "--model.perceptual", "none",
         "--data.val_windows", "0", "--data.batch_size", "1", "--data.num_workers", "0",
         "--model.iterations", "1", "--trainer.accelerator", "cpu"],
        100_000,
    ),
    "eval": (
        ["eval", "--videos", "theirs", "--method", "theirs", "--dataset", "folder", "--dataset.root", "clips",
         "--protocol", "cheap.yaml", "--limit", "1", "--out", "out/r"],
        1000,
    ),
    "values": (
        ["eval", "--videos", "theirs", "--method", "theirs", "--dataset", "folder", "--dataset.root", "clips",
         "--protocol", "cheap.yaml", "--limit", "1", "--out", "out/r"],
        ROOM,
    ),
    "speed": (
        ["speed", "--model", "radio_tiny", "--model.size", "32", "--root", "clips", "--frames", "5", "--repeats", "1",
         "--device", "cpu", "--out", "out/speed"],
        ROOM,
    ),
    "score": (["score", "--pred", "v.mkv", "--target", "v.mkv", "--metrics", "mse", "--json", "out/s.json"], ROOM),
}  # fmt: skip


@pytest.fixture
def place(board: Path, corpus: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the verbs read."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("corpus").symlink_to(corpus)
    shutil.copytree(prepared, "clips")
    video(Path("theirs/ann/one.mp4"), 0.2)
    Path("v.mkv").symlink_to(corpus / "ann/two.mkv")
    Path("listed.yaml").write_text("base: first_frame\nclips: {grid: {count: 9, seed: 0}}\n")
    Path("cheap.yaml").write_text("base: first_frame\nmetrics: {mse: 1}\n")
    dubbed.checkpoint(Path("a.ckpt"))
    key = {
        "form": FORM, "study": "s", "questions": ["visual"], "methods": ["m"], "raters": 3, "per_rater": 1,
        "items": {"v": {"method": "m", "clip": "c"}},
    }  # fmt: skip
    answer = {"form": FORM, "study": "s", "rater": 1, "saved": "", "started": "",
              "items": [{"id": "v", "answers": {"visual": 3}, "position": 1}]}  # fmt: skip
    Path("key.json").write_text(json.dumps(key))
    Path("answer.json").write_text(json.dumps(answer))
    return tmp_path


def test_a_demo_says_that_there_is_no_room(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for most in (0, 1000):
        with full(most):
            assert main(["demo", "--out", "out/demo", "--method", "g4g", "--workers", "1"]) == 1
        told = capsys.readouterr().err
        assert "dubbench: the demo stopped at corpus, make the corpus and prepare it: " in told
        assert "a quota or limit of file sizes is reached" in told
        assert "Traceback" not in told
        whole(Path("out/demo/corpus"), most)


def test_an_ablation_says_that_there_is_no_room(place: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = ["prepare", "--dataset", "folder", "--root", "corpus", "--out", "clips", "--size", "128"]
    assert main([*again, "--faces", "largest", "--split", "train"]) == 0
    capsys.readouterr()
    words = ["ablate", "--model", "g4g", "--table", "g4g:2", "--tiny", "--steps", "1", "--batch_size", "1"]
    words += [
        "--dataset",
        "folder",
        "--dataset.root",
        "clips",
        "--model.size",
        "32",
        "--device",
        "cpu",
        "--data.val_windows",
        "0",
        "--data.num_workers",
        "0",
    ]
    fails([*words, "--out", "out/ablation"], capsys, 100_000)
    whole(Path("out"), 100_000)


def test_a_download_says_that_there_is_no_room_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    data = bytes(range(256)) * 100
    with serving() as server:
        server.files["net.pth"] = data
        asset = Asset("net.pth", "a test", "MIT", (server.url("net.pth"),), sha256(data).hexdigest(), len(data))
        monkeypatch.setattr(store, "ASSETS", {"net.pth": asset})
        fails(["assets", "pull", "net.pth"], capsys, 1000)
        assert not list(tmp_path.rglob("net.pth"))
        assert main(["assets", "pull", "net.pth"]) == 0
    (pulled,) = tmp_path.rglob("net.pth")
    assert pulled.read_bytes() == data


@pytest.mark.parametrize("what", FILES)
def test_a_disk_that_fills_up(what: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, most = FILES[what]
    if what == "fit":
        again = ["prepare", "--dataset", "folder", "--root", "corpus", "--out", "clips", "--size", "128"]
        assert main([*again, "--faces", "largest", "--split", "train"]) == 0
    fails(words, capsys, most)
    whole(Path("out"), most)
