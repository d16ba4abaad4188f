"""The door: help and verbs that need no network load nothing heavy, and Ctrl-C while loading is one line."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from dubbench import commands
from dubbench.board.videos import How
from dubbench.cli import VERBS, main
from dubbench.dubbing.clips import Span
from dubbench.figures.strip import MARGIN
from tests import ROOT, boards

HEAVY = ["torch", "torchvision", "lightning", "torchmetrics", "mediapipe", "transformers", "librosa", "pandas", "scipy"]
HEAVY += ["cv2", "matplotlib", "sklearn", "onnxruntime", "jsonargparse", "numba", "pyarrow", "skimage"]
ACTIONS = {
    "figure": ("attention", "robustness", "strip", "styles"),
    "study": ("make", "score"),
    "assets": ("list", "pull", "verify"),
}
# Prints for each command line on its standard input, one a line as JSON, its status and what it was first to load.
PROBE = f"""
import contextlib, io, json, sys
from dubbench.cli import main
before = set()
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()):
        status = main(json.loads(line))
    loaded = {{name for name in {HEAVY} if name in sys.modules}}
    print(json.dumps([status, sorted(loaded - before)]))
    before = loaded
"""


def loaded(*calls: list[str], cwd: Path = ROOT) -> dict[str, tuple[int, list[str]]]:
    """By command line, its status and the heavy modules that it was the first to load."""
    lines = "".join(json.dumps(words) + "\n" for words in calls)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", PROBE], input=lines, capture_output=True, text=True, check=True, cwd=cwd, env=env
    )
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    return {" ".join(words): (status, found) for words, (status, found) in zip(calls, answers, strict=True)}


def test_help_loads_nothing_heavy() -> None:
    calls = [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)]
    calls += [[verb, action, "--help"] for verb, actions in ACTIONS.items() for action in actions]
    assert {words: said for words, said in loaded(*calls).items() if said != (0, [])} == {}


def test_choices_are_those_of_what_the_verbs_drive() -> None:
    """They are written out in the verbs, since what has them is slow to load."""
    choices = {
        ("dub", "--length"): set(Span.RULES),
        ("figure", "--zoom"): set(MARGIN),
        ("leaderboard", "--videos"): set(get_args(How)),
    }
    found = {}
    for verb, option in choices:
        parser = argparse.ArgumentParser()
        import_module(f"dubbench.commands.{verb}").add_arguments(parser)
        inner = [
            each for action in parser._actions if isinstance(action.choices, dict) for each in action.choices.values()
        ]
        actions = [action for each in (parser, *inner) for action in each._actions]
        found[verb, option] = {
            choice for action in actions if option in action.option_strings for choice in action.choices or ()
        }
    assert found == choices


def test_wrong_words_load_nothing_heavy() -> None:
    calls = [["eval", "--dataset", "grid"], ["speed", "--model", "radio", "--frames", "0"], ["fit", "--lr", "1"]]
    assert [status for status, found in loaded(*calls).values() if not found] == [1, 1, 2]


def test_reading_verbs_load_nothing_heavy(tmp_path: Path) -> None:
    scores = {"ours": {"psnr": np.linspace(20, 30, 12)}, "theirs": {"psnr": np.linspace(21, 29, 12)}}
    results = str(boards.results(tmp_path / "results", scores))
    calls = [["protocol"], ["protocol", "first_frame"], ["assets"], ["corpus"], ["corpus", "grid"]]
    calls += [["leaderboard", results], ["leaderboard", "--paper", "radio:1"], ["leaderboard", results, "--html", "x"]]
    calls += [["compare", "baseline.csv", results, "--accept"], ["compare", "baseline.csv", results]]
    assert {words: said for words, said in loaded(*calls, cwd=tmp_path).items() if said != (0, [])} == {}


def test_long_verbs_say_what_begins_before_they_load_anything_heavy(tmp_path: Path) -> None:
    pair, weights = ["--model", "radio_tiny", "--dataset", "grid"], ["--ckpt_path", "x.ckpt"]
    calls = {
        "prepare grid from videos": ["prepare", "--dataset", "grid", "--root", "videos", "--out", "clips"],
        "fit radio_tiny on grid": ["fit", *pair],
        "validate radio_tiny on grid": ["validate", *pair, *weights],
        "eval radio_tiny on grid under fair": ["eval", *pair, *weights, "--protocol", "fair"],
        "score a.mp4 against b.mp4": ["score", "--pred", "a.mp4", "--target", "b.mp4"],
        "dub a.mp4 with b.wav": ["dub", *weights, "--video", "a.mp4", "--audio", "b.wav", "--out", "o.mp4"],
        "speed of radio_tiny": ["speed", "--model", "radio_tiny"],
        "export x.ckpt": ["export", *weights, "--out", "o.onnx"],
        "ablate radio on grid": ["ablate", "--model", "radio", "--dataset", "grid", "--steps", "1"],
        "figure strip": ["figure", "strip", "results", "--clip", "a", "--out", "o.png"],
    }
    barred = f"""
import json, sys
from dubbench.cli import main
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name in {HEAVY}:
            raise SystemExit("heavy")
sys.meta_path.insert(0, Barred())
for line in sys.stdin:
    main(json.loads(line))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    lines = "".join(json.dumps(words) + "\n" for words in calls.values())
    run = subprocess.run(
        [sys.executable, "-c", barred], input=lines, capture_output=True, text=True, env=env, cwd=tmp_path
    )
    assert run.stderr.splitlines() == [line for what in calls for line in (f"{what}: loading ...", "dubbench: heavy")]


def test_ctrl_c_while_loading_is_one_line_though_a_library_catches_it(tmp_path: Path) -> None:
    (tmp_path / "lightning.py").write_text(
        "import time\nfrom pathlib import Path\n"
        f"Path({str(tmp_path / 'here')!r}).touch()\n"
        "for _ in range(600):\n    try:\n        time.sleep(0.1)\n    except:\n        pass\n"
    )
    # A shell's background job ignores Ctrl-C, and so would whatever it starts.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from dubbench.cli import run; run()"
    )
    words = [sys.executable, "-c", code, "eval", "--dataset", "grid", "--videos", str(tmp_path), "--quiet"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=tmp_path)
    while not (tmp_path / "here").is_file():
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=300)
    assert (run.returncode, out) == (130, "")
    assert err == "dubbench: interrupted; the same command goes on where it was\n"


def turned(error: BaseException, told: str = "") -> None:
    """Raise what a library makes of Ctrl-C."""
    try:
        raise KeyboardInterrupt(*filter(None, [told]))
    except KeyboardInterrupt as interrupt:
        raise error from interrupt


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), ""),
        (ImportError("initialization failed"), ""),
        (SystemExit(1), ""),
        (RuntimeError("cleaning up failed"), "stopped; finished clips are kept"),
    ],
)
def test_ctrl_c_is_told_whatever_a_library_makes_of_it(
    error: BaseException, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "call", lambda *_: turned(error, told))
    assert main(["protocol"]) == 130
    sentence = told or "interrupted; the same command goes on where it was"
    assert capsys.readouterr().err == f"dubbench: {sentence}\n"


def test_faults_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> int:
        raise ValueError("a fault")

    monkeypatch.setattr(commands, "call", fails)
    with pytest.raises(ValueError, match="a fault"):
        main(["protocol"])
