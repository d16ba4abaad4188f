"""The demo on two sentences, its methods trained for a few batches: whole, again, stopped at any moment, and wrong."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dubbench.cli import main
from dubbench.commands import demo
from dubbench.core.progress import REDRAWN
from dubbench.demo import recipes, steps
from dubbench.demo.display import Display, makespan
from dubbench.demo.recipes import MINUTES, RECIPES, Recipe, Training
from tests import ROOT, scored

# A checkpoint every batch.
EXPERT = Training("sync_expert_tiny", steps=2, seconds=20, batch_size=2, what="train the sync expert")
NO_ADVERSARY = ("--model.adversarial.weight", "0")
RADIO = Training("radio_tiny", steps=4, seconds=40, batch_size=1, words=NO_ADVERSARY, previous="--model.sync_expert")
G4G = Training("g4g_tiny", steps=6, seconds=60, batch_size=1)
SMALL = {"radio": Recipe("RADIO", [EXPERT, RADIO]), "g4g": Recipe("G4G", [G4G])}
STEPS = 1 + 3 + 2 + 1
SIDE = 192
# The processes of the chains make the corpus, and know nothing of what a test changes in this one.
SHORT = (
    "from dubbench.datamodules.sources import demo as d; "
    "d.SENTENCES = {name: d.SENTENCES[name] for name in ('de-6', 'es-2')}; "
)
CHAIN = SHORT + demo.CHAIN


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        yield


def make_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recipes, "RECIPES", SMALL)
    patch.setattr(steps, "SIZE", SIDE)
    patch.setattr(demo, "CHAIN", CHAIN)
    patch.setattr(demo, "ALONE", 1)  # so that a method alone has the values that it has beside others


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an undisturbed demo."""
    out = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--out", str(out), "--workers", "2"]) == 0
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def clips(copied: Path) -> Path:
    """A folder whose clips are prepared, and nothing trained."""
    for name in ("trainings", "results"):
        shutil.rmtree(copied / name)
    for record in (copied / "steps").iterdir():
        if record.name != "corpus.json":
            record.unlink()
    return copied


