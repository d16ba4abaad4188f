"""Metrics that need networks, in whole evaluations: against the plain functions on crops made anew."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from dubbench.cli import main
from dubbench.core.config_names import resolve
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.mel import clip_windows
from dubbench.errors import DubbenchError
from dubbench.evaluation.evaluate import evaluate
from dubbench.evaluation.lip_agreement import Expert, Stream
from dubbench.face.warp import warp
from dubbench.media.video import read_frames
from dubbench.metrics import LPIPS, Suite, csim, five_points, kernel_distance, sync_scores, sync_similarity
from dubbench.models.sync_expert.module import SyncExpert
from tests import talking
from tests.metrics.recipe import fill
from tests.models.conftest import small_expert, trainer
from tests.scored import Image, clip_values, nose_crops, record, table, values

CLIPS = list(talking.LENGTHS)
FRAMES = sum(talking.LENGTHS.values())


class Projection(nn.Module):
    """Any features as wide as Inception's: the picture in 10 x 10 squares, spread by fixed random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(300, 2048, generator=torch.Generator().manual_seed(1)))
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        squares = nn.functional.adaptive_avg_pool2d(images.float() / 255, 10).flatten(1)
        return squares @ self.weights


class Embedder:
    """An embedding that anybody can make again: the crop in 14 x 14 squares, less its mean."""

    def describe(self) -> dict[str, str]:
        return {"name": "squares", "sha256": "0" * 64}

    def __call__(self, crops: Tensor) -> Tensor:
        squares = nn.functional.adaptive_avg_pool2d(crops.float(), 14).flatten(1)
        return squares - squares.mean(dim=1, keepdim=True)


class Brightness:
    """SyncNet's place: windows of frames by their brightness, of sound by their energy."""

    def visual(self, frames: Tensor) -> Tensor:
        return frames.float().mean((2, 3)).unfold(0, 5, 1).flatten(1)

    def audio(self, windows: Tensor) -> Tensor:
        return windows[:, 0, :3].reshape(len(windows), 3, 5, 4).mean(3).flatten(1)


def networks() -> dict[str, Any]:
    lpips = LPIPS("alex")
    fill(lpips)
    return {"lpips_alex": lpips, "embedder": Embedder(), "syncnet": Brightness(), "inception": Projection()}


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first_frame protocol for clips as short as ours."""
    choices = yaml.safe_load(Path(resolve("protocol", "first_frame")).read_text())
    path = tmp_path_factory.mktemp("protocol") / "short.yaml"
    path.write_text(yaml.safe_dump({**choices, "sync": "precropped", "pool_minimum": 2}))
    return path


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's videos: the corpus with a darker lower face."""
    folder = tmp_path_factory.mktemp("theirs")
    for clip in CLIPS:
        images = [frame.copy() for frame in talking.frames(clip)]
        for k, image in enumerate(images):
            image[120:] = (image[120:] * (0.8 + 0.02 * (k % 5))).astype(np.uint8)
        talking.write(folder / f"{clip}.mkv", images)
    return folder


@pytest.fixture(scope="module")
def scored(prepared: Path, protocol: Path, theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored")
    return evaluate(prepared, {}, out=out, protocol=protocol, videos={"theirs": theirs}, networks=networks())


def crops(prepared: Path, corpus: Path, theirs: Path, clip: str) -> tuple[Tensor, Tensor]:
    """Evaluation crops of the source and of their video, uint8 [T, 3, 256, 256] each."""
    pairs = list(nose_crops(prepared, corpus, clip, theirs / f"{clip}.mkv"))
    truth, pred = (torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2) for side in zip(*pairs, strict=True))
    return truth, pred


def test_frame_metrics_by_hand(scored: Path, prepared: Path, corpus: Path, theirs: Path) -> None:
    made = networks()
    for clip in CLIPS:
        truth, pred = crops(prepared, corpus, theirs, clip)
        found = clip_values(scored, "lpips_alex")["theirs", clip]
        assert float(found) == pytest.approx(float(made["lpips_alex"](pred, truth).mean()), rel=1e-4)
        sides = [torch.from_numpy(np.stack(list(read_frames(root / f"{clip}.mkv")))) for root in (theirs, corpus)]
        pred_full, full = (side.permute(0, 3, 1, 2) for side in sides)
        points = torch.from_numpy(PreparedClip(prepared, clip).points(range(talking.LENGTHS[clip])))
        wanted = csim(made["embedder"], pred_full, full, five_points(points)).mean()
        assert float(clip_values(scored, "csim")["theirs", clip]) == pytest.approx(float(wanted), abs=1e-5)
    perfect = values(scored, "ground_truth")
    assert (perfect["lpips_alex"], perfect["csim"]) == ("0", "1")


