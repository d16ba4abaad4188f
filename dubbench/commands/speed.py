"""``dubbench speed``: time a method's dubbing here, part by part, and keep the figures for the leaderboard."""

import argparse
import tempfile
from pathlib import Path

from dubbench.commands import add_json, seed
from dubbench.core.config_names import label
from dubbench.core.console import announce, command, ending, print_json, quiet
from dubbench.core.devices import PRECISIONS, autocast_type, device
from dubbench.core.files import output_folder
from dubbench.errors import DubbenchError

CONSTRUCTORS = ("--model.",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "The model's constructor has options of its own, such as --model.size: `dubbench fit --model radio --help_all` "
        "lists them."
    )
    add = parser.add_argument
    add("--model", required=True, metavar="NAME", help="a method's short name or YAML file")
    add("--ckpt_path", type=Path, metavar="FILE", help="its checkpoint (default: fresh weights, which cost the same)")
    add("--method", metavar="NAME", help="name of the rows (default: the model's name)")
    add("--root", type=Path, metavar="DIR", help="folder of prepared clips (default: a clip of the demo corpus)")
    add("--clip", metavar="ID", help="id of a clip in it (default: the first that is long enough)")
    add("--frames", type=int, default=100, help="frames of the clip that are dubbed, or all it has (%(default)s)")
    add("--repeats", type=int, default=5, help="passes that are timed; median and spread are kept (%(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (%(default)s)")
    add("--precision", choices=PRECISIONS, default="float32", help="of autocast (%(default)s)")
    add("--compile", action="store_true", help="compile the networks with torch.compile first")
    add("--seed", type=seed, default=0, help="seed of fresh weights (%(default)s)")
    add(
        "--out",
        type=output_folder,
        default="results",
        metavar="DIR",
        help="folder of speed.csv; rows of the same method, device and precision are replaced (%(default)s)",
    )
    add_json(parser, "the rows that were measured")


def run(options: argparse.Namespace) -> int:
    """Measure, keep the figures and show the table.

    Raises:
        DubbenchError: if an option cannot be used, or as the model, the clip and `dubbench.speed.measure` do.
    """
    for name in ("frames", "repeats"):
        if getattr(options, name) < 1:
            raise DubbenchError(f"--{name} {getattr(options, name)} leaves nothing to time; give 1 or more")
    if options.clip is not None and options.root is None:
        raise DubbenchError("--clip names a clip of a prepared folder; give that with --root")
    announce(f"speed of {options.method or options.model}")
    from lightning import seed_everything

    from dubbench.models.checkpoint import read_checkpoint
    from dubbench.speed import report
    from dubbench.speed.clip import demo_clip_of, find_clip, shortened
    from dubbench.speed.labels import labels
    from dubbench.speed.measure import measure
    from dubbench.training.build import build_model

    where = device(options.device)
    seed_everything(options.seed, verbose=False)
    model = build_model(options.model, options.constructors["--model."], "speed")
    if options.ckpt_path is not None:
        model.load_checkpoint(read_checkpoint(options.ckpt_path), options.ckpt_path)
    root = options.root or demo_clip_of(model)
    clip = find_clip(root, options.clip, options.frames)
    if options.ckpt_path is None:
        model.make_ready(root)
    with tempfile.TemporaryDirectory() as folder:
        speed = measure(
            model.to(where).eval(),
            shortened(clip, options.frames, Path(folder)),
            repeats=options.repeats,
            precision=autocast_type(options.precision),
            backend="inductor" if options.compile else None,
        )
    told = labels(
        model,
        where,
        name=options.method or label(options.words, "--model"),
        precision=options.precision,
        compiler="inductor" if options.compile else "",
        checkpoint=options.ckpt_path,
        seed=options.seed,
    )
    lines = report.lines(speed, told)
    path = report.record(options.out, lines)
    if options.json:
        print_json(lines)
    elif not quiet():
        report.show([path])
    ending(
        output=str(path), following=command(["leaderboard", options.out, "--html", options.out / "leaderboard.html"])
    )
    return 0