def times(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def values(out: Path) -> dict[tuple[str, str], str]:
    """All values of G4G and of both ends of the scale, but what time it took."""
    rows = scored.table(out / "results" / "g4g")
    return {key: row["value"] for key, row in rows.items() if "seconds" not in key[1]}


def test_a_second_run_does_nothing_again_and_says_where_all_is(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "CHAIN", "raise SystemExit('a process was started')")
    before = times(copied)
    assert main(["demo", "--out", str(copied)]) == 0
    assert times(copied) == before
    told = capsys.readouterr()
    lines = [line for line in told.out.splitlines() if line.startswith("  ") and line.strip()]
    rows = [line.split()[0] for line in lines[1:]]
    assert rows[:2] == ["ground_truth", "copy_reference"]
    assert set(rows[2:]) == {"radio_tiny", "g4g_tiny"}
    assert f"reused:  {STEPS} of {STEPS} steps were done before" in told.err
    page = copied / "leaderboard.html"
    assert f"output:  {page}, and as a table {copied / 'leaderboard.csv'}" in told.err
    assert "radio_tiny" in page.read_text()
    assert len(list(copied.glob("results/*/videos/*_tiny/**/*.mp4"))) == len(SMALL)


def test_one_method_alone(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(copied / "trainings" / "radio-1")
    assert main(["demo", "--out", str(copied), "--method", "g4g"]) == 0
    assert "radio" not in capsys.readouterr().out
    assert not (copied / "trainings" / "radio-1").exists()
    assert "radio" not in (copied / "leaderboard.csv").read_text()


def test_a_longer_demo_goes_on_with_what_was_trained(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--out", str(copied), "--method", "g4g", "--minutes"]
    assert main([*words, "10"]) == 0
    assert "8 batches, 2 of them now" in (copied / "logs" / "g4g.log").read_text()
    assert "anew" not in capsys.readouterr().out
    assert G4G.length(10) == (8, 1)


STOPS = [
    ("corpus/**/*.mp4", signal.SIGKILL),
    ("trainings/*/checkpoints/last.ckpt", signal.SIGINT),
    ("results/*/parts", signal.SIGKILL),
]


def test_stopped_at_any_moment_it_goes_on_and_ends_with_the_same_values(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for pattern, how in STOPS:
        process = started(out)
        while not any(out.glob(pattern)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        assert (own := of_demo(out)) != []
        os.killpg(process.pid, how)
        _, said = process.communicate(timeout=60)
        if how == signal.SIGINT:
            assert process.returncode == 130
            assert said.splitlines()[-1] == "dubbench: interrupted; the same command goes on where it was"
            assert "Traceback" not in said
        end = time.monotonic() + 20
        while of_demo(out):
            assert time.monotonic() < end, own
            time.sleep(0.05)
    assert main(["demo", "--out", str(out), "--method", "g4g"]) == 0
    assert values(out) == values(finished)


def started(out: Path) -> "subprocess.Popen[str]":
    """A demo in a process group of its own, which a test can end."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import pytest; "
        "from tests.commands.test_demo import make_small; make_small(pytest.MonkeyPatch()); "
        "from dubbench.cli import run; run()"
    )
    words = [sys.executable, "-c", code, "demo", "--out", str(out), "--method", "g4g"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def of_demo(out: Path) -> Sequence[str]:
    """Processes of the demo's chains: their command lines name its folder."""
    found = subprocess.run(["ps", "-wweo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in found if str(out) in line]


def test_what_goes_wrong_in_one_chain_is_one_sentence(
    clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Training("g4g_tiny", steps=6, seconds=60, batch_size=1, words=("--model.size", "60"))
    long = Training("radio_tiny", steps=10_000, seconds=1, words=RECIPES["radio"].trainings[0].words)
    made = {"radio": Recipe("RADIO", [long]), "g4g": Recipe("G4G", [wrong])}
    monkeypatch.setattr(recipes, "RECIPES", made)
    assert main(["demo", "--out", str(clips), "--workers", "2"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("dubbench: the demo stopped at G4G, train: ")
    assert "take a multiple of 8" in said
    assert str(clips / "logs" / "g4g.log") in said
    assert of_demo(clips) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["--minutes", "0"], "--minutes is 0; give more than 0"), (["--workers", "0"], "--workers is 0; give at least 1")],
)
def test_wrong_numbers_are_told(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "out"), *words]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_longer_trainings_begin_as_shorter_ones() -> None:
    """Epochs of one length: a checkpoint of a shorter demo is one of the longer demo, too."""
    for training in (each for recipe in RECIPES.values() for each in recipe.trainings):
        short, long, longest = (training.length(minutes) for minutes in (4, MINUTES, 30))
        assert short[0] < long[0] < longest[0]
        assert short[1] == long[1] == longest[1]
        assert all(steps % between == 0 for steps, between in (short, long, longest))
        assert abs(long[0] - training.steps) <= long[1]


def test_a_line_a_running_chain_and_one_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    whole = steps.plan(tmp_path, SMALL, MINUTES, 2)
    radio, g4g = whole.methods
    with Display(whole, 2) as display:
        display.hear(whole.corpus, {"step": 0, "finished": True})
        display.hear(radio, {"step": 1, "done": 1, "of": 4})
        time.sleep(REDRAWN)
        display.show()
        before = display.left()
        display.hear(radio, {"step": 1, "done": 3, "of": 4})
        assert display.left() < before
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(rf"demo .* 1 of {STEPS} steps done, 0:00:00 gone, about 0:0\d:\d\d left", lines)
    assert re.search(r"RADIO .* train \(step 2 of 3\), 1 of 4 batches", lines)
    assert g4g.title not in lines


def test_chains_side_by_side_take_as_long_as_the_busiest_worker() -> None:
    assert makespan([5, 4, 3, 3], 2) == 8
    assert makespan([], 2) == 0
