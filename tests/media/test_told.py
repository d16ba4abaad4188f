"""What was wrong with a file is told in the rows of prepare and score and by dub, which gives back the shape it got."""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from dubbench.cli import main
from dubbench.datamodules.clip import read_manifest
from dubbench.media.planes import layout_of
from dubbench.media.video import probe, read_frames
from dubbench.metrics.common.clips import SILENT
from tests.data.videos import portraits, write
from tests.dubbed import checkpoint, dubbed
from tests.media.test_flaws import spoilt

SPOILT = "1 of 28 packets of sound are damaged, 0.021 s of silence in their place"


def talking(path: Path, frames: int = 14) -> Path:
    return write(path, portraits(frames), rate=48_000)


def silent(path: Path) -> Path:
    """A film whose sound is zeros."""
    with av.open(str(talking(path.with_name("s.mp4")))) as given, av.open(str(path), "w") as out:
        picture = out.add_stream_from_template(given.streams.video[0])
        sound = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = picture
                out.mux(packet)
        zeros = av.AudioFrame.from_ndarray(np.zeros((1, 8960), np.int16), format="s16", layout="mono")
        zeros.sample_rate, zeros.pts, zeros.time_base = 16_000, 0, Fraction(1, 16_000)
        out.mux(sound.encode(zeros))
        out.mux(sound.encode(None))
    path.with_name("s.mp4").unlink()
    return path


def squeezed(path: Path, frames: int) -> Path:
    """A film of portraits at three quarters of their width, with pixels of 4:3."""
    images = [
        np.asarray(cv2.resize(image, (96, 128), interpolation=cv2.INTER_AREA), np.uint8) for image in portraits(frames)
    ]
    write(path.with_suffix(".plain.mkv"), images)
    with av.open(str(path.with_suffix(".plain.mkv"))) as given, av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 96, 128, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for frame in given.decode(video=0):
            frame.pict_type = 0
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def test_prepare_tells_in_the_clips_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    spoilt(talking(corpus / "spoilt.mp4"), "audio", [12])
    silent(corpus / "silent.mkv")
    talking(corpus / "whole.mp4")
    words = ["prepare", "--dataset", "folder", "--root", str(corpus), "--out", str(out), "--size", "64", "--json"]
    assert main(words) == 0
    told = capsys.readouterr()
    rows = read_manifest(out).set_index("clip")["remarks"]
    quiet = "its sound is silent from beginning to end"
    assert dict(rows) == {"spoilt": SPOILT, "silent": quiet, "whole": ""}
    assert json.loads(told.out)["remarks"] == {"spoilt": [SPOILT], "silent": [quiet]}
    assert f"spoilt: {SPOILT}" in told.err.replace("\n", " ")
    assert "remarks" not in json.loads((out / "whole" / "clip.json").read_text())
    # Found again when nothing is left to do.
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["remarks"] == {"spoilt": [SPOILT], "silent": [quiet]}


def test_score_tells_what_it_read_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target = talking(tmp_path / "pred.mp4", 30), talking(tmp_path / "target.mp4", 30)
    spoilt(pred, "video", [28])
    words = ["score", "--pred", str(pred), "--target", str(target), "--metrics", "psnr"]
    assert main([*words, "--json"]) == 0
    clip = json.loads(capsys.readouterr().out)["clips"]["target"]
    assert clip["remarks"] == ["2 of 30 frames are damaged (concealed, repeated or predicted from such)"]
    assert main(words) == 0
    assert "target: 2 of 30 frames are damaged" in capsys.readouterr().out


def test_lips_are_not_compared_with_silence(tmp_path: Path) -> None:
    import torch

    from dubbench.metrics.common.clips import Clip, NoValue, speech_of
    from dubbench.metrics.common.options import SuiteOptions

    clip = Clip(np.zeros(16_000, np.int16), {}, SuiteOptions(), torch.device("cpu"))
    with pytest.raises(NoValue, match=SILENT):
        speech_of(clip)


def test_dub_works_on_square_pixels_and_gives_back_the_shape_it_got(tmp_path: Path) -> None:
    ckpt, source = checkpoint(tmp_path / "radio.ckpt"), squeezed(tmp_path / "in.mp4", 12)
    told: list[str] = []
    sound = silent(tmp_path / "silent.mkv")
    dubbed(tmp_path, ckpt, source, sound, length="video", say=told.append, crf=4)
    layout = layout_of(tmp_path / "out.mp4")
    assert (layout.width, layout.height) == (96, 128)
    assert layout.aspect == pytest.approx(4 / 3)
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height) == (128, 128)
    assert any(sentence == f"{sound}: its sound is silent from beginning to end" for sentence in told)
    # The untrained mouth lies where it lies in the film that is not squeezed.
    write(tmp_path / "square.mp4", portraits(12))
    dubbed(tmp_path, ckpt, tmp_path / "square.mp4", sound, out="square-out.mp4", length="video", crf=4)
    middles = []
    for before, after in ((source, "out.mp4"), (tmp_path / "square.mp4", "square-out.mp4")):
        pairs = zip(read_frames(before), read_frames(tmp_path / after), strict=True)
        changed = np.mean([np.abs(a.astype(float) - b).mean(-1) for a, b in pairs], 0)
        weight = np.where(changed > 6, changed, 0)
        rows, columns = np.mgrid[:128, :128]
        middles.append([(weight * rows).sum() / weight.sum(), (weight * columns).sum() / weight.sum()])
    np.testing.assert_allclose(middles[0], middles[1], atol=2)


def test_manifests_without_remarks_are_read(tmp_path: Path) -> None:
    pd.DataFrame({"clip": ["a"]}).to_parquet(tmp_path / "manifest.parquet")
    assert list(read_manifest(tmp_path)["clip"]) == ["a"]


def test_score_tells_of_sound_that_no_metric_hears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pred, target = spoilt(talking(tmp_path / "pred.mp4"), "audio", [12]), talking(tmp_path / "target.mp4")
    assert main(["score", "--pred", str(pred), "--target", str(target), "--metrics", "mse", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"]["target"]["remarks"] == [SPOILT.replace("28", "30")]
