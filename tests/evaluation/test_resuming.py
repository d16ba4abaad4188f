import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dubbench.datamodules.clip import PreparedClip
from dubbench.evaluation.evaluate import evaluate
from tests.evaluation.methods import CLIPS, Copier, Image
from tests.scored import clip_values, table, values


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


def test_rows_that_come_of_all_the_same_are_taken_over(scored: Path, prepared: Path, tmp_path: Path) -> None:
    """The ground truth's and the still picture's, byte for byte; the method's own where its weights are the same."""
    other, method, tally = tmp_path / "other", Copier(), Counter[str]()
    shutil.copytree(scored, other)
    (other / "videos/copy_reference/ann/one.mp4").unlink()
    changed = other / "parts/ground_truth/bob/one.json"
    changed.write_text(changed.read_text().replace('"mse": 0.0', '"mse": 0.5'))
    with torch.no_grad():
        method.shade.add_(40)
    out = evaluate(
        prepared, {"copier": method}, out=tmp_path / "out", seed=3, tally=tally, reuse=[tmp_path / "none", other]
    )
    assert tally == {"kept": 4, "scored": 5}, "not what lacks a file, was changed, or is another method"
    for name in ("ground_truth", "copy_reference"):
        assert values(out, name) == values(scored, name)
        for clip in CLIPS:
            video = f"videos/{name}/{clip}.mp4"
            assert (out / video).read_bytes() == (scored / video).read_bytes()
    again = Counter[str]()
    evaluate(prepared, {"copier": Copier()}, out=tmp_path / "same", seed=3, tally=again, reuse=[scored])
    assert again == {"kept": 9}
    under_another = Counter[str]()
    evaluate(prepared, {}, out=tmp_path / "cross", protocol="cross", tally=under_another, reuse=[scored])
    assert under_another["kept"] == 0
