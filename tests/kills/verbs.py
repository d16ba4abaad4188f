"""What is killed: for each verb its inputs, its command, and what of its output must be the same."""

import csv
import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from dubbench.assets import store
from dubbench.assets.registry import Asset
from dubbench.dubbing import render
from dubbench.evaluation import experts
from tests import dubbed, talking
from tests.data.videos import portraits
from tests.datamodules import miniature
from tests.evaluation.test_networks import Projection
from tests.models.conftest import small_radio
from tests.server import Server

State = dict[str, str]
CORPUS = ["--dataset", "folder", "--root", "in/corpus", "--size", "64", "--faces", "largest"]
SERVED = ("net.pth", "pack.zip", "unsigned.bin")
BLOCK, PACE = 1 << 15, 0.004
DRAWN = np.random.default_rng(0).bytes(6 * BLOCK)


@dataclass(frozen=True)
class Verb:
    """A command that is killed.

    Attributes:
        words: run in a folder that holds ``in``, with the inputs, and ``run``, for all that it makes.
        make: makes the inputs in a folder.
        state: what must be the same of a folder that it filled, by file.
        patch: is called with the inputs in the process that runs it, before it does.
        serve: what a server has that it asks.
        given_up: whether it may end with status 1, since a server broke off too often.
    """

    words: Sequence[str]
    make: Callable[[Path], None]
    state: Callable[[Path], State]
    patch: Callable[[str], None] = lambda address: None
    serve: Callable[[Server], None] | None = None
    given_up: bool = False


def tree(folder: Path) -> State:
    """Digest of every file below a folder, hidden ones too, and every folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in sorted(folder.rglob("*"))
    }


def _corpus(folder: Path) -> None:
    talking.make(folder / "corpus")


def _trained_on(folder: Path) -> None:
    splits = ("train", "train", "val", "test")
    miniature.make(folder / "clips", [miniature.Clip(f"s{i}/a", split=s, dataset="grid") for i, s in enumerate(splits)])


def _weights(folder: Path) -> State:
    """Every tensor and number of the checkpoints, and the names of all files but the logs'."""
    state: State = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if "/logs/" in name or path.is_dir():
            continue
        state[name] = "file"
        if path.suffix == ".ckpt":
            kept = torch.load(path, weights_only=True)
            state |= {f"{name}:{key}": value for part in PARTS for key, value in _leaves(part, kept[part])}
    return state


PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "hyper_parameters")


def _leaves(name: str, value: Any) -> list[tuple[str, str]]:  # noqa: ANN401
    if isinstance(value, dict):
        return [leaf for key in value for leaf in _leaves(f"{name}/{key}", value[key])]
    if isinstance(value, list | tuple):
        return [leaf for key, each in enumerate(value) for leaf in _leaves(f"{name}/{key}", each)]
    if isinstance(value, torch.Tensor):
        return [(name, hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest())]
    return [(name, repr(value))]


def _scored(folder: Path) -> None:
    """Prepared clips, a checkpoint, and a protocol whose metrics make files and need no pretrained one."""
    from dubbench.datamodules.prepare.run import prepare

    talking.make(folder / "corpus")
    (folder / "split.csv").write_text("clip,speaker,split\n,ann,test\n,bob,test\n")
    prepare("folder", folder / "corpus", folder / "clips", size=64, faces="largest", split=str(folder / "split.csv"))
    model = small_radio()
    dubbed.checkpoint(folder / "radio.ckpt", model)
    options = json.loads(json.dumps(dict(model.hparams)))
    described = {"class_path": "dubbench.models.radio.module.Radio", "init_args": options}
    (folder / "radio.yaml").write_text(yaml.safe_dump(described))
    metrics = {"mse": 1, "psnr": 2, "lmd": 1, "kid": 1}
    (folder / "short.yaml").write_text(yaml.safe_dump({"base": "first_frame", "metrics": metrics, "pool_minimum": 2}))


def _with_features(address: str) -> None:
    experts.experts = lambda *given: {"inception": Projection()}


