"""``dubbench score``: any pair of videos or folders of videos, prepared or not, by every metric that works here."""

import argparse
from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from dubbench.core.devices import device
from dubbench.core.progress import tracked
from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import Candidate, ScoringJob
from dubbench.evaluation.pairs import PRED, Pair, Prediction, match
from dubbench.evaluation.score_clip import FEATURES, score_clip
from dubbench.evaluation.score_report import ScoreReport
from dubbench.face.landmarks import FaceMesh
from dubbench.media.audio import read_speech
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.metrics.fid import MINIMUM
from dubbench.metrics.suite import EMBEDDER, Suite
from dubbench.metrics.sync_rules import SYNC_RULES
from dubbench.protocols.protocol import Protocol, load
from dubbench.results.rows import GROUND_TRUTH, INFORMATIVE, ClipResult, Pooled

BASE = "first_frame"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--pred", required=True, type=Path, metavar="PATH", help="video, folder or prepared folder")
    parser.add_argument("--target", required=True, type=Path, metavar="PATH", help="ground truth, of the same kind")
    parser.add_argument(
        "--audio", type=Path, metavar="FILE", help="speech that the lips of a single video shall fit (its own sound)"
    )
    parser.add_argument(
        "--metrics", nargs="+", choices=DEFINITIONS, metavar="NAME", help=f"some of {', '.join(DEFINITIONS)} (all)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write values, definitions and versions")
    parser.add_argument(
        "--length",
        choices=get_args(get_type_hints(Protocol)["length"]),
        default="equal",
        help="equal: lengths may differ by one frame; prefix: the frames that both have count (%(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (%(default)s)")
    parser.add_argument(
        "--sync",
        choices=SYNC_RULES,
        default="landmark",
        help="faces for SyncNet: landmark tracks, the official S3FD pipeline, or precropped frames (%(default)s)",
    )
    parser.add_argument(
        "--embedder", default=EMBEDDER, metavar="NAME", help="asset or ONNX file behind CSIM (%(default)s)"
    )
    parser.add_argument("--sync_expert", type=Path, metavar="CKPT", help="checkpoint behind sync_similarity (none)")
    parser.add_argument("--style_encoder", type=Path, metavar="CKPT", help="checkpoint behind style_sim (none)")
    parser.add_argument(
        "--frames_minimum", type=int, default=MINIMUM, metavar="N", help="frames that FID asks for (%(default)s)"
    )
    parser.add_argument("--source_root", type=Path, metavar="DIR", help="where a prepared corpus lies, if it moved")


def run(arguments: argparse.Namespace) -> int:
    """Score, show the table and write the JSON file.

    Returns:
        Exit status: 0 if any pair could be scored, 1 if none.

    Raises:
        DubbenchError: if the two sides do not go together, or no metric works here.
    """
    if arguments.audio and not arguments.pred.is_file():
        raise DubbenchError("--audio goes with a single video; the videos of a folder bring their own sound")
    if arguments.frames_minimum < 2:
        raise DubbenchError(f"--frames_minimum is {arguments.frames_minimum}; FID takes at least 2 frames a side")
    pairing = match(arguments.pred, arguments.target)
    speech = read_speech(arguments.audio) if arguments.audio else None
    suite = _suite(arguments)
    if not suite.metrics:
        raise DubbenchError(f"none of the metrics works here: {' '.join(dict.fromkeys(suite.absent.values()))}")
    rules = replace(
        load(BASE),
        name="score",
        length=arguments.length,
        sync=arguments.sync,
        embedder=arguments.embedder,
        pool_minimum=arguments.frames_minimum,
        metrics={name: DEFINITIONS[name].version for name in suite.metrics},
    )
    with ExitStack() as stack:
        features = Path(stack.enter_context(TemporaryDirectory(prefix="dubbench-")))
        meshes = {name: stack.enter_context(FaceMesh()) for name in (PRED, GROUND_TRUTH)}
        results = [
            result
            for pair in tracked(pairing.pairs, "scoring")
            for result in _scored(pair, speech, suite, meshes, rules, features, arguments.source_root)
        ]
        results += [ClipResult(PRED, clip, "", failure=refusal) for clip, refusal in pairing.refused.items()]
        pooled = _pooled(results, suite, features)
        backend = meshes[PRED].backend
    report = ScoreReport(pairing, results, pooled, suite, rules, backend)
    report.show(Console())
    if arguments.json:
        report.write(arguments.json)
    return 0 if any(not result.failure for result in results if result.method == PRED) else 1


def _suite(arguments: argparse.Namespace) -> Suite:
    where, networks = device(arguments.device), {}
    if arguments.sync_expert or arguments.style_encoder:
        from dubbench.evaluation.experts import experts  # with it come all our models, which nothing else here needs

        networks = experts(arguments.sync_expert, arguments.style_encoder, where)
    wanted = arguments.metrics or [name for name, each in DEFINITIONS.items() if _asked(each.network, networks)]
    return Suite(
        wanted,
        device=where,
        sync=arguments.sync,
        embedder=arguments.embedder,
        pool_minimum=arguments.frames_minimum,
        networks=networks,
    )


def _asked(network: str, networks: Mapping[str, object]) -> bool:
    """Whether a metric is computed unless others are named: no file makes up for a network that one has to train."""
    return network not in ("sync_expert", "style_encoder") or network in networks


def _scored(
    pair: Pair,
    speech: NDArray[np.float32] | None,
    suite: Suite,
    meshes: Mapping[str, FaceMesh],
    rules: Protocol,
    features: Path,
    source_root: Path | None,
) -> list[ClipResult]:
    """Results of a pair, and of its ground truth where that has values of its own.

    How well its lips fit its speech always says something. The landmarks of a prepared clip were found when it was
    prepared; finding them again gives the noise floor of landmark distances.
    """
    own = {"speech", "landmarks"} if pair.target[0].prepared else {"speech"}
    candidates: dict[Candidate, str] = {Prediction(pair, speech): ""}
    if any(suite.wants(need) for need in (*own, "pool")):
        candidates[Candidate()] = ""
    try:
        job = ScoringJob(pair.footage(meshes[GROUND_TRUTH], source_root), speech, rules)
        pred, *truths = score_clip(job, candidates, suite, meshes, features=features)
        kept = [replace(truth, values=_of_need(truth.values, own)) for truth in truths]
        return [pred, *kept]
    except DubbenchError as error:
        return [ClipResult(each.name, pair.name, "", failure=str(error)) for each in candidates]


def _of_need(values: Mapping[str, float], needs: Container[str]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name in INFORMATIVE or DEFINITIONS[name].needs in needs}


def _pooled(results: Sequence[ClipResult], suite: Suite, features: Path) -> dict[str, Pooled]:
    """Metrics over the frames of all pairs that could be scored."""
    if not suite.wants("pool"):
        return {}
    failed = {result.clip for result in results if result.failure}
    clips = sorted({result.clip for result in results} - failed)
    files = {name: [features / name / f"{clip}{FEATURES}" for clip in clips] for name in (PRED, GROUND_TRUTH)}
    return {PRED: Pooled(*suite.pooled(files[PRED], files[GROUND_TRUTH]))}
