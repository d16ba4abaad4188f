import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from dubbench.cli import main
from dubbench.datamodules.batch import Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import Dubber
from dubbench.evaluation.evaluate import evaluate
from dubbench.face import points_68
from dubbench.face.landmarks import FaceMesh
from dubbench.media.audio import read_speech
from dubbench.media.video import VideoWriter, read_frames
from dubbench.metrics import drive, ghost
from dubbench.protocols.protocol import load
from tests import talking
from tests.conftest import SIDE as SIZE
from tests.scored import clip_values, nose_crops, record, table, values

CLIPS = list(talking.LENGTHS)
SKIMAGE = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255, "channel_axis": 2}
Image = NDArray[np.uint8]


class Copier(nn.Module):
    """Copies the lower half of the first reference, as ``copy_reference`` must; written here anew."""

    def __init__(self, shade: float = 0.0) -> None:
        super().__init__()
        self.shade = nn.Parameter(torch.tensor(shade))
        self.window = Window(frames=1, references=3, size=SIZE)
        self.asked: list[tuple[str, list[int], NDArray[np.float32]]] = []

    def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
        self.asked.append((clip.info.clip, list(references), speech))
        reference = clip.frames([references[0]])[0]
        for k in range(len(clip)):
            frame = clip.frames([k])[0].copy()
            frame[SIZE // 2 :] = np.clip(reference[SIZE // 2 :] + self.shade.item(), 0, 255)
            yield frame

    def paste_mask(self) -> NDArray[np.float32]:
        return np.repeat(np.arange(SIZE) >= SIZE // 2, SIZE).reshape(SIZE, SIZE).astype(np.float32)

    def parameter_count(self) -> int:
        return 1


class Truth:
    """Gives the clip's own aligned frames at half their size."""

    def __init__(self, frames: int | None = None, kind: type[np.generic] = np.uint8) -> None:
        self.frames, self.kind = frames, kind

    def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
        for _, frame in zip(range(self.frames or len(clip)), clip.stream(SIZE // 2), strict=False):
            yield frame.astype(self.kind)

    def paste_mask(self) -> NDArray[np.float32]:
        return np.ones((SIZE // 2, SIZE // 2), np.float32)

    def parameter_count(self) -> int:
        return 0


@pytest.fixture(scope="module")
def scored(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a run that the tests look at from all sides."""
    methods: dict[str, Dubber] = {
        "copier": Copier(),
        "truth": Truth(),
        "short": Truth(frames=6),
        "floating": Truth(kind=np.float32),
    }
    return evaluate(prepared, methods, out=tmp_path_factory.mktemp("scored"), seed=3)


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


def test_two_runs_give_the_same_bytes_and_limits_change_no_clip(scored: Path, prepared: Path, tmp_path: Path) -> None:
    again = evaluate(prepared, {"copier": Copier()}, out=tmp_path, seed=3, limit=2)
    assert [clip for _, clip in clip_values(again, "psnr")] == ["ann/one", "ann/two"] * 3
    for path in sorted(again.glob("videos/**/*.mp4")):
        assert path.read_bytes() == (scored / path.relative_to(again)).read_bytes()
    for path in sorted(again.glob("parts/**/*.json")):
        first, second = (json.loads((root / path.relative_to(again)).read_text()) for root in (scored, again))
        first["values"].pop("seconds_per_frame", None)
        second["values"].pop("seconds_per_frame", None)
        assert first == second
    assert table(again)["copier", "psnr"]["split_hash"] != table(scored)["copier", "psnr"]["split_hash"]


def test_a_stopped_run_goes_on_where_it_was(scored: Path, prepared: Path, tmp_path: Path) -> None:
    class Stopped(Copier):
        stop = True

        def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
            for k, frame in enumerate(super().dub(clip, speech, references)):
                if self.stop and clip.info.clip == "ann/two" and k == 5:
                    raise KeyboardInterrupt
                yield frame

    method = Stopped()
    with pytest.raises(KeyboardInterrupt):
        evaluate(prepared, {"copier": method}, out=tmp_path, seed=3)
    assert [path.name for path in tmp_path.rglob("*.mp4")] == ["one.mp4"] * 3
    stale = tmp_path / "videos" / "copier" / "ann" / ".two.4194305.tmp.mp4"
    stale.write_bytes(b"left by a killed process")
    method.stop = False
    method.asked.clear()
    evaluate(prepared, {"copier": method}, out=tmp_path, seed=3)
    assert [clip for clip, _, _ in method.asked] == ["ann/two", "bob/one"]
    assert not stale.exists()
    for name in ("ground_truth", "copy_reference"):
        assert values(tmp_path, name) == values(scored, name)
    ours, theirs = values(tmp_path, "copier"), values(scored, "copier")
    assert {**ours, "seconds_per_frame": ""} == {**theirs, "seconds_per_frame": ""}

    method.asked.clear()
    evaluate(prepared, {"copier": method}, out=tmp_path, seed=4)
    assert method.asked == [], "the seed only draws the intervals"
    with torch.no_grad():
        method.shade.add_(40)
    (tmp_path / "videos" / "copy_reference" / "ann" / "one.mp4").unlink()
    evaluate(prepared, {"copier": method}, out=tmp_path, seed=3)
    assert [clip for clip, _, _ in method.asked] == CLIPS, "other weights are another method"
    assert float(values(tmp_path, "copier")["psnr"]) < float(theirs["psnr"]) - 1
    assert (tmp_path / "videos" / "copy_reference" / "ann" / "one.mp4").is_file()


def test_cross_drives_every_clip_by_another(prepared: Path, tmp_path: Path) -> None:
    method = Copier()
    evaluate(prepared, {"copier": method}, out=tmp_path, protocol="cross", clips=["ann/one", "ann/two"])
    with (tmp_path / "pairing.csv").open() as file:
        pairing = {row["clip"]: row["driving"] for row in csv.DictReader(file)}
    assert pairing.keys() == {"ann/one", "ann/two"}
    for clip, _, speech in method.asked:
        driver = PreparedClip(prepared, pairing[clip]).speech()
        count = talking.LENGTHS[clip] * 640
        assert pairing[clip] != clip
        assert len(speech) == count
        np.testing.assert_array_equal(speech[: len(driver)], driver[:count])
        assert not speech[len(driver) :].any()
    assert table(tmp_path)["copier", "lmd"]["protocol"] == "cross"
    path = tmp_path / "videos" / "copier" / "ann" / "one.mp4"
    sound = read_speech(path)[: min(talking.LENGTHS[pairing["ann/one"]], talking.LENGTHS["ann/one"]) * 640]
    pitch = np.argmax(np.abs(np.fft.rfft(sound))) * 16_000 / len(sound)
    assert pitch == pytest.approx(200 + 100 * CLIPS.index(pairing["ann/one"]), abs=5)


class Actor:
    """Shows the driver's own face: whoever hears perfectly."""

    def __init__(self, drivers: dict[str, PreparedClip]) -> None:
        self.drivers = drivers

    def dub(self, clip: PreparedClip, speech: NDArray[np.float32], references: Sequence[int]) -> Iterator[Image]:
        driver = self.drivers[clip.info.clip]
        for k in range(len(clip)):
            yield driver.frames([min(k, len(driver) - 1)])[0]

    def paste_mask(self) -> NDArray[np.float32]:
        return np.ones((SIZE, SIZE), np.float32)

    def parameter_count(self) -> int:
        return 0


def test_whom_a_mouth_follows(prepared: Path, tmp_path: Path) -> None:
    clips = ["ann/one", "ann/two"]
    actor = Actor({clip: PreparedClip(prepared, clips[1 - k]) for k, clip in enumerate(clips)})
    rules = replace(load("cross"), metrics={"drive": 1, "ghost": 1})
    evaluate(prepared, {"actor": actor}, out=tmp_path, protocol=rules, clips=clips)
    found = table(tmp_path)
    assert float(found["ground_truth", "ghost"]["value"]) > 0.9
    # As the curves that are kept for the page give them, which have four digits.
    for clip in clips:
        parts = [json.loads((tmp_path / f"parts/{row}/{clip}.json").read_text()) for row in ("actor", "ground_truth")]
        curves = [np.array(curve, float) for curve in (parts[0]["curves"]["opening"], parts[1]["curves"]["driver"])]
        truth = np.array(parts[1]["curves"]["opening"], float)
        for name, metric in (("drive", drive), ("ghost", ghost)):
            assert parts[0]["values"][name] == pytest.approx(metric(curves[0], truth, curves[1]), abs=0.05)
    own = evaluate(prepared, {}, out=tmp_path / "own", protocol=replace(rules, driving="own"), clips=clips[:1])
    assert "driven by its own speech" in json.dumps(record(own))


def test_references_are_the_protocols(prepared: Path, tmp_path: Path) -> None:
    method = Copier()
    for protocol in ("first_frame", "native"):
        evaluate(prepared, {"copier": method}, out=tmp_path / protocol, protocol=protocol, clips=["ann/one"])
    method.window = Window(frames=1, references=2, size=SIZE, reference_rule="first")
    evaluate(prepared, {"copier": method}, out=tmp_path / "rule", protocol="native", clips=["ann/one"])
    first, native, rule = (references for _, references, _ in method.asked)
    assert first == [0]
    assert len(set(native)) == 3
    assert max(native) < talking.LENGTHS["ann/one"]
    assert rule == [0, 1]


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
