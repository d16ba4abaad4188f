"""One clip dubbed with several references, and how far each metric moves with them (RADIO 4.2, Figure 4)."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dubbench.core import devices
from dubbench.core.console import report
from dubbench.core.files import inside, write_text
from dubbench.core.tables import as_csv
from dubbench.datamodules.clip import PreparedClip
from dubbench.evaluation.candidates import Candidate, Dubbed, Dubber, ScoringJob
from dubbench.evaluation.experts import experts
from dubbench.evaluation.footage import SourceFootage
from dubbench.evaluation.plan import misaligned
from dubbench.evaluation.score_clip import score_clip
from dubbench.face.landmarks import FaceMesh
from dubbench.face.warp import warp
from dubbench.figures import plotting
from dubbench.figures.strip import evenly, frames_of
from dubbench.media.container import Image
from dubbench.metrics.suite import Suite
from dubbench.models.load import load_model
from dubbench.protocols.protocol import Protocol, load
from dubbench.results.numbers import number
from dubbench.results.rows import GROUND_TRUTH, ClipResult, is_pooled

SIDE = 256
COLUMNS = ("metric", "reference", "value")
SPREAD = ("mean", "std", "min", "max")


class WithReference(Dubbed):
    """A dubber that sees one frame, whatever the protocol allows."""

    def __init__(self, dubber: Dubber, reference: int) -> None:
        """Name the row after the frame."""
        super().__init__(f"reference_{reference}", dubber)
        self.reference = reference

    def references(self, job: ScoringJob) -> list[int]:
        """See `Dubbed`."""
        return [self.reference]


@dataclass(frozen=True)
class Robustness:
    """What several references gave on one clip.

    Attributes:
        references: frame numbers.
        results: of each.
        frames: numbers of the frames that are shown.
        truth: those frames of the ground truth, aligned, uint8 [256, 256, 3].
        pictures: the reference frames.
        dubbed: by reference, the frames that are shown.
        metrics: names.
        absent: metrics that could not be computed, with the reason.
    """

    references: list[int]
    results: list[ClipResult]
    frames: list[int]
    truth: list[Image]
    pictures: list[Image]
    dubbed: list[list[Image]]
    metrics: list[str]
    absent: dict[str, str]

    def spread(self, metric: str) -> dict[str, float]:
        """Mean, sample deviation, least and greatest value over the references; NaN where there is none."""
        values = [result.values[metric] for result in self.results if metric in result.values]
        if not values:
            return dict.fromkeys(SPREAD, float("nan"))
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        return dict(zip(SPREAD, (float(np.mean(values)), deviation, min(values), max(values)), strict=True))


def compare(
    dubber: Dubber,
    clip: PreparedClip,
    references: Sequence[int],
    frames: Sequence[int],
    *,
    rules: Protocol,
    suite: Suite,
    source_root: Path | None = None,
) -> Robustness:
    """Dub a clip by its own speech with each reference alone, and score each as `dubbench eval` does.

    Metrics that pool the frames of a split say nothing of one clip and are left out.

    Raises:
        DubbenchError: if a clip's source is not there, or a reference gives no video.
    """
    footage = SourceFootage.find(clip, source_root)
    rows = [WithReference(dubber, reference) for reference in references]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        videos = Path(folder)
        candidates: list[Candidate] = [Candidate(), *rows]
        meshes = {row.name: stack.enter_context(FaceMesh()) for row in candidates}
        job = ScoringJob(footage, clip.speech(), rules, prepared=clip)
        results = score_clip(job, dict.fromkeys(candidates, ""), suite, meshes, videos=videos)
        shown = {
            row.name: _aligned(inside(videos / row.name, f"{clip.info.clip}.mp4"), clip, frames)
            for row, result in zip(candidates, results, strict=True)
            if not result.failure
        }
    for result in results:
        plotting.refuse(result.failure and f"{clip.info.clip} with {result.method} cannot be scored: {result.failure}")
    return Robustness(
        references=list(references),
        results=results[1:],
        frames=list(frames),
        truth=shown[GROUND_TRUTH],
        pictures=list(clip.frames(references, SIDE)),
        dubbed=[shown[row.name] for row in rows],
        metrics=[metric for metric in suite.metrics if not is_pooled(metric)],
        absent=suite.absent,
    )


def _aligned(video: Path, clip: PreparedClip, frames: Sequence[int]) -> list[Image]:
    scale = clip.info.size / SIDE
    transforms = clip.transforms(frames) * [scale, scale, 1.0]
    pictures = frames_of(video, frames)
    # Landmarks name pixels by their centres' indices, the aligned square by its edges: `warp` takes care of both.
    return [warp(picture, transform, SIDE) for picture, transform in zip(pictures, transforms, strict=True)]


def write(path: Path, found: Robustness) -> None:
    """Write a line a metric and reference, then its spread over the references."""
    lines = []
    for metric in found.metrics:
        values = {
            str(k): r.values.get(metric, float("nan")) for k, r in zip(found.references, found.results, strict=True)
        }
        lines += [(metric, name, number(value)) for name, value in {**values, **found.spread(metric)}.items()]
    write_text(path, as_csv(COLUMNS, lines))


def table(found: Robustness) -> str:
    """Metrics by reference with their spread, as text of one width a letter."""
    lines = []
    for metric in found.metrics:
        spread = found.spread(metric)
        if spread["mean"] == spread["mean"]:
            values = [result.values.get(metric, float("nan")) for result in found.results]
            cells = [f"{value:.4g}" for value in (*values, spread["mean"])]
            lines.append([metric, *cells, f"{spread['max'] - spread['min']:.2g}"])
    return plotting.lettering(["", *(f"ref {k}" for k in found.references), "mean", "range"], lines)


def draw(found: Robustness, out: Path) -> None:
    """Write the figure: ground truth, then a row a reference with that reference first; values stand below."""
    text = table(found)
    foot = 0.118 * (text.count("\n") + 2)
    figure, cells = plotting.grid(len(found.references) + 1, len(found.frames) + 1, foot=foot)
    plotting.name_row(cells[0][0], "ground truth")
    for column, (k, picture) in enumerate(zip(found.frames, found.truth, strict=True), 1):
        plotting.show(cells[0][column], picture, f"frame {k}")
    for row, reference, own, dubbed in zip(cells[1:], found.references, found.pictures, found.dubbed, strict=True):
        plotting.show(row[0], own)
        plotting.name_row(row[0], f"reference\n(frame {reference})")
        for cell, picture in zip(row[1:], dubbed, strict=True):
            plotting.show(cell, picture)
    figure.supxlabel(text, x=0.02, ha="left", fontsize=7, family="monospace")
    plotting.save(figure, out)


def make(
    *,
    ckpt_path: Path,
    root: Path,
    clip: str,
    references: str,
    frames: str | None,
    protocol: str,
    sync_expert: Path | None,
    style_encoder: Path | None,
    source_root: Path | None,
    device: str,
    csv: Path | None,
    out: Path,
) -> None:
    """Dub, score, write figure and table, and print the table.

    Args:
        ckpt_path: a method's checkpoint.
        root: folder of prepared clips.
        clip: id of a clip in it.
        references: ``K,K,...``, numbers of the frames that are the reference in turn.
        frames: ``K,K,...``, numbers of the frames that are shown; None for five, evenly.
        protocol: name or file.
        sync_expert: checkpoint behind ``sync_similarity``.
        style_encoder: checkpoint behind ``style_sim``.
        source_root: where the corpus lies, if it moved.
        device: name of a device.
        csv: file for every value and the spreads.
        out: PNG.

    Raises:
        DubbenchError: where one of these does not fit the clip.
    """
    where = devices.device(device)
    dubbed = PreparedClip(root, clip)
    numbers = plotting.numbers(references, "--references", len(dubbed))
    plotting.refuse(len(set(numbers)) < len(numbers) and f"--references {references} names a frame twice")
    shown = plotting.numbers(frames, "--frames", len(dubbed)) if frames else evenly(len(dubbed), 5)
    model, rules = load_model(ckpt_path, where), load(protocol)
    plotting.refuse(misaligned(rules, dubbed.info, root))
    model.check_alignment(dubbed.info.align, f"{root} was prepared")
    suite = Suite(
        {name: version for name, version in rules.metrics.items() if not is_pooled(name)},
        device=where,
        sync=rules.sync,
        embedder=rules.embedder,
        pool_minimum=rules.pool_minimum,
        networks=experts(sync_expert, style_encoder, where),
    )
    found = compare(model, dubbed, numbers, shown, rules=rules, suite=suite, source_root=source_root)
    draw(found, out)
    if csv:
        write(csv, found)
    report(table(found))
    for reason in dict.fromkeys(found.absent.values()):
        report(f"without {', '.join(name for name, why in found.absent.items() if why == reason)}: {reason}")
