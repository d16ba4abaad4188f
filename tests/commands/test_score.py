"""``dubbench score`` from the command line, on videos whose numbers are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.cli import main
from dubbench.datamodules.prepare.run import prepare
from dubbench.face.landmarks import FaceMesh
from dubbench.metrics import SyncNet
from dubbench.metrics.networks import pretrained
from tests import talking
from tests.data import videos

CLIP = "ann/one"
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing pretrained is here, and landmarks are kept nowhere else."""
    monkeypatch.setenv("DUBBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DUBBENCH_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def score(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs the verb on the CPU; gives its status, output and errors."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main(["score", "--device", "cpu", *map(str, words)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Darkened ground truth, and predictions three grey levels brighter; one too short, one alone on each side."""
    pred, target = tmp_path_factory.mktemp("pred"), tmp_path_factory.mktemp("target")
    for clip in talking.LENGTHS:
        dark = [np.asarray(image // 2 + 20, np.uint8) for image in talking.frames(clip)]
        bright = [np.asarray(image + 3, np.uint8) for image in dark]
        talking.write(target / f"{clip}.mkv", dark, talking.speech(clip))
        given = bright[:6] if clip == "bob/one" else bright
        talking.write(pred / f"{clip.replace('/', '__')}.mkv", given, talking.speech(clip))
    talking.write(pred / "surplus.mkv", bright[:2])
    talking.write(target / "lone.mkv", bright[:2])
    return pred, target


def table(out: str) -> dict[str, list[str]]:
    """Cells of the printed table by metric."""
    rows = [line.split() for line in out.splitlines() if line.startswith("  ")]
    return {row[0]: row[1:] for row in rows if len(row) > 2 and row[0] != "metric"}


def test_folders_give_known_numbers_and_name_what_is_left_out(
    sides: tuple[Path, Path], score: Say, tmp_path: Path
) -> None:
    pred, target = sides
    status, out, _ = score("--pred", pred, "--target", target, "--json", tmp_path / "deep" / "x.json")
    assert status == 0
    rows = table(out)
    assert rows["mse"] == ["grey", "levels^2", "↓", "9", "2"]
    assert rows["psnr"] == ["dB", "↑", f"{10 * np.log10(255**2 / 9):.6g}", "2"]
    assert 0 < float(rows["lmd"][2]) < 1
    for file in ("alexnet-owt-7be5be79.pth", "syncnet_v2.model", "pt_inception-2015-12-05-6726825d.pth"):
        (line,) = [line for line in out.splitlines() if file in line]
        assert line.endswith(f" left out: {file} is not here")
    assert out.splitlines()[-1] == "`dubbench assets` says how to get what is not here"
    assert "sync_c, sync_d, av_offset left out" in out
    assert "bob/one: the video has 6 frames at 25 fps and its clip 12" in out
    assert "predictions without ground truth, 1: surplus.mkv" in out
    assert "ground truth without a prediction, 1: lone.mkv" in out
    record = json.loads((tmp_path / "deep" / "x.json").read_text())
    assert record["counts"] == {"pairs": 3, "scored": 2, "failed": 1}
    assert record["unmatched"] == {"pred": ["surplus.mkv"], "target": ["lone.mkv"]}
    assert record["clips"]["ann/one"]["values"]["mse"] == pytest.approx(9)
    assert record["clips"]["ann/one"]["frames"] == 18
    assert "6 frames" in record["clips"]["bob/one"]["failure"]
    assert record["means"]["pred"]["psnr"] == {"value": pytest.approx(10 * np.log10(255**2 / 9)), "count": 2}
    values = [record["clips"][clip]["values"]["lmd"] for clip in ("ann/one", "ann/two")]
    assert record["means"]["pred"]["lmd"]["value"] == pytest.approx(np.mean(values))
    assert record["definitions"]["psnr"]["version"] >= 1
    assert "syncnet_v2.model" in record["absent"]["sync_c"]
    assert record["versions"]["landmarks"].startswith("mediapipe")


def test_prefix_scores_what_both_have(sides: tuple[Path, Path], score: Say, tmp_path: Path) -> None:
    pred, target = sides
    words = ("--length", "prefix", "--metrics", "mse", "--json", tmp_path / "x.json")
    status, out, _ = score("--pred", pred, "--target", target, *words)
    assert status == 0
    assert table(out)["mse"][-2:] == ["9", "3"]
    assert json.loads((tmp_path / "x.json").read_text())["clips"]["bob/one"]["frames"] == 6


def test_equal_files_are_infinitely_alike(sides: tuple[Path, Path], score: Say, tmp_path: Path) -> None:
    video = sides[1] / "ann/two.mkv"
    status, out, _ = score("--pred", video, "--target", video, "--metrics", "psnr", "lmd", "--json", tmp_path / "x")
    assert status == 0
    assert table(out) == {"psnr": ["dB", "↑", "inf", "1"], "lmd": ["px@256", "↓", "0", "1"]}
    assert json.loads((tmp_path / "x").read_text())["clips"]["two"]["values"] == {"lmd": 0.0, "psnr": "inf"}


def test_nothing_scored_is_status_one(sides: tuple[Path, Path], score: Say) -> None:
    pred, target = sides
    words = ("--pred", pred / "bob__one.mkv", "--target", target / "bob/one.mkv", "--metrics", "mse")
    status, out, _ = score(*words)
    assert status == 1
    assert table(out)["mse"][-2:] == ["-", "0"]
    assert "failed, 1 of 1 clip" in out


def test_a_ground_truth_without_a_face_fails_alone(sides: tuple[Path, Path], score: Say, tmp_path: Path) -> None:
    grey = [np.full((talking.HEIGHT, talking.WIDTH, 3), 90, np.uint8)] * 3
    for side, images in (("pred", grey), ("target", grey)):
        talking.write(tmp_path / side / "nobody.mkv", images)
        talking.write(tmp_path / side / "ann.mkv", list(talking.frames(CLIP))[:3])
    status, out, _ = score("--pred", tmp_path / "pred", "--target", tmp_path / "target", "--metrics", "psnr")
    assert status == 0
    assert "nobody.mkv shows no face in any of its 3 frames" in out
    assert table(out)["psnr"][-2:] == ["inf", "1"]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--metrics", "sharpness"], 2, "invalid choice: 'sharpness'"),
        (["--length", "linspace"], 2, "invalid choice"),
        (["--frames_minimum", "1"], 1, "--frames_minimum is 1"),
        (["--audio", "nowhere.wav"], 1, "nowhere.wav"),
        (["--metrics", "sync_c", "fid"], 1, "none of the metrics works here"),
        (["--metrics", "sync_similarity"], 1, "--sync_expert"),
        (["--sync_expert", "nowhere.ckpt"], 1, "nowhere.ckpt"),
    ],
)
def test_wrong_words_are_one_sentence(
    words: list[str], status: int, sentence: str, sides: tuple[Path, Path], score: Say
) -> None:
    video = sides[1] / "ann/two.mkv"
    found, _, err = score("--pred", video, "--target", video, *words)
    assert found == status
    assert sentence in err


def test_audio_is_for_single_videos(sides: tuple[Path, Path], score: Say) -> None:
    pred, target = sides
    status, _, err = score("--pred", pred, "--target", target, "--audio", pred / "surplus.mkv")
    assert status == 1
    assert "--audio goes with a single video" in err


def test_prepared_folders_show_the_noise_floor(tmp_path: Path, score: Say) -> None:
    talking.write(tmp_path / "corpus" / "ann.mkv", talking.frames(CLIP), talking.speech(CLIP))
    out = tmp_path / "prepared"
    assert prepare("folder", tmp_path / "corpus", out, size=128, faces="largest", split="clip").done == 1
    status, said, _ = score("--pred", out, "--target", out, "--metrics", "mse", "lmd")
    assert status == 0
    rows = table(said)
    assert rows["mse"][-2:] == ["0", "1"]
    assert rows["lmd"][2] == rows["lmd"][4]  # equal frames: what is found again is the floor
    assert 0 < float(rows["lmd"][4]) < 2


@pytest.mark.parametrize("kind", ["videos", "prepared", "source"])
def test_the_ground_truth_is_looked_at_once(
    kind: str, sides: tuple[Path, Path], score: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prediction's 18 frames in every run, the ground truth's only in the first; values are the same."""
    pred, target = sides[0] / "ann__one.mkv", sides[1] / "ann/one.mkv"
    if kind != "videos":
        talking.write(tmp_path / "corpus" / "ann.mkv", talking.frames(CLIP), talking.speech(CLIP))
        target = tmp_path / "out"
        prepare("folder", tmp_path / "corpus", target, size=128, faces="largest", split="clip")
        pred = target if kind == "prepared" else tmp_path / "corpus"
    torch.manual_seed(0)
    network = SyncNet()
    monkeypatch.setattr(pretrained, "syncnet", lambda: network)
    detect, calls = FaceMesh.detect, []

    def spy(self: FaceMesh, rgb: NDArray[np.uint8], *place: NDArray[np.float32] | None) -> list[NDArray[np.float32]]:
        calls.append(rgb.shape)
        return detect(self, rgb, *place)

    monkeypatch.setattr(FaceMesh, "detect", spy)
    metric = "sync_c" if kind == "videos" else "lmd"
    words = ("--sync", "precropped", "--metrics", metric)
    counts, clips = [], []
    for name in ("cold", "warm"):
        calls.clear()
        assert score("--pred", pred, "--target", target, *words, "--json", tmp_path / name)[0] == 0
        counts.append(len(calls))
        (clip,) = json.loads((tmp_path / name).read_text())["clips"].values()
        clips.append(clip)
    assert counts == [36, 18]
    assert clips[0] == clips[1]
    assert metric in clips[0]["ground_truth"]


class Levels(nn.Module):
    """Stands in for Inception: coarse grey levels as features."""

    def forward(self, images: Tensor) -> Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(images.float(), (16, 16)).flatten(1) / 255
        return torch.nn.functional.pad(small, (0, 2048 - small.shape[1]))


def test_pooled_metrics_take_the_frames_of_all_pairs_that_went_well(
    sides: tuple[Path, Path], score: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "inception", Levels)
    pred, target = sides
    words = ("--metrics", "kid", "fid", "--json", tmp_path / "x.json")
    status, out, _ = score("--pred", pred, "--target", target, *words)
    assert status == 0
    rows = table(out)
    assert rows["kid"][-2:] == ["28", "frames"]  # bob's prediction is too short
    assert rows["fid"][2] == "-"
    assert "fid: 28 frames are fewer than the 2048 that FID asks for" in out
    record: dict[str, Any] = json.loads((tmp_path / "x.json").read_text())
    assert record["means"]["pred"]["kid"]["value"] == pytest.approx(float(rows["kid"][2]), rel=1e-5)
    assert record["means"]["pred"]["fid"]["value"] is None
    assert "28 frames" in record["pooled_notes"]["pred"]["fid"]


def test_lips_are_held_against_the_given_speech(
    sides: tuple[Path, Path], score: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = SyncNet()
    monkeypatch.setattr(pretrained, "syncnet", lambda: network)
    video = sides[1] / "ann/one.mkv"
    other = tmp_path / "other.mkv"
    talking.write(other, talking.frames(CLIP), np.resize(talking.speech("bob/one"), 18 * 640))
    words = ("--pred", video, "--target", video, "--metrics", "sync_c", "--sync", "precropped", "--json")
    assert score(*words, tmp_path / "own.json")[0] == 0
    assert score(*words, tmp_path / "other.json", "--audio", other)[0] == 0
    own, given = (json.loads((tmp_path / f"{name}.json").read_text())["clips"]["one"] for name in ("own", "other"))
    assert own["values"]["sync_c"] == own["ground_truth"]["sync_c"] == given["ground_truth"]["sync_c"]
    assert abs(given["values"]["sync_c"] - own["values"]["sync_c"]) > 1e-6
    assert own["values"]["sync_windows"] == 13
    status, out, _ = score("--pred", video, "--target", video, "--metrics", "sync_c", "mse")
    assert status == 0
    assert "sync_c: no_track" in out
    assert "(1 of 1 clip)" in out


def test_any_sync_metric_alone_has_its_value(
    sides: tuple[Path, Path], score: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "syncnet", SyncNet)
    video = sides[1] / "ann/one.mkv"
    for metric in ("av_offset", "sync_d"):
        status, out, _ = score("--pred", video, "--target", video, "--metrics", metric, "--sync", "precropped")
        assert status == 0
        assert table(out)[metric][-2] == "1"


def test_silent_videos_have_all_that_needs_no_speech(
    score: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "syncnet", SyncNet)
    even = [image[:230, :220] for image in list(talking.frames(CLIP))[:8]]
    video = videos.write(tmp_path / "silent.mp4", even, rate=None)
    status, out, _ = score("--pred", video, "--target", video, "--metrics", "sync_c", "av_offset", "mse")
    assert status == 0
    assert table(out)["mse"][-2:] == ["0", "1"]
    assert "sync_c, av_offset: there is no speech to compare the lips with (1 of 1 clip)" in out
