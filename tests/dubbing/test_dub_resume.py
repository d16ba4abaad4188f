"""Dubbing that is killed, at any moment and in any way, goes on and ends with the bytes of one run."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dubbench.cli import main
from dubbench.core.locks import claimed
from dubbench.dubbing import dub as dubbing
from dubbench.dubbing import render
from dubbench.errors import DubbenchError
from dubbench.media.segments import PlaneWriter
from dubbench.models.radio.module import Radio
from tests import ROOT
from tests import dubbed as making
from tests.dubbed import dubbed, run, tone

FRAMES = 12


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return making.inputs(tmp_path_factory.mktemp("inputs"), FRAMES)


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "SEGMENT", 8)


class Killed(Exception):
    """In place of a kill."""


def die(*args: object) -> None:
    raise Killed


def until(step: str, frames: int) -> Callable[[str, int], Any]:
    """Show nothing, and die after so many frames of a step."""

    @contextmanager
    def shown(name: str, total: int) -> Iterator[Callable[[int], None]]:
        seen = [0]

        def tell(count: int) -> None:
            seen[0] += count
            if name == step and seen[0] >= frames:
                raise Killed

        yield tell

    return shown


def test_it_goes_on_where_it_was(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed again and again, with a video that goes back and forth, it ends with the bytes of one run."""
    tone(tmp_path / "tone.wav", 1.2)
    starts: list[int] = []
    dub = Radio.dub

    def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        starts.append(options["start"])
        return dub(*args, **options)

    monkeypatch.setattr(Radio, "dub", counted)
    given = (inputs / "radio.ckpt", inputs / "face.mp4", tmp_path / "tone.wav")
    dubbed(tmp_path, *given, out="whole.mp4")
    assert not (tmp_path / "whole.mp4.work").exists()
    for step, frames in (("dub", 11), ("dub", 13), ("dub", 26)):
        with pytest.raises(Killed):
            dubbed(tmp_path, *given, shown=until(step, frames))
    with monkeypatch.context() as patch:
        patch.setattr(dubbing, "join", die)
        with pytest.raises(Killed):
            dubbed(tmp_path, *given)
    assert starts == [0, 0, 8, 8, 24]
    dubbed(tmp_path, *given)
    assert starts == [0, 0, 8, 8, 24]
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "tone.wav", "whole.mp4"]


def command(inputs: Path, out: Path, segment: int = 8) -> "subprocess.Popen[str]":
    code = f"""
import sys
from dubbench.dubbing import render
from dubbench.cli import main
render.SEGMENT = {segment}
sys.exit(main(sys.argv[1:]))
"""
    words = ["--ckpt_path", "radio.ckpt", "--video", "face.mp4", "--audio", "long.wav", "--length", "speech"]
    return subprocess.Popen(
        [sys.executable, "-c", code, "dub", *words, "--out", str(out)],
        cwd=inputs,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_killed_process_goes_on(inputs: Path, tmp_path: Path) -> None:
    tone(inputs / "long.wav", 2)
    process = command(inputs, tmp_path / "out.mp4")
    deadline = time.monotonic() + 120
    while not (tmp_path / "out.mp4.work" / "segment-00002.mp4").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out.mp4.work").glob("segment-*")}
    assert 3 <= len(made) < 7
    options = {"audio": "long.wav", "length": "speech"}
    run(inputs, tmp_path, keep=True, **options)
    for name, moment in made.items():
        assert (tmp_path / "out.mp4.work" / name).stat().st_mtime_ns == moment
    run(inputs, tmp_path, out="whole.mp4", **options)
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert not list(tmp_path.glob("*.work/.*"))


def test_killed_before_it_said_whose_the_folder_is_it_begins(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4.work").mkdir()
    (tmp_path / "out.mp4.work/.dub.0.tmp.json").write_text("{")
    run(inputs, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_other_arguments_begin_anew(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path, out="lossless.mp4", crf=0)
    with pytest.raises(Killed):
        run(inputs, tmp_path, shown=until("dub", 11))
    said: list[str] = []
    run(inputs, tmp_path, crf=0, say=said.append)
    assert "holds work with another crf, which is begun anew" in said[0]
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "lossless.mp4").read_bytes()
    (tmp_path / "out.mp4.work").mkdir()
    (tmp_path / "out.mp4.work" / "thesis.txt").write_text("mine")
    with pytest.raises(DubbenchError, match="is no work folder of dubbench dub"):
        run(inputs, tmp_path)
    assert (tmp_path / "out.mp4.work" / "thesis.txt").read_text() == "mine"


def test_a_full_disk_keeps_the_work(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, written = PlaneWriter.write, []

    def full(writer: PlaneWriter, planes: Any) -> None:  # noqa: ANN401
        written.append(0)
        if len(written) == 10:
            raise OSError(errno.ENOSPC, "no space left")
        write(writer, planes)

    monkeypatch.setattr(PlaneWriter, "write", full)
    given = ["--ckpt_path", inputs / "radio.ckpt", "--audio", inputs / "tone.wav", "--video", inputs / "face.mp4"]
    words = ["dub", *map(str, given), "--out", str(tmp_path / "out.mp4")]
    assert main(words) == 1
    assert "no room left to write" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("*.work/segment*")] == ["segment-00000.mp4"]
    assert main(words) == 0
    assert len(written) == 10 + 4
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_one_run_at_a_time(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(inputs, tmp_path, shown=until("dub", 11))
    with (
        claimed(tmp_path / "out.mp4.work", "dub"),
        pytest.raises(DubbenchError, match="another dubbench dub is writing to"),
    ):
        run(inputs, tmp_path)
