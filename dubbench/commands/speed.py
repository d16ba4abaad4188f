"""``dubbench speed``: time a method's dubbing here, part by part, and keep the figures for the leaderboard."""

import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning import seed_everything

from dubbench import __version__
from dubbench.core.config_names import expand, label
from dubbench.core.devices import device
from dubbench.core.files import sha256
from dubbench.errors import DubbenchError
from dubbench.models.base import DubbingModel, read_checkpoint
from dubbench.models.two_stages import TwoStageModel, TwoStages
from dubbench.speed import report as speed_report
from dubbench.speed.clip import demo_clip, find_clip, shortened
from dubbench.speed.measure import measure

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main(args: Sequence[str]) -> int:
    """Measure as the command line says, show the table, and return the exit status."""
    words = list(args)
    parser = _parser()
    given = parser.parse_args(expand(words))
    for option in ("frames", "repeats"):
        if given[option] < 1:
            raise DubbenchError(f"--{option} {given[option]} leaves nothing to time; give 1 or more")
    if given.clip is not None and given.root is None:
        raise DubbenchError("--clip names a clip of a prepared folder; give that with --root")
    where = device(given.device)
    seed_everything(given.seed, verbose=False)
    model: DubbingModel = parser.instantiate_classes(given).model
    path = Path(given.ckpt_path) if given.ckpt_path else None
    if path is not None:
        model.load_checkpoint(read_checkpoint(path), path)
    root = Path(given.root) if given.root else _demo(model, trained=path is not None)
    clip = find_clip(root, given.clip, given.frames)
    if path is None:
        _pretend(model, root)
    with tempfile.TemporaryDirectory() as folder:
        speed = measure(
            model.to(where).eval(),
            shortened(clip, given.frames, Path(folder)),
            given.repeats,
            PRECISIONS[given.precision],
            "inductor" if given.compile else None,
        )
    labels = _labels(given, given.method or label(words, "--model"), where, model, path)
    speed_report.show([speed_report.record(Path(given.out), speed_report.lines(speed, labels))])
    return 0


def _demo(model: DubbingModel, trained: bool) -> Path:
    """The demo clip, prepared as the model wants it; coefficients mean nothing but to a trained model's face model."""
    face = model.face if trained and model.held_face is not None else None
    return demo_clip(_side(model), model.window.geometry, face)


def _side(model: DubbingModel) -> int:
    """Side of the aligned frames that a model gives; a window of face crops has the mouth region's."""
    return len(model.paste_mask())


def _pretend(model: DubbingModel, root: Path) -> None:
    """Let an untrained model dub: its weights do not change what its work costs."""
    if model.held_face is not None:
        model.held_face.adopt_from(root)
    if isinstance(model, TwoStageModel):
        cast(TwoStages, model.ema.module).begun.fill_(True)


def _labels(
    given: Namespace, name: str, where: torch.device, model: DubbingModel, checkpoint: Path | None
) -> dict[str, str]:
    return {
        "model": name,
        "device": processor(where),
        "precision": given.precision,
        "compile": "inductor" if given.compile else "",
        "size": str(_side(model)),
        "threads": str(torch.get_num_threads()),
        "weights": sha256(checkpoint)[:12] if checkpoint else f"fresh, seed {given.seed}",
        "torch": str(torch.__version__),
        "version": __version__,
    }


def processor(where: torch.device) -> str:
    """Name of the processor, as its maker calls it where the system tells."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    if where.type != "cpu":
        return where.type
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="dubbench speed", description=__doc__)
    add: Any = parser.add_argument
    parser.add_subclass_arguments(DubbingModel, "model", required=True, help="a method's short name or YAML file")
    add("--ckpt_path", type=str | None, help="the method's checkpoint (default: fresh weights, which cost the same)")
    add("--method", type=str | None, help="name of the rows (default: the model's name)")
    add("--root", type=str | None, help="folder of prepared clips (default: a clip of the demo corpus)")
    add("--clip", type=str | None, help="id of a clip in it (default: the first that is long enough)")
    add("--frames", type=int, default=100, help="frames of the clip that are dubbed, or all it has")
    add("--repeats", type=int, default=5, help="passes that are timed; the median and the spread are kept")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    add("--precision", choices=list(PRECISIONS), default="float32", help="of autocast")
    add("--compile", action="store_true", help="compile the networks with torch.compile first")
    add("--seed", type=int, default=0, help="seed of fresh weights")
    add(
        "--out",
        default="results",
        help="folder of speed.csv; rows of the same method, device and precision are replaced",
    )
    return parser
