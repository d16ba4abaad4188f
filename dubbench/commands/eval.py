"""``dubbench eval``: score a checkpoint of ours, or anybody's videos, under a named protocol."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dubbench.commands import add_json, parse_faces, seed
from dubbench.core.config_names import label, names
from dubbench.core.console import announce, command, ending, note, print_json, quiet
from dubbench.core.files import output_folder
from dubbench.errors import DubbenchError

CONSTRUCTORS = ("--model.", "--data.", "--dataset.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "The constructors of the model and the data have options of their own, such as --model.size and "
        "--dataset.root: `dubbench fit --model radio --help_all` lists them."
    )
    add = parser.add_argument
    add("--model", metavar="NAME", help="a method's short name or YAML file")
    add("--ckpt_path", type=Path, metavar="FILE", help="the method's checkpoint")
    add("--videos", type=Path, metavar="DIR", help="folder of finished videos to score, matched by clip id")
    add("--method", metavar="NAME", help="name of the row (default: the model's or folder's name)")
    add("--dataset", "--data", required=True, metavar="NAME", help="a dataset's short name or YAML file")
    add("--protocol", default="first_frame", metavar="NAME", help=f"{', '.join(names('protocol'))}, or a YAML file")
    add("--split", default="test", help="which split of the prepared clips (%(default)s)")
    add("--out", type=output_folder, default="results", metavar="DIR", help="folder of the results (%(default)s)")
    add(
        "--reuse",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="other results; rows that come of all the same, as the ground truth's do, are taken over; may be repeated",
    )
    add("--source_root", type=Path, metavar="DIR", help="where the corpus lies, if it moved since `prepare`")
    add(
        "--faces",
        default="largest",
        metavar="WHICH",
        help="largest: the face that `prepare` followed; one: clips that show another one too fail; or X,Y,W,H: clips "
        "whose face is not in this box fail (%(default)s)",
    )
    add("--sync_expert", type=Path, metavar="CKPT", help="checkpoint of a sync expert, for sync_similarity")
    add("--style_encoder", type=Path, metavar="CKPT", help="checkpoint of a style encoder, for style_sim")
    add("--limit", type=int, metavar="N", help="score only the first clips of the split")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (%(default)s)")
    add("--seed", type=seed, default=0, help="seed of references and intervals (%(default)s)")
    add_json(parser, "the rows of every summary.csv")


def run(options: argparse.Namespace) -> int:
    """Score under each protocol and show the table.

    Raises:
        DubbenchError: if options do not go together, or as the models and `dubbench.evaluation.evaluate` do.
    """
    if (options.model is None) != (options.ckpt_path is None):
        raise DubbenchError("--model and --ckpt_path go together: the model's name and the checkpoint of its weights")
    if options.model is None and options.videos is None:
        raise DubbenchError("there is nothing to score; give --model NAME --ckpt_path FILE, or --videos DIR")
    if options.model is None and options.constructors["--model."]:
        raise DubbenchError(
            f"{options.constructors['--model.'][0]} is a model's option; give --model NAME, or leave it out"
        )
    if options.model is not None and options.videos is not None and options.method is not None:
        raise DubbenchError("--method names one row, but --model and --videos make two; score them one after the other")
    faces = parse_faces(options.faces, "--faces")
    what = options.method or options.model or options.videos
    announce(f"eval {what} on {label(options.words, '--dataset')} under {options.protocol}")
    from lightning import seed_everything

    from dubbench.board import screen
    from dubbench.core.devices import device
    from dubbench.datamodules.clip import read_dataset
    from dubbench.evaluation.evaluate import evaluate
    from dubbench.evaluation.experts import experts
    from dubbench.models.base import DubbingModel
    from dubbench.models.checkpoint import read_checkpoint
    from dubbench.protocols.protocol import load_all
    from dubbench.training.build import build_data, build_model

    where = device(options.device)
    seed_everything(options.seed, verbose=False)
    data = build_data(options.dataset, options.constructors["--data."] + options.constructors["--dataset."], "eval")
    name = options.method or label(options.words, "--model")
    models: dict[str, DubbingModel] = {}
    if options.model is not None:
        model = build_model(options.model, options.constructors["--model."], "eval")
        model.load_checkpoint(read_checkpoint(options.ckpt_path), options.ckpt_path)
        models[name] = model.to(where).eval()
    data.check_corpus()
    if options.source_root is None:
        corpus = read_dataset(data.root)["root"]
        note(f"source videos: below {corpus}, as {data.root / 'dataset.json'} has it (--source_root names another)")
    videos = {options.method or options.videos.resolve().name: options.videos} if options.videos else {}
    rules = load_all(options.protocol)
    networks, tally = experts(options.sync_expert, options.style_encoder, where), Counter[str]()
    done = [
        evaluate(
            data.root,
            models,
            out=options.out / protocol.name if len(rules) > 1 else options.out,
            protocol=protocol,
            split=options.split,
            videos=videos,
            checkpoints={name: options.ckpt_path} if models else {},
            source_root=options.source_root,
            seed=options.seed,
            limit=options.limit,
            device=str(where),
            networks=networks,
            tally=tally,
            faces=faces,
            reuse=[folder / protocol.name if len(rules) > 1 else folder for folder in options.reuse],
        )
        for protocol in rules
    ]
    if options.json:
        _print(done)
    elif not quiet():
        screen.show(done)
    _end(options, done, tally, [*models, *videos])
    return 0


def _print(done: Sequence[Path]) -> None:
    """Print the rows of results folders as JSON."""
    from dubbench.results.rows import read_summary

    print_json({str(folder): [asdict(row) for row in read_summary(folder)] for folder in done})


def _end(options: argparse.Namespace, done: Sequence[Path], tally: Counter[str], rows: Sequence[str]) -> None:
    """Say where the values and the videos are, and how they are ranked."""
    page = options.out / "leaderboard.html"
    theirs = ["--video_root", options.videos] if options.videos else []
    ending(
        output=[f"{folder}: summary.csv, clips.csv, run.json, videos" for folder in done],
        look=[
            *(str(videos) for folder in done for row in rows if (videos := folder / "videos" / row).is_dir()),
            *(line for folder in done for line in _on_record(folder)),
        ],
        reused=f"{tally['kept']} of {tally.total()} results were scored before" if tally["kept"] else "",
        following=command(["leaderboard", options.out, "--html", page, "--out", page.with_suffix(".csv"), *theirs]),
    )


def _on_record(folder: Path) -> list[str]:
    """Lines on clips whose reference is not frame 0, or that show more than one face, and on files left out."""
    from dubbench.datamodules import tree

    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    late = record["first_frames"]
    several = {clip for row in record["methods"].values() for clip in row["more_faces"]}
    lines = []
    if late:
        lines.append(f"{folder / 'run.json'}: {len(late)} clips begin without a face; their first frame is a later one")
    if several:
        lines.append(f"{folder / 'run.json'}: {len(several)} clips show more than one face; the prepared one is scored")
    for name, row in record["methods"].items():
        if strangers := row.get("unmatched"):
            lines.append(f"{folder / 'run.json'}: {name}: videos of no clip, {len(strangers)}: {strangers[0]} ...")
        if told := tree.told(row.get("ignored", {})):
            lines.append(f"{folder / 'run.json'}: {name}: {told}")
    return lines