def test_sync_by_hand(scored: Path, prepared: Path, theirs: Path) -> None:
    for clip in CLIPS:
        frames = [
            cv2.resize(frame, (224, 224), interpolation=cv2.INTER_LINEAR)[..., ::-1]
            for frame in read_frames(theirs / f"{clip}.mkv")
        ]
        audio = np.rint(PreparedClip(prepared, clip).speech() * 32768).astype(np.int16)
        wanted = sync_scores(Brightness(), np.stack(frames), audio)
        for metric, value in (("sync_c", wanted.lse_c), ("sync_d", wanted.lse_d), ("av_offset", wanted.av_offset)):
            assert float(clip_values(scored, metric)["theirs", clip]) == pytest.approx(value, rel=1e-5, abs=1e-5)
        assert float(clip_values(scored, "sync_windows")["theirs", clip]) == talking.LENGTHS[clip] - 5


def test_pooled_metrics_by_hand(scored: Path, prepared: Path, corpus: Path, theirs: Path) -> None:
    network = Projection()
    sides = [torch.cat(side) for side in zip(*(crops(prepared, corpus, theirs, clip) for clip in CLIPS), strict=True)]
    truth, pred = (network(images).detach().double() for images in sides)
    row = table(scored)["theirs", "fid"]
    n = (FRAMES - 1) ** 0.5
    a, b = ((side - side.mean(0)) / n for side in (truth, pred))
    # The trace of the square root without one: singular values of the product of the centred features.
    exact = (truth.mean(0) - pred.mean(0)).square().sum() + a.square().sum() + b.square().sum()
    exact = exact - 2 * torch.linalg.svdvals(a @ b.T).sum()
    assert float(row["value"]) == pytest.approx(float(exact), rel=1e-4)
    assert (row["count"], row["std"], row["ci_low"]) == (str(FRAMES), "", "")
    assert float(values(scored, "theirs")["kid"]) == pytest.approx(kernel_distance(pred, truth), rel=1e-4)
    assert abs(float(values(scored, "ground_truth")["fid"])) < 1e-3
    assert "fid" not in (scored / "clips.csv").read_text()


def test_what_is_kept_and_what_is_scored_again(
    scored: Path, prepared: Path, protocol: Path, theirs: Path, tmp_path: Path
) -> None:
    made = networks()
    again = {"protocol": protocol, "videos": {"theirs": theirs}, "networks": made}
    before = table(scored)
    evaluate(prepared, {}, out=scored, **again)  # type: ignore[arg-type]  # a plain dictionary of options
    assert made["inception"].calls == 0
    (scored / "parts" / "theirs" / "ann" / "two.inception").unlink()
    evaluate(prepared, {}, out=scored, **again)  # type: ignore[arg-type]
    assert made["inception"].calls == 1
    assert table(scored) == before
    with torch.no_grad():
        made["inception"].weights.mul_(2)
    evaluate(prepared, {}, out=scored, **again)  # type: ignore[arg-type]
    assert made["inception"].calls > 3, "another network is another number"
    assert float(values(scored, "theirs")["fid"]) == pytest.approx(
        4 * float(before["theirs", "fid"]["value"]), rel=1e-4
    )