def _values(folder: Path) -> State:
    """All files and values of results but times, and the landmark cache."""
    state = tree(folder)
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".json":
            state[name] = json.dumps(_timeless(json.loads(path.read_text())), sort_keys=True)
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                state[name] = str([row for row in csv.reader(file) if "seconds_per_frame" not in row])
    return state


def _timeless(value: Any) -> Any:  # noqa: ANN401
    """A document without times, and without the digest that covers them."""
    if not isinstance(value, dict):
        return value
    return {key: _timeless(each) for key, each in value.items() if key not in ("seconds_per_frame", "sha256")}


def _dubbed(folder: Path) -> None:
    """A checkpoint, a face of 12 frames, and speech of 40, so that the video goes back and forth."""
    dubbed.checkpoint(folder / "radio.ckpt")
    dubbed.video(folder / "face.mp4", portraits(12))
    dubbed.tone(folder / "tone.wav", 1.6)


def _short_segments(address: str) -> None:
    render.SEGMENT = 8


def _nothing(folder: Path) -> None:
    pass


def _serve(server: Server) -> None:
    """A file of known sha256, one of none, and an archive with two files; most answers break off."""
    archive = Path("pack.zip")
    with zipfile.ZipFile(archive, "w") as pack:
        for name in ("first.onnx", "second.onnx"):
            pack.writestr(zipfile.ZipInfo(f"pack/{name}"), name.encode() + DRAWN)
    server.files = dict(zip(SERVED, (DRAWN, archive.read_bytes(), DRAWN[::-1]), strict=True))
    archive.unlink()
    server.pace = BLOCK, PACE
    draw = np.random.default_rng()
    server.breaks = draw.integers(1, 3 * len(DRAWN) // 2, 100_000).tolist()


def _enlisted(address: str) -> None:
    def asset(name: str, source: str, data: bytes, digest: bool = True) -> Asset:
        known = hashlib.sha256(data).hexdigest() if digest else ""
        return Asset(name, "a test", "MIT", (f"{address}{source}",), known, len(data) if digest else 0, name)

    rows = [
        asset("net.pth", "net.pth", DRAWN),
        asset("unsigned.bin", "unsigned.bin", b"", digest=False),
        asset("first.onnx", "pack.zip", b"first.onnx" + DRAWN),
        asset("second.onnx", "pack.zip", b"second.onnx" + DRAWN),
    ]
    store.ASSETS.clear()
    store.ASSETS.update({row.name: row for row in rows})


VERBS = {
    "prepare": Verb(["prepare", *CORPUS, "--geometry", "mesh", "--out", "run/out"], _corpus, tree),
    "fit": Verb(
        [
            *["fit", "--model", "radio_tiny", "--dataset", "grid", "--dataset.root", "in/clips"],
            *["--model.sync_expert", "sync_expert_tiny", "--first_iterations", "3", "--model.iterations", "6"],
            *[
                "--data.windows_per_epoch",
                "4",
                "--data.batch_size",
                "2",
                "--data.val_windows",
                "2",
                "--data.num_workers",
                "0",
            ],
            *["--trainer.accelerator", "cpu", "--out", "run/out", "--ckpt_path", "last"],
        ],
        _trained_on,
        _weights,
    ),
    "eval": Verb(
        [
            *["eval", "--model", "in/radio.yaml", "--ckpt_path", "in/radio.ckpt", "--device", "cpu"],
            *["--dataset", "folder", "--dataset.root", "in/clips", "--protocol", "in/short.yaml", "--out", "run/out"],
        ],
        _scored,
        _values,
        _with_features,
    ),
    "dub": Verb(
        [
            *["dub", "--ckpt_path", "in/radio.ckpt", "--video", "in/face.mp4", "--audio", "in/tone.wav"],
            *["--length", "speech", "--out", "run/out.mp4"],
        ],
        _dubbed,
        tree,
        _short_segments,
    ),
    "assets": Verb(["assets", "pull", "--all"], _nothing, tree, _enlisted, _serve, given_up=True),
}
