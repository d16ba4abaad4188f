"""`dubbench speed`: what is counted, against networks whose figures can be worked out by hand, and what is kept."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d  # type: ignore[import-untyped]

from dubbench.cli import main
from dubbench.core.config_names import resolve
from dubbench.datamodules.batch import Window
from dubbench.datamodules.clip import PreparedClip
from dubbench.datamodules.geometry import read_geometry
from dubbench.errors import DubbenchError
from dubbench.models.base import DubbingModel
from dubbench.models.parts import part
from dubbench.models.radio.module import Radio
from dubbench.speed.clip import find_clip, shortened
from dubbench.speed.count import count
from dubbench.speed.measure import measure
from tests.board.test_leaderboard import ENDS, results
from tests.datamodules import miniature

CLIPS = [miniature.Clip("anna/long", 20), miniature.Clip("anna/short", 6), miniature.Clip("bert/one", 8)]
FACE = miniature.face_model()
SIDE = 16


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = miniature.make(tmp_path_factory.mktemp("speed"), CLIPS)
    miniature.write_geometry(folder, CLIPS, FACE)
    return folder


class ByHand(DubbingModel):
    """Networks whose multiply-adds are plain products; ``idle`` is never run."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(frames=1, references=0, size=SIDE)
        self.hear = nn.Linear(640, 12)
        layer = nn.TransformerEncoderLayer(12, 2, 20, batch_first=True)
        self.think = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.draw = nn.Conv2d(3, 8, 3, 2, 1)
        self.groups = nn.Conv2d(8, 8, 5, 1, 2, groups=4, bias=False)
        self.bend = nn.Parameter(torch.randn(6, 8, 3, 3) / 10)
        self.idle = nn.Linear(7, 9)
        self.seen = 0

    def dub(
        self,
        clip: PreparedClip,
        speech: NDArray[np.float32],
        references: Sequence[int],
        precision: torch.dtype | None = None,
        start: int = 0,
    ) -> Iterator[NDArray[np.uint8]]:
        self.seen = len(references)
        with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision is not None):
            with part("audio"):
                self.think(self.hear(torch.as_tensor(speech).view(1, len(clip), 640)))
            for frame in islice(clip.stream(SIDE), start, None):
                picture = torch.as_tensor(frame).permute(2, 0, 1)[None] / 255
                with part("renderer"):
                    drawn = self.groups(self.draw(picture))
                    self.bent(drawn)
                tokens = drawn.flatten(2).transpose(1, 2)[:, None]
                F.scaled_dot_product_attention(tokens, tokens, tokens)
                yield frame

    def bent(self, drawn: Tensor) -> Tensor:
        """A deformable convolution without a bend."""
        still: Tensor = deform_conv2d(drawn.float(), drawn.new_zeros(1, 18, 8, 8).float(), self.bend, padding=1)
        return still


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_counts_are_those_worked_out_by_hand_in_every_precision(root: Path, precision: torch.dtype | None) -> None:
    clip = PreparedClip(root, "bert/one")
    model = ByHand().eval()
    speed = measure(model, clip, 1, precision)
    frames, pixels = 8, 8 * 8
    layer = 12 * 36 + 12 * 12 + 2 * 12 * 20 + 2 * frames * 12  # a token: three projections, out, MLP, two products
    audio = 640 * 12 + 2 * layer
    renderer = pixels * (3 * 9 * 8 + 2 * 25 * 8 + 8 * 9 * 6)
    rest = 2 * pixels * pixels * 8
    assert [(cost.part, cost.multiply_adds) for cost in speed.parts] == [("audio", audio), ("renderer", renderer)]
    assert speed.rest.multiply_adds == rest
    assert speed.total.multiply_adds == audio + renderer + rest
    normed = 12 * 36 + 36 + 12 * 12 + 12 + 2 * 12 * 20 + 20 + 12 + 4 * 12
    assert [cost.parameters for cost in speed.parts] == [
        640 * 12 + 12 + 2 * normed,
        3 * 9 * 8 + 8 + 2 * 25 * 8 + 8 * 9 * 6,
    ]
    assert speed.rest.parameters == 7 * 9 + 9
    assert speed.total.parameters == model.parameter_count()
    assert model.seen == speed.frames == 8


