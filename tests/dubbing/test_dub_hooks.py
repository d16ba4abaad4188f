"""What a method of somebody's own tells `dubbench dub`: where it may be pasted, and that it is not ready."""

from pathlib import Path

import pytest

from dubbench.cli import main
from tests.dubbed import checkpoint, face_video, planes, tone

ABOVE = 40  # rows of 128 above the lower face

SOURCE = """
from itertools import islice

import numpy as np

from dubbench.datamodules.batch import Window
from dubbench.errors import DubbenchError
from dubbench.models.base import DubbingModel


class Negative(DubbingModel):
    def __init__(self, trained=True, everywhere=False):
        super().__init__()
        self.save_hyperparameters()
        self.window = Window(frames=1, references=0, size=64)
        self.batch_size = self.iterations = 1

    def check_trained(self):
        if not self.hparams["trained"]:
            raise DubbenchError("this Negative was never trained; train it")

    def paste_region(self, points, size):
        if not self.hparams["everywhere"]:
            return super().paste_region(points, size)
        return np.ones((size, size), bool)

    def dub(self, clip, speech, references, precision=None, start=0):
        for frame in islice(clip.stream(64), start, None):
            yield 255 - frame
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "negative.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    face_video(tmp_path / "source.mp4", 4)
    tone(tmp_path / "tone.wav", 4 / 25)
    return tmp_path


def dub(folder: Path, name: str, **options: bool) -> int:
    from negative import Negative  # type: ignore[import-not-found]

    ckpt = checkpoint(folder / f"{name}.ckpt", Negative(**options))
    words = ["--ckpt_path", str(ckpt), "--video", str(folder / "source.mp4"), "--audio", str(folder / "tone.wav")]
    words += ["--crf", "0", "--device", "cpu", "--out", str(folder / f"{name}.mp4")]
    return main(["dub", "--model", "negative.Negative", *words, "--quiet"])


def test_a_method_says_where_its_frames_are_pasted(folder: Path) -> None:
    assert dub(folder, "face") == dub(folder, "square", everywhere=True) == 0
    before, face, square = (planes(folder / name)[2][0] for name in ("source.mp4", "face.mp4", "square.mp4"))
    assert (face != before)[ABOVE:].any()
    assert not (face != before)[:ABOVE].any()
    assert (square != before)[:ABOVE].mean() > 0.5


def test_what_is_not_ready_is_said_before_anything_is_prepared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dub(folder, "never", trained=False) == 1
    assert capsys.readouterr().err == "dubbench: this Negative was never trained; train it\n"
    assert not (folder / "never.mp4.work").exists()
