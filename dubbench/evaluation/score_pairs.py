"""Scores of pairs of videos, as ``dubbench score`` gives them: what went well, what failed, and metrics over all."""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from dubbench.errors import DubbenchError
from dubbench.evaluation.candidates import Candidate, ScoringJob
from dubbench.evaluation.pairs import PRED, Pair, Prediction
from dubbench.evaluation.score_clip import FEATURES, score_clip
from dubbench.face.choice import Faces, most_faces
from dubbench.face.landmarks import FaceMesh
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.metrics.suite import Suite
from dubbench.protocols.protocol import Protocol
from dubbench.results.rows import GROUND_TRUTH, INFORMATIVE, ClipResult, Pooled


@dataclass
class PairScores:
    """Results of pairs.

    Attributes:
        backend: of the landmarks.
        results: of predictions, and of ground truth where it has values of its own.
        pooled: by method, what the metrics over all frames gave.
    """

    backend: str
    results: list[ClipResult] = field(default_factory=list)
    pooled: Mapping[str, Pooled] = field(default_factory=dict)


def score_pairs(
    pairs: Iterable[Pair],
    suite: Suite,
    rules: Protocol,
    *,
    speech: NDArray[np.float32] | None = None,
    source_root: Path | None = None,
    faces: Faces = "largest",
) -> PairScores:
    """Score pairs one after the other; one that fails has its reason and stops no other.

    Args:
        pairs: predictions with their ground truth.
        suite: metrics.
        rules: the choices.
        speech: float32 [S], 16 kHz, that the lips of a single video shall fit; None for each video's own.
        source_root: where a prepared corpus lies, if it moved.
        faces: whose face is scored where there are several, see `dubbench.face.choice`.
    """
    with ExitStack() as stack:
        features = Path(stack.enter_context(TemporaryDirectory(prefix="dubbench-")))
        meshes = {name: stack.enter_context(FaceMesh(most_faces(faces))) for name in (PRED, GROUND_TRUTH)}
        scores = PairScores(meshes[PRED].backend)
        for pair in pairs:
            scores.results += _scored(
                pair, suite, meshes, rules, speech=speech, root=source_root, features=features, faces=faces
            )
        scores.pooled = _pooled(scores.results, suite, features)
    return scores


def _scored(
    pair: Pair,
    suite: Suite,
    meshes: Mapping[str, FaceMesh],
    rules: Protocol,
    *,
    speech: NDArray[np.float32] | None,
    root: Path | None,
    features: Path,
    faces: Faces,
) -> list[ClipResult]:
    """Results of a pair, and of its ground truth where that has values of its own.

    How well its lips fit its speech always says something. The landmarks of a prepared clip were found when it was
    prepared; finding them again gives the noise floor of landmark distances.
    """
    own = {"speech", "landmarks"} if pair.target[0].prepared else {"speech"}
    prediction = Prediction(pair, speech)
    candidates: dict[Candidate, str] = {prediction: ""}
    if any(suite.wants(need) for need in (*own, "pool")):
        candidates[Candidate()] = ""
    try:
        job = ScoringJob(pair.footage(meshes[GROUND_TRUTH], root, faces), speech, rules, faces=faces)
        heard = [] if suite.wants("speech") else prediction.listen(job)
        pred, *truths = score_clip(job, candidates, suite, meshes, features=features)
        kept = [replace(truth, values=_of_need(truth.values, own)) for truth in truths]
        remarks = [*heard, *pred.remarks, *(f"ground truth: {remark}" for remark in job.footage.remarks)]
        return [replace(pred, remarks=remarks), *kept]
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
