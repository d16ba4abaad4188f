import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dubbench.cli import main
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.evaluation.evaluate import evaluate
from dubbench.face import points_68
from dubbench.face.landmarks import FaceMesh
from dubbench.media.audio import read_speech
from dubbench.media.video import read_frames
from tests import talking
from tests.conftest import SIDE as SIZE
from tests.evaluation.methods import CLIPS, Copier
from tests.scored import clip_values, record, table, values


def test_ground_truth_is_the_perfect_end_of_the_scale(scored: Path) -> None:
    perfect = values(scored, "ground_truth")
    assert perfect["psnr"] == perfect["psnr_mouth"] == "inf"
    assert perfect["ssim"] == perfect["ssim_mouth"] == perfect["ms_ssim"] == "1"
    assert perfect["mse"] == perfect["lmd"] == perfect["f_lmd"] == perfect["lmd_uncentred"] == "0"
    assert 0.02 < float(perfect["lmd_floor"]) < 1
    assert 0.02 < float(perfect["f_lmd_floor"]) < 1
    row = table(scored)["ground_truth", "psnr"]
    assert (row["std"], row["ci_low"], row["ci_high"], row["count"]) == ("", "inf", "inf", "3")


def test_landmark_distance_by_hand(scored: Path, prepared: Path) -> None:
    """The noise floor of a clip, from its written video, with nothing but numpy and the detector."""
    clip = PreparedClip(prepared, "ann/one")
    target = clip.aligned_points(size=256).astype(float)
    scale = SIZE / 256
    distances: dict[str, list[float]] = {"lmd_floor": [], "f_lmd_floor": []}
    with FaceMesh() as mesh:
        for k, frame in enumerate(read_frames(scored / "videos/ground_truth/ann/one.mp4")):
            face = points_68(mesh.detect(frame[: talking.HEIGHT, : talking.WIDTH])[0]).astype(float)
            transform = clip.transforms([k])[0]
            aligned = np.linalg.solve(transform[:, :2], (face - transform[:, 2]).T).T / scale
            for name, first in (("lmd_floor", 48), ("f_lmd_floor", 0)):
                gap = aligned[first:] - aligned[first:].mean(0) - (target[k, first:] - target[k, first:].mean(0))
                distances[name].append(np.hypot(*gap.T).mean())
    for name, frames in distances.items():
        assert len(frames) == talking.LENGTHS["ann/one"]
        found = clip_values(scored, name)["ground_truth", "ann/one"]
        assert float(found) == pytest.approx(np.mean(frames), rel=1e-4)


def test_a_method_that_copies_the_reference_equals_that_row(scored: Path) -> None:
    copied = values(scored, "copier")
    assert float(copied.pop("seconds_per_frame")) > 0
    assert copied == values(scored, "copy_reference")
    assert 20 < float(copied["psnr"]) < 40
    assert float(copied["lmd"]) > float(values(scored, "ground_truth")["lmd_floor"])


def test_frames_of_another_size_land_on_their_place(scored: Path, corpus: Path) -> None:
    """The source pasted back at half the resolution is blurred, not moved."""
    for clip in CLIPS:
        pairs = zip(read_frames(corpus / f"{clip}.mkv"), read_frames(scored / f"videos/truth/{clip}.mp4"), strict=True)
        for source, pasted in pairs:
            face = (slice(60, 180), slice(50, 170))
            before, after = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[face].astype(float) for image in (source, pasted))
            (right, down), _ = cv2.phaseCorrelate(
                cv2.GaussianBlur(before, (0, 0), 2), cv2.GaussianBlur(after, (0, 0), 2)
            )
            assert np.hypot(right, down) < 0.05
    assert float(values(scored, "truth")["ms_ssim"]) > 0.9