def test_run_json_names_the_networks_and_what_is_missing(
    scored: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = json.loads((scored / "run.json").read_text())
    assert run["networks"]["embedder"] == {"name": "squares", "sha256": "0" * 64}
    assert len(run["networks"]["lpips_alex"]["weights_sha256"]) == 64
    assert run["metrics"]["fid"]["version"] == 1
    assert list(run["not_computed"]) == ["lpips_vgg", "style_sim", "sync_similarity"]
    assert "dubbench assets pull vgg16" in run["not_computed"]["lpips_vgg"]
    assert "DUBBENCH_ASSETS" in run["not_computed"]["lpips_vgg"]
    assert ("theirs", "lpips_vgg") not in table(scored)
    assert main(["leaderboard", str(scored), "--out", str(tmp_path / "board.csv")]) == 0
    printed = capsys.readouterr().out
    assert "without lpips_vgg: vgg16" in printed
    assert f"fid and kid over {FRAMES} frames" in printed


def test_short_tracks_and_few_frames_have_reasons(prepared: Path, tmp_path: Path) -> None:
    out = evaluate(prepared, {}, out=tmp_path, networks=networks())
    row = table(out)["ground_truth", "sync_c"]
    assert (row["value"], row["count"]) == ("", "0")
    notes = record(out)["methods"]["ground_truth"]["without_value"]
    assert isinstance(notes, dict)
    assert notes["ann/one"]["sync_c"].startswith("no_track")
    pooled = record(out)["methods"]["copy_reference"]["pooled_without_value"]
    assert pooled == {"fid": f"{FRAMES} frames are fewer than the 2048 that FID asks for"}
    assert table(out)["copy_reference", "kid"]["count"] == str(FRAMES)
    assert values(out, "copy_reference")["kid"] != ""


def test_the_suite_keeps_networks_frozen() -> None:
    made = networks()
    made["lpips_alex"].train()
    suite = Suite(["lpips_alex", "fid"], networks=made)
    assert suite.absent == {}
    assert not any(p.requires_grad for network in (made["lpips_alex"], made["inception"]) for p in network.parameters())
    assert not any(module.training for module in made["lpips_alex"].modules())


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fitting = trainer(tmp_path_factory.mktemp("expert"))
    fitting.strategy.connect(small_expert())
    path = tmp_path_factory.mktemp("checkpoint") / "expert.ckpt"
    fitting.save_checkpoint(path)
    return path


def test_sync_expert_by_hand(expert: Path, prepared: Path, corpus: Path, tmp_path: Path) -> None:
    model = Expert(expert)
    out = evaluate(prepared, {}, out=tmp_path, networks={"sync_expert": model}, clips=["ann/one"])
    clip = PreparedClip(prepared, "ann/one")
    network: SyncExpert = model.model
    frames: list[Image] = []
    for k, image in enumerate(read_frames(corpus / "ann/one.mkv")):
        frames.append(warp(image, np.asarray(clip.transforms([k])[0], np.float64) * [4, 4, 1], 32))
    assert network.window.mel is not None
    mel = clip_windows(clip.speech(), network.window.mel, 0, len(frames))
    stacked = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[None]
    wanted = float(sync_similarity(network.network, stacked, mel[None]))
    assert float(values(out, "ground_truth")["sync_similarity"]) == pytest.approx(wanted, abs=1e-5)
    assert record(out)["networks"]["sync_expert"]["checkpoint"] == "expert.ckpt"
    other = float(values(out, "copy_reference")["sync_similarity"])
    assert abs(other - wanted) > 1e-4


def test_an_expert_for_face_crops_is_refused(tmp_path: Path) -> None:
    fitting = trainer(tmp_path)
    fitting.strategy.connect(small_expert(crop="face"))
    fitting.save_checkpoint(tmp_path / "face.ckpt")
    with pytest.raises(DubbenchError, match=r"face\.ckpt judges face crops, .* trained with --model\.crop square"):
        Expert(tmp_path / "face.ckpt")


def test_a_long_clip_goes_through_the_expert_in_pieces(expert: Path) -> None:
    model = Expert(expert).model
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (45, 256, 256, 3), dtype=np.uint8)
    speech = random.integers(-9000, 9000, 45 * 640, dtype=np.int16)
    stream = Stream(model, speech)
    most = 0
    for image in images:
        stream.add(image, np.eye(2, 3))
        most = max(most, len(stream._held))
    assert most < 24
    small = _shrunk(images, model.window.size)
    assert model.window.mel is not None
    mel = clip_windows(speech.astype(np.float32) / 32768, model.window.mel, 0, 45)
    wanted = float(sync_similarity(model.network, small, mel[None]))
    assert stream.finish() == pytest.approx(wanted, abs=1e-6)
    short = Stream(model, speech)
    for image in images[:4]:
        short.add(image, np.eye(2, 3))
    assert short.finish() is None


def _shrunk(images: NDArray[np.uint8], size: int) -> Tensor:
    """Frames brought to the expert's size as scoring does: [1, T, 3, size, size]."""
    made: Iterator[Image] = (warp(image, np.eye(2, 3) * [256 / size, 256 / size, 1], size) for image in images)
    stacked: Sequence[Image] = list(made)
    return torch.from_numpy(np.stack(stacked)).permute(0, 3, 1, 2)[None]
