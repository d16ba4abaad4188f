"""``dubbench score``: any pair of videos or folders of videos, prepared or not, by every metric that works here."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

from dubbench.commands import parse_faces
from dubbench.core.console import announce, command, console, ending, print_json
from dubbench.core.devices import device
from dubbench.core.files import output_file
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.protocols.protocol import Protocol, load

if TYPE_CHECKING:
    from dubbench.evaluation.score_report import ScoreReport
    from dubbench.metrics.suite import Suite

BASE = "first_frame"
STANDARD_OUTPUT = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; those of a protocol have the choices and the values of `BASE`."""
    choices, rules = get_type_hints(Protocol), load(BASE)
    parser.add_argument("--pred", required=True, type=Path, metavar="PATH", help="video, folder or prepared folder")
    parser.add_argument("--target", required=True, type=Path, metavar="PATH", help="ground truth, of the same kind")
    parser.add_argument(
        "--audio", type=Path, metavar="FILE", help="speech that the lips of a single video shall fit (its own sound)"
    )
    parser.add_argument(
        "--metrics", nargs="+", choices=DEFINITIONS, metavar="NAME", help=f"some of {', '.join(DEFINITIONS)} (all)"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=STANDARD_OUTPUT,
        type=output_file,
        metavar="FILE",
        help="write values, definitions and versions; without FILE print them, and no table",
    )
    parser.add_argument(
        "--length",
        choices=get_args(choices["length"]),
        default=rules.length,
        help="equal: lengths may differ by one frame; prefix: the frames that both have count (%(default)s)",
    )
    parser.add_argument(
        "--faces",
        default="largest",
        metavar="WHICH",
        help="whose face: largest at first, followed; one: clips with two fail; or X,Y,W,H: the face in this box of "
        "the first frame with any, in pixels (%(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (%(default)s)")
    parser.add_argument(
        "--sync",
        choices=get_args(choices["sync"]),
        default=rules.sync,
        help="faces for SyncNet: landmark tracks, the official S3FD pipeline, or precropped frames (%(default)s)",
    )
    parser.add_argument(
        "--embedder", default=rules.embedder, metavar="NAME", help="asset or ONNX file behind CSIM (%(default)s)"
    )
    parser.add_argument("--sync_expert", type=Path, metavar="CKPT", help="checkpoint behind sync_similarity (none)")
    parser.add_argument("--style_encoder", type=Path, metavar="CKPT", help="checkpoint behind style_sim (none)")
    parser.add_argument(
        "--frames_minimum",
        type=int,
        default=rules.pool_minimum,
        metavar="N",
        help="frames that FID asks for (%(default)s)",
    )
    parser.add_argument("--source_root", type=Path, metavar="DIR", help="where a prepared corpus lies, if it moved")


def run(options: argparse.Namespace) -> int:
    """Score, show the table and write the JSON file.

    Returns:
        Exit status: 0 if any pair could be scored, 1 if none.

    Raises:
        DubbenchError: if the two sides do not go together, or no metric works here.
    """
    if options.audio and not options.pred.is_file():
        raise DubbenchError("--audio goes with a single video; the videos of a folder bring their own sound")
    if options.frames_minimum < 2:
        raise DubbenchError(f"--frames_minimum is {options.frames_minimum}; FID takes at least 2 frames a side")
    faces = parse_faces(options.faces, "--faces")
    announce(f"score {options.pred} against {options.target}")
    from dubbench.core.progress import tracked
    from dubbench.evaluation.pairs import PRED, match
    from dubbench.evaluation.score_pairs import score_pairs
    from dubbench.evaluation.score_report import ScoreReport
    from dubbench.media.audio import read_speech
    from dubbench.results.rows import ClipResult

    pairing = match(options.pred, options.target)
    speech = read_speech(options.audio) if options.audio else None
    suite = _suite(options)
    if not suite.metrics:
        raise DubbenchError(f"none of the metrics works here: {' '.join(dict.fromkeys(suite.absent.values()))}")
    rules = replace(
        load(BASE),
        name="score",
        length=options.length,
        sync=options.sync,
        embedder=options.embedder,
        pool_minimum=options.frames_minimum,
        metrics={name: DEFINITIONS[name].version for name in suite.metrics},
    )
    pairs = tracked(pairing.pairs, "scoring")
    scores = score_pairs(pairs, suite, rules, speech=speech, source_root=options.source_root, faces=faces)
    scores.results += [ClipResult(PRED, clip, "", failure=refusal) for clip, refusal in pairing.refused.items()]
    report = ScoreReport(
        pairing, scores.results, scores.pooled, suite=suite, rules=rules, backend=scores.backend, faces=faces
    )
    if options.json == STANDARD_OUTPUT:
        print_json(report.document())
    else:
        report.show(console())
        if options.json:
            report.write(options.json)
    if all(result.failure for result in scores.results if result.method == PRED):
        return 1
    _end(options, report)
    return 0


def _end(options: argparse.Namespace, report: "ScoreReport") -> None:
    """Say where the values are, and what would give more of them."""
    from dubbench.assets import store

    missing = [status.asset for status in store.status() if status.state == "absent" and not status.asset.manual]
    reasons = " ".join(report.suite.absent.values())
    wanted = [asset.name for asset in missing if asset.name in reasons]
    written = options.json if options.json and options.json != STANDARD_OUTPUT else None
    words = ["score", "--pred", options.pred, "--target", options.target]
    ending(
        output=f"{written}: values, definitions and versions" if written else "",
        following=[
            *([command(["assets", "pull", *wanted])] if wanted else []),
            *([] if options.json else [command([*words, "--json", "scores.json"])]),
        ]
        or command(["protocol"]),
    )


def _suite(options: argparse.Namespace) -> "Suite":
    from dubbench.metrics.suite import Suite, standard

    where, networks = device(options.device), {}
    if options.sync_expert or options.style_encoder:
        from dubbench.evaluation.experts import experts  # with it come all our models, which nothing else here needs

        networks = experts(options.sync_expert, options.style_encoder, where)
    return Suite(
        options.metrics or standard(networks),
        device=where,
        sync=options.sync,
        embedder=options.embedder,
        pool_minimum=options.frames_minimum,
        networks=networks,
    )