def test_the_leaderboard_says_what_failed(scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", str(scored), "--out", str(tmp_path / "board.csv")]) == 0
    assert "3 clips of short failed, the first because the method stopped before" in capsys.readouterr().out


def test_what_goes_wrong_is_counted_with_its_reason(scored: Path) -> None:
    row = table(scored)["short", "psnr"]
    assert (row["value"], row["count"], row["failed"]) == ("", "0", "3")
    failed = record(scored)["methods"]["short"]["failed"]
    assert failed == dict.fromkeys(CLIPS, "the method stopped before the clip's last frame; it must give one for each")
    assert "float32 [64, 64, 3]" in str(record(scored)["methods"]["floating"]["failed"])
    assert not list((scored / "videos" / "short").rglob("*"))[1:] or not list(
        (scored / "videos" / "short").rglob("*.mp4")
    )
    assert clip_values(scored, "psnr")["short", "ann/one"] == ""
    assert table(scored)["copier", "psnr"]["count"] == "3"


def test_videos_show_the_frames_with_their_speech(scored: Path, corpus: Path) -> None:
    for clip, count in talking.LENGTHS.items():
        source = list(read_frames(corpus / f"{clip}.mkv"))
        for method, limit in (("ground_truth", 34), ("copier", 20)):
            path = scored / "videos" / method / f"{clip}.mp4"
            frames = [frame[: talking.HEIGHT, : talking.WIDTH].astype(float) for frame in read_frames(path)]
            assert len(frames) == count
            error = np.mean([(a - b) ** 2 for a, b in zip(frames, source, strict=True)])
            assert 10 * np.log10(255**2 / error) > limit
            sound = read_speech(path)[: count * 640]
            spectrum = np.abs(np.fft.rfft(sound))
            pitch = np.argmax(spectrum) * 16_000 / len(sound)
            assert pitch == pytest.approx(200 + 100 * CLIPS.index(clip), abs=5)


def test_clip_rows_make_the_summary(scored: Path) -> None:
    rows = clip_values(scored, "lmd")
    assert sorted({clip for _, clip in rows}) == sorted(CLIPS)
    own = [float(rows["copier", clip]) for clip in CLIPS]
    summary = table(scored)["copier", "lmd"]
    assert float(summary["value"]) == pytest.approx(np.mean(own), rel=1e-5)
    assert float(summary["std"]) == pytest.approx(np.std(own, ddof=1), rel=1e-4)
    assert (
        min(own) - 1e-5
        <= float(summary["ci_low"])
        < float(summary["value"])
        < float(summary["ci_high"])
        <= max(own) + 1e-5
    )
    assert (summary["dataset"], summary["protocol"], summary["better"], summary["unit"]) == (
        "folder", "first_frame", "lower", "px@256",
    )  # fmt: skip


def test_run_json_says_what_numbers_depend_on(scored: Path) -> None:
    run = json.loads((scored / "run.json").read_text())
    assert run["split"] == "test"
    assert run["clips"] == 3
    assert run["seed"] == 3
    assert run["protocol_choices"]["driving"] == "own"
    assert run["metrics"]["ssim"]["version"] == 1
    assert run["versions"]["landmarks"].startswith("mediapipe-")
    copier = run["methods"]["copier"]
    assert copier["parameters"] == 1
    assert len(copier["weights_sha256"]) == 64
    assert str(scored) not in (scored / "run.json").read_text()


def test_wrong_arguments_are_sentences(scored: Path, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DubbenchError, match="no clips of the split 'val' but of test"):
        evaluate(prepared, {}, out=tmp_path / "out", split="val")
    with pytest.raises(DubbenchError, match="limit of 0"):
        evaluate(prepared, {}, out=tmp_path / "out", limit=0)
    with pytest.raises(DubbenchError, match="cat/one is not among the clips"):
        evaluate(prepared, {}, out=tmp_path / "out", clips=["cat/one"])
    with pytest.raises(DubbenchError, match="run dubbench prepare"):
        evaluate(tmp_path, {}, out=tmp_path / "out")
    with pytest.raises(DubbenchError, match="no protocol is called 'unfair'; there are cross"):
        evaluate(prepared, {}, out=tmp_path / "out", protocol="unfair")
    with pytest.raises(DubbenchError, match="two rows are called 'ground_truth'"):
        evaluate(prepared, {"ground_truth": Copier()}, out=tmp_path / "out")
    with pytest.raises(DubbenchError, match="cannot name a row"):
        evaluate(prepared, {"../mine": Copier()}, out=tmp_path / "out")
    with pytest.raises(DubbenchError, match=r"ann/one.mp4 or ann__one.mp4"):
        evaluate(prepared, {}, out=tmp_path / "out", videos={"theirs": tmp_path / "empty"})
    with pytest.raises(DubbenchError, match="holds results of protocol hash"):
        evaluate(prepared, {}, out=scored, protocol="native")
    assert not (tmp_path / "out").exists()
