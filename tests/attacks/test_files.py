"""Files that somebody hands over: no code in them runs, none takes memory or time, each is told in a sentence."""

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dubbench.assets import store
from dubbench.cli import main
from dubbench.core.tables import as_csv, read_csv
from dubbench.errors import DubbenchError
from dubbench.face3d.d3dfr import load_d3dfr
from dubbench.face3d.model import LinearFaceModel
from tests import dubbed
from tests.boards import results


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.mark), "w")


@pytest.fixture
def bombs(tmp_path: Path) -> Path:
    """Pickles in torch's two forms and bare, which make the file ``ran`` beside themselves if they run."""
    ran = tmp_path / "ran"
    torch.save({"state_dict": Bomb(ran)}, tmp_path / "zip.ckpt")
    torch.save({"state_dict": Bomb(ran)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(Bomb(ran)))
    return tmp_path


OPTIONS = {
    "dub": ["dub", "--video", "v.mp4", "--audio", "v.mp4", "--out", "o.mp4", "--ckpt_path"],
    "export": ["export", "--out", "o.onnx", "--ckpt_path"],
    "speed": ["speed", "--model", "radio_tiny", "--out", "o", "--ckpt_path"],
    "eval": ["eval", "--model", "radio_tiny", "--dataset", "folder", "--dataset.root", "clips", "--ckpt_path"],
    "sync": ["eval", "--videos", ".", "--dataset", "folder", "--dataset.root", "clips", "--sync_expert"],
    "style": ["eval", "--videos", ".", "--dataset", "folder", "--dataset.root", "clips", "--style_encoder"],
    "attention": ["figure", "attention", "--root", "clips", "--clip", "ann/one", "--out", "o.png", "--ckpt_path"],
    "styles": ["figure", "styles", "--root", "clips", "--out", "o.png", "--style_encoder"],
}


@pytest.mark.parametrize("form", ["zip.ckpt", "old.ckpt", "bare.ckpt"])
@pytest.mark.parametrize("verb", OPTIONS)
def test_pickles_never_run(
    verb: str,
    form: str,
    bombs: Path,
    prepared: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(bombs)
    (bombs / "clips").symlink_to(prepared)
    dubbed.video(bombs / "v.mp4", [np.zeros((48, 64, 3), np.uint8)] * 5)
    assert main([*OPTIONS[verb], form]) == 1
    told = capsys.readouterr().err
    assert "it holds code or objects, of which nothing is run" in told
    assert "weights_only" not in told
    assert not (bombs / "ran").exists()
    assert not [path for path in bombs.iterdir() if path.name.startswith("o.")]


@pytest.mark.parametrize("form", ["zip.ckpt", "old.ckpt", "bare.ckpt"])
def test_pickles_among_pretrained_files_never_run(form: str, bombs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for read in (store.load_tensors, load_d3dfr):
        with pytest.raises(DubbenchError) as told:
            read(bombs / form)
        assert "weights_only" not in str(told.value)
    monkeypatch.setenv("DUBBENCH_ASSETS", str(bombs))
    for asset in store.ASSETS.values():
        if asset.digest:
            shutil.copyfile(bombs / form, bombs / asset.name)
            with pytest.raises(DubbenchError, match="damaged or another version"):
                store.find(asset.name)
    assert not (bombs / "ran").exists()


def test_a_pickle_to_train_from_never_runs(bombs: Path, prepared: Path) -> None:
    data = ["--model", "radio_tiny", "--dataset", "folder", "--dataset.root", str(prepared)]
    for verb in (["fit", "--out", str(bombs / "run")], ["validate"]):
        with suppress(Exception):
            main([*verb, *data, "--ckpt_path", str(bombs / "zip.ckpt")])
        assert not (bombs / "ran").exists()


def changed(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda held: {**held, **changes}


def stamped(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda held: {**held, "dubbench": {**held["dubbench"], **changes}}


def made_with(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda held: {**held, "hyper_parameters": {**held["hyper_parameters"], **changes}}


CHECKPOINTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a list": (lambda held: [1, 2], "is not a checkpoint that `dubbench fit` wrote"),
    "a stamp that is a number": (changed(dubbench=3), "is not a checkpoint that `dubbench fit` wrote"),
    "no stamped class": (stamped(class_path=None), "lacks what a checkpoint of this version"),
    "no window": (stamped(window=[1]), "lacks what a checkpoint of this version"),
    "no weights": (changed(state_dict=None), "lacks what a checkpoint of this version"),
    "weights that are text": (changed(state_dict={"a": "b"}), "lacks what a checkpoint of this version"),
    "no options": (changed(hyper_parameters=[]), "lacks what a checkpoint of this version"),
    "unknown options": (made_with(**{"x" * 9: 1, "y" * 999: 2}), "options that"),
    "a width of a million": (made_with(widths=[1_000_000] * 4), "names options of a network of"),
    "options of another kind": (made_with(widths="wide"), "cannot be built with"),
    "the class of all models": (stamped(class_path="dubbench.models.base.DubbingModel"), "which is no model"),
    "a class of no model": (stamped(class_path="dubbench.models.base.AttentionMaps"), "which is no model"),
    "a class of the system": (stamped(class_path="subprocess.Popen"), "which is no model"),
    "a class without a module": (stamped(class_path="Popen"), "which is no model"),
    "a module that is not there": (stamped(class_path="dubbench.models.nowhere.Model"), "cannot be imported"),
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = dubbed.checkpoint(tmp_path_factory.mktemp("honest") / "g4g.ckpt")
    return dict(torch.load(path, weights_only=True))


@pytest.mark.parametrize("attack", CHECKPOINTS)
def test_checkpoints_are_not_believed(
    attack: str, honest: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, told = CHECKPOINTS[attack]
    torch.save(change(honest), tmp_path / "a.ckpt")
    assert main(["export", "--ckpt_path", str(tmp_path / "a.ckpt"), "--out", str(tmp_path / "o.onnx")]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert len(said) < 1000


def aliases(levels: int, key: str = "size") -> str:
    lines = ["base: first_frame", "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"{key}: *a{levels - 1}", ""])


PROTOCOLS = {
    "nine levels of aliases": (aliases(9), "stands for more than 100,000 values by its aliases"),
    "few aliases": (aliases(3), "unknown a0, a1, a2"),
    "a long list for a number": ("base: first_frame\nsize: [" + "1, " * 5000 + "1]\n", "which is of the wrong type"),
    "an alias of itself": ("base: first_frame\nclips: &a {grid: *a}\n", "stands for more than 100,000 values"),
    "5,000 opening brackets": ("base: first_frame\nsize: " + "[" * 5000, "nested too deeply"),
    "300 brackets": ("base: first_frame\nsize: " + "[" * 300 + "]" * 300, "nested too deeply"),
    "a tag of code": (
        "base: first_frame\nsize: !!python/object/apply:os.system [true]\n",
        "is no YAML file of plain values",
    ),
    "a base elsewhere": ("base: ../../../etc/hostname\n", "name a file beside it"),
    "a base by its whole path": ("base: /etc/hostname\n", "name a file beside it"),
    "parts elsewhere": ("parts: [../secret.yaml]\n", "name a file beside it"),
    "no text": ("base: \x00\n", "is not a protocol file"),
}


@pytest.mark.parametrize("attack", PROTOCOLS)
def test_protocols_are_answered_at_once(attack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, told = PROTOCOLS[attack]
    (tmp_path / "mine.yaml").write_text(text)
    assert main(["protocol", str(tmp_path / "mine.yaml")]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert len(said) < 2000


ANSWERS = {
    "a rater without end": '{"study": "s", "form": 1, "rater": 1e400, "items": []}',
    "a hundred thousand brackets": "[" * 100_000,
    "a place without end": (
        '{"study": "s", "form": 1, "rater": 1, "saved": "", "started": "", '
        '"items": [{"id": "v", "answers": {}, "position": 1e400}]}'
    ),
    "a list": "[1]",
}


@pytest.mark.parametrize("attack", ANSWERS)
def test_answers_of_a_study_are_told(attack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dubbench.study.questions import FORM

    key = {
        "form": FORM, "study": "s", "questions": ["visual"], "methods": ["m"], "raters": 3, "per_rater": 1,
        "items": {"v": {"method": "m", "clip": "c"}},
    }  # fmt: skip
    (tmp_path / "key.json").write_text(json.dumps(key))
    (tmp_path / "answer.json").write_text(ANSWERS[attack].replace('"form": 1', f'"form": {json.dumps(FORM)}'))
    words = ["study", "score", str(tmp_path / "answer.json"), "--key", str(tmp_path / "key.json")]
    assert main([*words, "--out", str(tmp_path / "scores.csv")]) == 1
    assert "is left out: it is damaged or no answer file" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"methods": []}', '{"methods": {"mine": 3}}'])
def test_records_of_results_are_told(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results(tmp_path / "run", {"mine": {"psnr": [30.0, 31.0]}})
    (folder / "run.json").write_text(text)
    assert main(["leaderboard", str(folder), "--out", str(tmp_path / "w.csv")]) == 1
    assert "run.json is damaged" in capsys.readouterr().err


def test_archives_that_unpack_to_gigabytes_are_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 30,)}
    )
    with (
        zipfile.ZipFile(tmp_path / "face.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("mean.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(1 << 7):
            member.write(bytes(1 << 20))
    with pytest.raises(DubbenchError, match="bytes that unpack to 134,"):
        LinearFaceModel.load(tmp_path / "face.npz")


def test_arrays_with_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "face.npz", mean=np.array([Bomb(tmp_path / "ran")], object))
    with pytest.raises(DubbenchError, match="holds more than arrays"):
        LinearFaceModel.load(tmp_path / "face.npz")
    assert not (tmp_path / "ran").exists()


SPLITS = {
    "no columns": ("a,b\n1,2\n", "lacks the column clip"),
    "another split": ("clip,speaker,split\n,ann,../../etc\n", "names the split '../../etc'"),
    "one clip twice": ("clip,speaker,split\nann/one,ann,test\nann/one,ann,train\n", "twice"),
    "no text": ("clip,speaker,split\n\xff\xfe,ann,test\n", "is not in UTF-8"),
}


@pytest.mark.parametrize("attack", SPLITS)
def test_split_files_are_not_believed(
    attack: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, told = SPLITS[attack]
    (tmp_path / "split.csv").write_bytes(text.encode("latin-1"))
    words = ["prepare", "--dataset", "folder", "--root", str(corpus), "--out", str(tmp_path / "out"), "--size", "64"]
    assert main([*words, "--split", str(tmp_path / "split.csv")]) == 1
    assert told in capsys.readouterr().err


NAMES = ["=1+1", "@SUM(A1)", "+cmd", "-2+3", "\t=1", "'=1", "''=1", "it's", 'a,"b"\nc', "-0.5", "+1e5", "-inf", ""]


def test_cells_that_a_spreadsheet_runs_are_quoted_and_read_back_unchanged(tmp_path: Path) -> None:
    text = as_csv(("name", "value"), [(name, "1") for name in NAMES])
    (tmp_path / "a.csv").write_text(text, newline="")
    assert [line["name"] for line in read_csv(tmp_path / "a.csv", ("name", "value"))] == NAMES
    cells = [line.split(",")[0].strip('"') for line in text.splitlines()[1:]]
    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t")] == ["-0.5", "+1e5", "-inf"]


def test_failures_are_listed_in_cells_that_no_spreadsheet_runs(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/=HYPERLINK(A1).mp4").write_bytes(b"no video")
    words = ["prepare", "--dataset", "folder", "--root", str(tmp_path / "corpus"), "--out", str(tmp_path / "out")]
    main(words)
    (line,) = read_csv(tmp_path / "out/failures.csv", ("clip", "source", "reason"))
    assert line["clip"] == "=HYPERLINK(A1)"
    assert "\n'=HYPERLINK(A1),'=HYPERLINK(A1).mp4," in (tmp_path / "out/failures.csv").read_text()


def test_a_class_of_another_package_is_imported_only_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "minepackage.py").write_text(
        "from pathlib import Path\nfrom dubbench.models.radio.module import Radio\nPath('ran').touch()\n"
        "class Mine(Radio):\n    pass\n"
    )
    (tmp_path / "mine.yaml").write_text("class_path: minepackage.Mine\ninit_args: {size: 96}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["fit", "--dataset", "grid", "--print_config"]
    assert main([*words, "--model", "mine.yaml"]) == 1
    assert "mine.yaml names the class minepackage.Mine" in capsys.readouterr().err
    assert not Path("ran").exists()
    assert main([*words, "--model", "mine.yaml", "--classes", "minepackage"]) == 0
    assert "class_path: minepackage.Mine" in capsys.readouterr().out
    assert Path("ran").exists()
    assert main([*words, "--model", "minepackage.Mine"]) == 0, "typed by the user"
