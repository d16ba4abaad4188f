"""A long list of wrong command lines over all verbs: each is told in a sentence that names what is wrong."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dubbench.cli import VERBS, main
from tests import boards, dubbed
from tests.datamodules import miniature

FIT = "fit --model radio_tiny --dataset grid --dataset.root mini --trainer.accelerator cpu --out run "
FIT += "--model.sync_expert null --model.sync_weight 0 --data.val_windows 0 --data.num_workers 0"
VALIDATE = "validate --model radio_tiny --dataset grid --dataset.root mini --trainer.accelerator cpu"
EVAL = "eval --dataset grid --dataset.root mini --videos empty"
DUB = "dub --video face.mp4 --audio tone.wav --out o.mp4 --device cpu"
PREPARE = "prepare --dataset folder --root . --out o"
SCORE = "score --pred face.mp4 --target face.mp4"
ABLATE = "ablate --model radio --dataset grid --dataset.root mini"
# Command line, status, and what its sentence holds.
WRONG = [
    ("nosuch", 2, "invalid choice: 'nosuch'"),
    (f"{FIT} --ckpt_path cut.ckpt", 1, "cut.ckpt is not a checkpoint that `dubbench fit` wrote: it is cut off"),
    (f"{FIT} --ckpt_path pickle.ckpt", 1, "it holds code or objects, of which nothing is run"),
    (f"{FIT} --ckpt_path other.ckpt", 1, "other.ckpt is not a checkpoint that `dubbench fit` wrote"),
    (f"{FIT} --ckpt_path nan.ckpt", 1, "weights that are not finite"),
    (f"{FIT} --ckpt_path radio.ckpt", 1, "no training to go on with"),
    (f"{FIT} --ckpt_path nope.ckpt", 1, "there is no checkpoint nope.ckpt"),
    (f"{FIT} --trainer.precision 3", 2, "--trainer.precision"),
    (f"{FIT} --trainer.max_steps many", 2, "--trainer.max_steps: Expected an int. Got value: many"),
    (f"{FIT} --trainer.nosuch 1", 2, "--trainer.nosuch"),
    (f"{FIT} --trainer.strategy nosuch", 1, "invalid strategy name"),
    (f"{FIT} --trainer.max_epochs -5", 1, "max_epochs"),
    (f"{FIT} --model.nosuch 1", 2, "Option 'nosuch' is not accepted"),
    (f"{FIT} --model.optim.lr nan", 2, "--model.optim.lr: Expected a float. Got value: nan"),
    (f"{FIT} --model.size 0", 1, "0 pixels"),
    (f"{FIT} --model.widths [1000000,1000000,1000000,1000000,1000000]", 1, "cannot be used together"),
    (f"{FIT} --data.holdout 2", 1, "a holdout of 2.0"),
    (f"{FIT} --data hdtf", 2, "--dataset and --data have two values"),
    (f"{FIT} --data.root elsewhere", 2, "is given as mini and as elsewhere; give it once"),
    (f"{FIT} --seed_everything -1", 2, "--seed_everything -1 is no seed"),
    (f"{FIT} --seed_everything x", 2, "--seed_everything"),
    (f"{FIT} --config nope.yaml", 1, "nope.yaml cannot be read (No such file or directory)"),
    (f"{FIT} --config deep.yaml", 1, "deep.yaml is nested too deeply"),
    (f"{FIT} --config tag.yaml", 1, "tag.yaml is no YAML file of plain values"),
    (f"{FIT} --config twice.yaml", 1, "twice.yaml gives size twice, in lines 2 and 4; leave one"),
    (f"{FIT} --trainer binary.yaml", 1, "binary.yaml is not in UTF-8"),
    (f"{FIT} extra", 2, "unrecognized arguments: extra"),
    ("fit --model subprocess.Popen --dataset grid", 2, "subclass of DubbingModel"),
    ("fit --model foreign.yaml --dataset grid", 1, "names the class subprocess.Popen, and importing subprocess runs"),
    ("fit --config=nested.yaml", 1, "foreign.yaml names the class subprocess.Popen"),
    ("fit --config foreign.txt", 1, "foreign.txt names the class subprocess.Popen"),
    ("eval --dataset nested.yaml --videos empty", 1, "if you trust it, give --classes subprocess"),
    (
        "fit --model foreign.yaml --dataset grid --classes os --classes=subprocess",
        2,
        "subprocess.Popen does not correspond to a subclass",
    ),
    ("fit --model dubbench.models.base.DubbingModel --dataset grid", 1, "names what all methods share"),
    ("fit --model radio_tiny --dataset grid --out file/run", 1, "file/run cannot be written: file is no folder"),
    ("fit --model radio_tiny --dataset", 2, "expected one argument"),
    (f"{VALIDATE} --ckpt_path pickle.ckpt", 1, "of which nothing is run"),
    (f"{VALIDATE} --ckpt_path cut.ckpt", 1, "it is cut off"),
    (f"{EVAL} --out file/x", 1, "file/x cannot be written: file is no folder"),
    (f"{EVAL} --seed -1", 2, "no seed"),
    (f"{EVAL} --protocol aliases.yaml", 1, "by its aliases"),
    (f"{EVAL} --protocol twice.yaml", 1, "gives size twice"),
    (f"{EVAL} --data hdtf", 2, "--dataset and --data have two values for one option"),
    (f"{EVAL} --limit 0", 1, "a limit of 0"),
    ("eval --dataset grid --dataset.root mini --model radio_tiny --ckpt_path nan.ckpt", 1, "not finite"),
    *[(f"{DUB} --ckpt_path {name}.ckpt", 1, f"{name}.ckpt ") for name in ("base", "foreign", "hyper", "odd", "old")],
    (f"{DUB} --ckpt_path nan.ckpt", 1, "nan.ckpt holds weights that are not finite"),
    ("dub --ckpt_path radio.ckpt --video nope.mp4 --audio tone.wav --out o.mp4", 1, "--video nope.mp4 is not there"),
    ("dub --ckpt_path radio.ckpt --video face.mp4 --audio tone.wav --out file/o.mp4", 1, "file is no folder"),
    ("export --ckpt_path nan.ckpt --out x.onnx", 1, "not finite"),
    ("export --ckpt_path radio.ckpt --out empty", 1, "empty is a folder; name a file"),
    ("speed --model radio_tiny --root mini --seed -4", 2, "no seed"),
    ("speed --model radio_tiny --root mini --out file", 1, "file is no folder"),
    (f"{SCORE} --json empty", 1, "empty is a folder; name a file"),
    (f"{SCORE} --json /proc/x.json", 1, "/proc/x.json cannot be written"),
    (f"{SCORE} --pred other.mp4", 2, "two values for one option"),
    (f"{SCORE} --metrics nope", 2, "invalid choice: 'nope'"),
    ("leaderboard nowhere", 1, "nowhere"),
    ("leaderboard results --out empty", 1, "empty is a folder"),
    ("leaderboard results --html file/x.html", 1, "file/x.html cannot be written"),
    ("leaderboard binary.csv", 1, "binary.csv"),
    ("compare binary.csv results", 1, "binary.csv is not in UTF-8"),
    ("compare short.csv results", 1, "short.csv lacks the column"),
    ("compare file/b.csv results --accept", 1, "cannot be"),
    ("study score deep.yaml --key deep.yaml --out s.csv", 1, "no study's key"),
    ("study make results --out file", 1, "file is no folder"),
    ("figure strip results --clip nope --out x.png", 1, "results holds no videos"),
    ("figure attention --ckpt_path pickle.ckpt --root mini --clip s0/a --out x.png", 1, "of which nothing is run"),
    ("protocol deep.yaml", 1, "deep.yaml is nested too deeply"),
    ("protocol fair --csv file/x.csv", 1, "file is no folder"),
    ("corpus grid --root empty", 1, "empty is empty"),
    ("corpus nope", 1, "no corpus is called 'nope'"),
    ("prepare --dataset folder --root empty --out o", 1, "empty holds no folder clips"),
    (f"{PREPARE} --split short.csv", 1, "short.csv lacks the column clip"),
    (f"{PREPARE} --size x", 2, "invalid int value"),
    ("prepare --dataset folder --root . --out file/x", 1, "file is no folder"),
    (f"{ABLATE} --steps 0", 1, "--steps 0 leaves nothing to do"),
    (f"{ABLATE} --steps 1 --table nope", 1, "nope"),
    (f"{ABLATE} --steps 1 --out file", 1, "file is no folder"),
    ("assets pull nope", 1, "no pretrained file is called 'nope'"),
    ("demo --minutes nan", 1, "--minutes is nan"),
    ("demo --out file", 1, "file is no folder"),
    ("doctor --nosuch", 2, "unrecognized arguments: --nosuch"),
]


class Code:
    """What a pickle must never be allowed to run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a little of everything, most of it wrong."""
    folder = tmp_path_factory.mktemp("place")
    clips = [miniature.Clip(f"s{n}/a", split=s, dataset="grid") for n, s in enumerate(("train", "val", "test"))]
    miniature.make(folder / "mini", clips)
    good = torch.load(dubbed.checkpoint(folder / "radio.ckpt"), weights_only=True)
    stamp, values = good["dubbench"], good["hyper_parameters"]
    weights = {name: value.clone() for name, value in good["state_dict"].items()}
    next(value for value in weights.values() if value.is_floating_point()).view(-1)[0] = torch.inf
    for name, changed in {
        "nan": {"state_dict": weights},
        "base": {"dubbench": {**stamp, "class_path": "dubbench.models.base.DubbingModel"}},
        "foreign": {"dubbench": {**stamp, "class_path": "os.system"}},
        "hyper": {"hyper_parameters": {**values, "size": "wide"}},
        "odd": {"state_dict": {"x": 3}},
        "old": {"dubbench": {"version": "0.0.1"}},
    }.items():
        torch.save({**good, **changed}, folder / f"{name}.ckpt")
    torch.save({"a": torch.zeros(3)}, folder / "other.ckpt")
    (folder / "cut.ckpt").write_bytes((folder / "radio.ckpt").read_bytes()[:1000])
    (folder / "pickle.ckpt").write_bytes(pickle.dumps(Code()))
    (folder / "file").write_text("x\n")
    (folder / "empty").mkdir()
    (folder / "deep.yaml").write_text("[" * 5000)
    (folder / "tag.yaml").write_text("!!python/object/apply:os.system ['touch ran']\n")
    (folder / "twice.yaml").write_text("base: first_frame\nsize: 96\nborder: black\nsize: 128\n")
    (folder / "foreign.yaml").write_text("class_path: subprocess.Popen\ninit_args: {args: [touch, ran]}\n")
    (folder / "foreign.txt").write_bytes((folder / "foreign.yaml").read_bytes())
    (folder / "nested.yaml").write_text("trainer: {callbacks: [{init_args: {a: foreign.yaml}}]}\n")
    nine = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 9)]
    (folder / "aliases.yaml").write_text("".join(["x0: &x0 [1]\n", *nine, "size: *x8\n"]))
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    (folder / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    (folder / "short.csv").write_text("a,b\n1\n")
    dubbed.face_video(folder / "face.mp4", 2)
    dubbed.tone(folder / "tone.wav", 0.1)
    boards.results(folder / "results", {"ours": {"psnr": [20.0, 30.0]}, "theirs": {"psnr": [21.0, 29.0]}})
    return folder


@pytest.fixture
def standing(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder to stand in; nothing is added to it."""
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    yield place
    assert sorted(place.iterdir()) == before


def test_all_verbs_are_in_the_list() -> None:
    assert {words.split()[0] for words, _, _ in WRONG} >= set(VERBS)
    assert len(WRONG) >= 60


@pytest.mark.parametrize(("words", "status", "told"), WRONG, ids=[words for words, _, _ in WRONG])
def test_is_told(words: str, status: int, told: str, standing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == status
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dubbench")]
    assert len(said) == 1, "one sentence"
    assert told in said[0]
    assert "Traceback" not in said[0]
    assert "weights_only" not in said[0]
    assert len(said[0]) < 700


def test_without_a_gpu(standing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert main([*FIT.replace("accelerator cpu", "accelerator gpu").split()]) == 1
    assert "No supported gpu backend found" in capsys.readouterr().err