class Unready(ByHand):
    """Dubs only what it was made ready for."""

    ready: Path | None = None

    def make_ready(self, root: Path) -> None:
        self.ready = root

    def dub(self, *given: Any, **options: Any) -> Iterator[NDArray[np.uint8]]:  # noqa: ANN401
        if self.ready is None:
            raise DubbenchError("not ready")
        return super().dub(*given, **options)


def test_rows_are_printed_as_json(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speed(root, tmp_path, "tests.speed.test_speed.Unready", "--frames", "2", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == read(tmp_path)
    assert f"next:    dubbench leaderboard {tmp_path} --html " in told.err


def test_fresh_weights_are_made_ready_first(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speed(root, tmp_path, "tests.speed.test_speed.Unready", "--frames", "2") == 0
    assert len(read(tmp_path)) == 4
    model = Unready()
    content: dict[str, Any] = {"state_dict": model.state_dict(), "hyper_parameters": {}}
    model.on_save_checkpoint(content)
    torch.save(content, tmp_path / "trained.ckpt")
    trained = ["--frames", "2", "--ckpt_path", str(tmp_path / "trained.ckpt")]
    assert speed(root, tmp_path, "tests.speed.test_speed.Unready", *trained) == 1
    assert "not ready" in capsys.readouterr().err


def test_networks_are_those_called_from_outside(root: Path) -> None:
    model, clip = ByHand().eval(), PreparedClip(root, "anna/short")

    def work() -> None:
        for _ in model.dub(clip, clip.speech(), [0]):
            pass

    found = count(model, work)
    assert found.networks == [model.hear, model.think, model.draw, model.groups]


def test_parts_and_rest_make_up_the_total_of_one_pass(root: Path) -> None:
    speed = measure(ByHand().eval(), PreparedClip(root, "bert/one"), 3)
    assert speed.repeats == 3
    assert sum(cost.seconds for cost in (*speed.parts, speed.rest)) == pytest.approx(speed.total.seconds, rel=1e-9)
    for cost in (speed.total, *speed.parts, speed.rest):
        assert 0 < cost.low <= cost.seconds <= cost.high
    weights = sum(p.numel() * p.element_size() for p in ByHand().parameters())
    assert weights < speed.memory < 2**36


def test_what_dub_calls_is_compiled(root: Path) -> None:
    torch._dynamo.reset()
    clip = PreparedClip(root, "anna/short")
    torch._dynamo.utils.counters.clear()
    compiled = measure(ByHand().eval(), clip, 1, backend="eager")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 4  # hear, think, draw, groups
    assert compiled.total.multiply_adds == measure(ByHand().eval(), clip, 1).total.multiply_adds
    with pytest.raises(DubbenchError, match="leave --compile out"):
        measure(ByHand().eval(), clip, 1, backend="nonsense")


def test_a_clip_is_cut_to_its_first_frames(root: Path, tmp_path: Path) -> None:
    whole = PreparedClip(root, "anna/long")
    cut = shortened(whole, 7, tmp_path)
    first = list(range(7))
    assert len(cut) == len(list(cut.stream())) == 7
    for got, wanted in (
        (cut.frames(first), whole.frames(first)),
        (cut.speech(), whole.speech(0, 7)),
        (cut.aligned_points(), whole.aligned_points(first)),
        (cut.detected(), whole.detected(first)),
        (read_geometry(cut, FACE.hash()).pose, read_geometry(whole, FACE.hash()).pose[:7]),
    ):
        np.testing.assert_array_equal(got, wanted)
    assert shortened(whole, 20, tmp_path) is whole


def test_which_clip_is_taken(root: Path) -> None:
    assert find_clip(root, None, 6).info.clip == "anna/long"
    assert find_clip(root, "bert/one", 6).info.clip == "bert/one"
    assert find_clip(root, None, 1000).info.clip == "anna/long"


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "speed.csv").open() as file:
        return list(csv.DictReader(file))


def speed(root: Path, out: Path, model: str, *words: str) -> int:
    given = {"--root": str(root), "--device": "cpu", "--repeats": "1"}
    ours = [word for option, value in given.items() if option not in words for word in (option, value)]
    return main(["speed", "--model", model, *ours, "--out", str(out), *words])


@pytest.mark.parametrize(
    ("name", "parts", "words"),
    [
        ("radio_tiny", ["generator", "mel"], []),
        ("personatalk_tiny", ["speech to geometry", "maps", "renderer"], ["--model.vertices", "64"]),
        ("g4g_tiny", ["generator", "mel"], []),
    ],
)
def test_rows_of_a_method(
    name: str, parts: list[str], words: list[str], root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert speed(root, tmp_path, name, "--frames", "5", *words) == 0
    total, *others = rows = read(tmp_path)
    assert [row["part"] for row in rows] == ["total", *parts, "rest"]
    for column in ("ms", "parameters", "multiply_adds"):
        values = [float(row[column]) for row in others]
        assert sum(values) == pytest.approx(float(total[column]), rel=1e-4, abs=len(rows))
        assert min(values) >= 0
    assert float(total["fps"]) == pytest.approx(1000 / float(total["ms"]), rel=1e-4)
    assert (total["model"], total["frames"], total["weights"]) == (name, "5", "fresh, seed 0")
    assert (total["precision"], total["compile"], total["threads"]) == ("float32", "", str(torch.get_num_threads()))
    # The network is all that is in these, and nothing of it lies idle but what only training needs: HuBERT's embedding
    # of masked speech, and the temperature of G4G's contrastive term.
    assert others[-1]["parameters"] in ("0", "64", "1")
    printed_table = capsys.readouterr().out
    assert all(part in printed_table for part in parts)


def test_the_size_is_that_of_aligned_frames(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not of the mouth region, which the window of a method for face crops is about."""
    asked: list[int] = []

    def demo(size: int, *more: object) -> Path:
        asked.append(size)
        return root

    monkeypatch.setattr("dubbench.speed.clip.demo_clip", demo)
    words = ["--frames", "1", "--repeats", "1", "--device", "cpu", "--out", str(tmp_path)]
    for name in ("radio_tiny", "g4g_tiny"):
        assert main(["speed", "--model", name, *words]) == 0
    assert [row["size"] for row in read(tmp_path) if row["part"] == "total"] == ["96", "192"]
    assert asked == [96, 192]


def test_parameters_are_the_models_own_count(root: Path, tmp_path: Path) -> None:
    assert speed(root, tmp_path, "radio_tiny", "--frames", "1") == 0
    options = yaml.safe_load(Path(resolve("model", "radio_tiny")).read_text())["init_args"]
    assert int(read(tmp_path)[0]["parameters"]) == Radio(**options).parameter_count()


def test_a_new_measurement_takes_the_place_of_the_old(root: Path, tmp_path: Path) -> None:
    for words in (["--frames", "2"], ["--frames", "2", "--precision", "bfloat16"], ["--frames", "3"]):
        assert speed(root, tmp_path, "radio_tiny", *words) == 0
    totals = [(row["precision"], row["frames"]) for row in read(tmp_path) if row["part"] == "total"]
    assert totals == [("bfloat16", "2"), ("float32", "3")]
    assert speed(root, tmp_path, "radio_tiny", "--frames", "3", "--method", "other") == 0
    rows = read(tmp_path)
    assert [row["model"] for row in rows if row["part"] == "total"] == ["radio_tiny", "radio_tiny", "other"]
    keys = [tuple(row[name] for name in ("model", "precision", "part")) for row in rows]
    assert len(set(keys)) == len(keys)


def test_leaderboard_shows_speeds_in_a_second_table_with_papers_marked(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored = results(tmp_path / "scored", {**ENDS, "radio": (29.0, 1.4)})
    board = tmp_path / "board.csv"
    assert main(["leaderboard", str(scored), "--out", str(board)]) == 0
    before, alone = board.read_bytes(), capsys.readouterr().out
    assert "†" not in alone
    assert speed(root, scored, "radio_tiny", "--frames", "2") == 0
    capsys.readouterr()
    assert main(["leaderboard", str(scored), "--out", str(board)]) == 0
    shown = capsys.readouterr().out
    assert board.read_bytes() == before
    assert shown.startswith(alone)
    second = shown.removeprefix(alone).splitlines()
    marked = [line.split() for line in second if re.match(r"\s+†", line)]
    assert len(marked) == 12
    assert ["†", "RealTalk", "total", "RealTalk,", "Table", "1", "30.00"] in marked
    assert ["†", "Blocks=3", "renderer", "RealTalk,", "Table", "7", "85.96", "M", "38.65"] in marked
    (own,) = (line for line in second if "radio_tiny" in line)
    assert "†" not in own
    assert any(line.startswith("† printed in a paper") and "not measured here" in line for line in second)


def test_leaderboard_of_speeds_alone(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speed(root, tmp_path, "radio_tiny", "--frames", "2") == 0
    capsys.readouterr()
    out = ["--out", str(tmp_path / "board.csv")]
    for place in (tmp_path, tmp_path / "speed.csv"):
        assert main(["leaderboard", str(place), *out]) == 0
        assert "radio_tiny" in capsys.readouterr().out
    assert not (tmp_path / "board.csv").exists()
    text = (tmp_path / "speed.csv").read_text()
    (tmp_path / "speed.csv").write_text(text.replace(",mel,0,", ",mel,none,"))
    assert main(["leaderboard", str(tmp_path), *out]) == 1
    assert "holds 'none' for parameters; remove it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "words", "sentence"),
    [
        ("radoi", [], "no model is called 'radoi'; there are "),
        ("radio_tiny", ["--clip", "anna/none"], "has no clip 'anna/none' but 3 others, such as anna/long"),
        ("radio_tiny", ["--frames", "0"], "--frames 0 leaves nothing to time; give 1 or more"),
        ("radio_tiny", ["--repeats", "0"], "--repeats 0 leaves nothing to time; give 1 or more"),
        ("radio_tiny", ["--device", "cuda:99"], "device 'cuda:99' cannot be used here; `--device cpu` always works"),
        ("radio_tiny", ["--root", "nowhere"], "nowhere is not a prepared folder"),
        ("radio_tiny", ["--ckpt_path", "no.ckpt"], "there is no checkpoint no.ckpt"),
        ("sync_expert_tiny", [], "SyncExpert generates no frames"),
        ("personatalk_tiny", [], "but this PersonaTalk is for mesh with 468; give the matching"),
        ("personatalk_tiny", ["--model.geometry", "bfm"], "holds no face model face_bfm.npz; run dubbench prepare"),
    ],
)
def test_wrong_input_is_one_sentence(
    model: str, words: list[str], sentence: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert speed(root, tmp_path / "out", model, *words, "--quiet") == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_clip_without_its_folder_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--model", "radio_tiny", "--clip", "anna/long"]) == 1
    assert "give that with --root" in capsys.readouterr().err


def test_without_a_folder_a_clip_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["--frames", "2", "--repeats", "1", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["speed", "--model", "radio_tiny", *words]) == 0
    assert (read(tmp_path / "out")[0]["size"], read(tmp_path / "out")[0]["frames"]) == ("96", "2")
    assert list((tmp_path / "cache").glob("dubbench/speed/96/*/*/clip.json"))
