import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dubbench.errors import DubbenchError
from dubbench.evaluation.evaluate import evaluate
from dubbench.media.video import VideoWriter
from tests import talking
from tests.scored import clip_values, nose_crops, record, table

SKIMAGE = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "channel_axis": 2}


def test_finished_videos_are_matched_and_judged_by_clip(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    """One video each: the source itself, our encoder's one frame short, and one five frames short."""
    folder = tmp_path / "videos"
    (folder / "ann").mkdir(parents=True)
    shutil.copy(corpus / "ann/one.mkv", folder / "ann/one.mkv")
    with VideoWriter(folder / "ann__two.mp4", talking.WIDTH, talking.HEIGHT, crf=18) as video:
        for frame in list(talking.frames("ann/two"))[:-1]:
            video.write(frame)
    talking.write(folder / "bob" / "one.MOV", list(talking.frames("bob/one"))[:-5])
    (folder / "ann" / "readme.txt").write_text("no video")
    shutil.copy(corpus / "ann/one.mkv", folder / "stranger.mkv")
    evaluate(prepared, {}, out=tmp_path / "out", videos={"theirs": folder})
    psnr = clip_values(tmp_path / "out", "psnr")
    assert psnr["theirs", "ann/one"] == "inf"
    crops = nose_crops(prepared, corpus, "ann/two", folder / "ann__two.mp4")
    reference: list[Callable[..., float]] = [peak_signal_noise_ratio, partial(structural_similarity, **SKIMAGE)]
    ours = [[function(a, b) for function in reference] for a, b in crops]
    assert len(ours) == talking.LENGTHS["ann/two"] - 1
    ssim = clip_values(tmp_path / "out", "ssim")
    assert float(psnr["theirs", "ann/two"]) == pytest.approx(
        -10 * np.log10(np.mean([10 ** (-a / 10) for a, _ in ours])), rel=1e-5
    )
    assert float(ssim["theirs", "ann/two"]) == pytest.approx(np.mean([b for _, b in ours]), rel=1e-5)
    assert psnr["theirs", "bob/one"] == ""
    said = record(tmp_path / "out")["methods"]["theirs"]
    assert said["unmatched"] == ["stranger.mkv"]
    assert said["failed"] == {
        "bob/one": "the video has 7 frames at 25 fps and its clip 12; at most 1 may be missing or left over"
    }
    row = table(tmp_path / "out")["theirs", "lmd"]
    assert (row["count"], row["failed"]) == ("2", "1")
    assert not (tmp_path / "out" / "videos" / "theirs").exists()


def test_broken_and_faceless_videos_are_counted(prepared: Path, tmp_path: Path) -> None:
    """Text named .mp4, a smaller picture; then faces hidden in four frames, and in all."""
    bad, odd = tmp_path / "bad", tmp_path / "odd"
    (bad / "ann").mkdir(parents=True)
    (bad / "ann" / "one.mp4").write_text("no video")
    talking.write(bad / "ann" / "two.mp4", [frame[:120, :120] for frame in talking.frames("ann/two")])
    images = list(talking.frames("ann/one"))
    for k in (5, 6, 7, 8):
        images[k] = np.full_like(images[k], 127)
    talking.write(odd / "ann" / "one.mp4", images)
    talking.write(odd / "ann" / "two.mp4", [np.full_like(frame, 127) for frame in talking.frames("ann/two")])
    evaluate(prepared, {}, out=tmp_path / "out", videos={"bad": bad, "odd": odd})
    failed = record(tmp_path / "out")["methods"]["bad"]["failed"]
    assert isinstance(failed, dict)
    assert "one.mp4" in failed["ann/one"]
    assert "120 x 120 pixels and its clip 221 x 231" in failed["ann/two"]
    assert "no video for this clip; name it bob/one.mp4" in failed["bob/one"]
    lmd, psnr = clip_values(tmp_path / "out", "lmd"), clip_values(tmp_path / "out", "psnr")
    assert 0 < float(lmd["odd", "ann/one"]) < 1
    assert lmd["odd", "ann/two"] == ""
    assert float(psnr["odd", "ann/two"]) < 20
    row = table(tmp_path / "out")["odd", "lmd"]
    assert (row["count"], row["failed"]) == ("1", "1")
    assert 4 + 10 <= int(row["missed"]) <= 6 + 10
    notes = record(tmp_path / "out")["methods"]["odd"]["without_value"]
    assert isinstance(notes, dict)
    assert notes["ann/two"]["lmd"].startswith("no frame shows a face")


def test_a_source_that_moved_or_changed(corpus: Path, prepared: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    talking.write(moved / "ann" / "two.mkv", talking.frames("ann/one"))
    out = evaluate(prepared, {}, out=tmp_path / "out", source_root=moved, clips=["ann/one", "ann/two"])
    failed = record(out)["methods"]["ground_truth"]["failed"]
    assert isinstance(failed, dict)
    assert list(failed) == ["ann/two"]
    assert "not the file that was prepared" in failed["ann/two"]
    with pytest.raises(DubbenchError, match=r"none of the 3 clips could be scored.*--source_root"):
        evaluate(prepared, {}, out=tmp_path / "none", source_root=tmp_path)
    assert (tmp_path / "none" / "run.json").is_file()
