"""``dubbench prepare``: turn a folder of talking video into aligned clips."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dubbench.commands import add_json
from dubbench.core.config_names import data_words
from dubbench.core.console import announce, command, ending, note, print_json, report
from dubbench.core.files import output_folder
from dubbench.core.locks import claimed
from dubbench.datamodules.sources import MODULES
from dubbench.errors import DubbenchError

if TYPE_CHECKING:
    from dubbench.datamodules.prepare.geometry import GeometryReport
    from dubbench.datamodules.prepare.quality import Quality, QualityReport
    from dubbench.datamodules.prepare.run import PrepareReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dataset", required=True, metavar="NAME", help=f"corpus: {', '.join(sorted(MODULES))}")
    parser.add_argument("--root", required=True, type=Path, metavar="DIR", help="where the corpus lies")
    parser.add_argument(
        "--out", required=True, type=output_folder, metavar="DIR", help="prepared folder to make or go on with"
    )
    parser.add_argument(
        "--size",
        type=int,
        default=512,
        help="side of the aligned frames in pixels; to train RADIO alone 192, PersonaTalk or RealTalk 256, G4G 768: "
        "what is larger than a method's frames makes its batches slower to load (%(default)s)",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument(
        "--align",
        default="ffhq",
        metavar="HOW",
        help="ffhq: the papers' square, which moves with the mouth; upper: hung on eyes and nose alone (%(default)s)",
    )
    parser.add_argument(
        "--smooth", type=float, metavar="S", help="smooth the alignment by a Gaussian of S frames (ffhq: off; upper: 8)"
    )
    parser.add_argument(
        "--faces", default="one", help="one: clips with two faces fail; largest: follow the larger (%(default)s)"
    )
    parser.add_argument(
        "--split",
        default="auto",
        metavar="RULE",
        help="auto: the published file, else by speaker; speaker; clip; or a CSV file clip,speaker,split (%(default)s)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="take only the first N clips")
    parser.add_argument(
        "--geometry",
        metavar="SOURCE",
        help="then fit a face model to every clip: mesh (learnt here), ict or bfm (none)",
    )
    parser.add_argument(
        "--geometry_file",
        type=Path,
        metavar="PATH",
        help="the face model's file or folder (its place among the assets)",
    )
    parser.add_argument(
        "--quality",
        metavar="WHOSE",
        help="then score every clip: own (sharpness, exposure, face size), hyperiqa, or a CSV file clip,quality (none)",
    )
    add_json(parser, "what was done, and each failure with its reason,")


def run(options: argparse.Namespace) -> int:
    """Prepare, fit face geometry and score quality if asked for, and say what came of it.

    Returns:
        Exit status: 0 if the folder holds clips (with geometry and quality, if asked for), 1 if nothing could be made.

    Raises:
        DubbenchError: if an option or the corpus cannot be used.
        KeyboardInterrupt: if it was interrupted, with what that means.
    """
    announce(f"prepare {options.dataset} from {options.root}")
    from dubbench.datamodules.prepare.run import prepare
    from dubbench.datamodules.tree import told

    settings = {
        name: getattr(options, name) for name in ("size", "align", "workers", "smooth", "faces", "split", "limit")
    }
    try:
        _check_geometry(options)
        quality = _settled_quality(options)
        made, fitted, scored = prepare(options.dataset, options.root, options.out, **settings), None, None
        if not options.json:
            failed = f"{made.failed} failed" + (f" (see {options.out / 'failures.csv'})" if made.failed else "")
            remarks = f", {len(made.remarks)} with remarks (see the manifest)" if made.remarks else ""
            report(f"{options.out}: {made.done} prepared, {made.skipped} finished before, {failed}{remarks}")
            if made.ignored:
                report(f"{options.root}: {told(made.ignored)}")
        if made.done + made.skipped and options.geometry:
            fitted = _fit(options)
        if made.done + made.skipped and quality is not None:
            scored = _score(options, quality)
        elif made.done:
            _remind(options)
    except KeyboardInterrupt as stop:
        sentence = "stopped; finished clips are kept, the same command goes on from here"
        raise KeyboardInterrupt(sentence) from stop
    if options.json:
        print_json(_document(options.out, made, fitted, scored))
    if not all(step.done + step.skipped for step in (made, fitted, scored) if step is not None):
        return 1
    _end(options, made, fitted, scored)
    return 0


def _document(
    out: Path, made: "PrepareReport", fitted: "GeometryReport | None", scored: "QualityReport | None"
) -> dict[str, object]:
    """What ``--json`` prints."""
    return {
        "out": out,
        "prepared": made.done,
        "finished_before": made.skipped,
        "failures": [asdict(failure) for failure in made.failures],
        "remarks": made.remarks,
        "ignored": dict(made.ignored),
        "geometry": fitted
        and {
            "fitted": fitted.done,
            "finished_before": fitted.skipped,
            "failures": [asdict(failure) for failure in fitted.failures],
            "guess": fitted.guess,
        },
        "quality": scored
        and {
            "name": scored.name,
            "scored": scored.done,
            "finished_before": scored.skipped,
            "failures": [asdict(failure) for failure in scored.failures],
            "not_in_the_folder": scored.strangers,
            "tenths": dict(zip(("0.1", "0.5", "0.9"), scored.tenths, strict=False)),
        },
    }


def _end(
    options: argparse.Namespace,
    made: "PrepareReport",
    fitted: "GeometryReport | None",
    scored: "QualityReport | None",
) -> None:
    """Say where the clips are and how to go on."""
    clips = f"{made.done + made.skipped} clips, listed in manifest.parquet"
    failures = [options.out / "failures.csv"] if made.failed else []
    kept = [f"{made.skipped} clips were prepared before"] if made.skipped else []
    if fitted is not None:
        from dubbench.datamodules.prepare.geometry import FAILURES

        failures += [options.out / FAILURES] if fitted.failures else []
        kept += [f"{fitted.skipped} clips were fitted before"] if fitted.skipped else []
    if scored is not None:
        from dubbench.datamodules.prepare.quality import FAILURES as WITHOUT_SCORE

        failures += [options.out / WITHOUT_SCORE] if scored.failures else []
        kept += [f"{scored.skipped} clips were scored before"] if scored.skipped else []
    data = data_words(options.dataset, options.out)
    from dubbench.datamodules.clip import read_manifest

    trains = "train" in set(read_manifest(options.out)["split"])
    following = ["fit", "--model", "radio_tiny", *data] if trains else ["eval", "--videos", "DIR", *data]
    ending(
        output=f"{options.out}: {clips}",
        look=[f"{path}: why each clip of it failed" for path in failures],
        reused=kept,
        following=command(following),
    )


def _check_geometry(options: argparse.Namespace) -> None:
    """Find out before hours of preparing whether the geometry asked for can be had."""
    if options.geometry:
        from dubbench.datamodules.prepare.geometry import given_model
        from dubbench.datamodules.prepare.guess import settled_guess

        given_model(options.out, options.geometry, options.geometry_file)
        settled_guess(options.out, options.geometry, options.geometry_file)
    elif options.geometry_file:
        raise DubbenchError("--geometry_file wants --geometry beside it: mesh, ict or bfm")


def _fit(options: argparse.Namespace) -> "GeometryReport":
    """Fit the face model to every clip."""
    from dubbench.datamodules.prepare.geometry import FAILURES, prepare_geometry

    with claimed(options.out, "prepare"):
        fitted = prepare_geometry(options.out, options.geometry, options.workers, options.geometry_file)
    failed = f"{len(fitted.failures)} failed" + (f" (see {options.out / FAILURES})" if fitted.failures else "")
    how = f"{options.geometry} (first guess: {fitted.guess})" if fitted.guess else options.geometry
    if not options.json:
        report(f"{options.out}: {fitted.done} fitted with {how}, {fitted.skipped} finished before, {failed}")
    return fitted


def _settled_quality(options: argparse.Namespace) -> "Quality | None":
    """Find out before hours of preparing whether the quality asked for can be had."""
    if not options.quality:
        return None
    from dubbench.datamodules.prepare.quality import settled_quality

    return settled_quality(options.quality)


def _score(options: argparse.Namespace, quality: "Quality") -> "QualityReport":
    """Score every clip."""
    from dubbench.datamodules.prepare.quality import FAILURES, prepare_quality

    with claimed(options.out, "prepare"):
        scored = prepare_quality(options.out, quality, options.workers)
    if not options.json:
        without = len(scored.failures)
        failed = f"{without} without a score" + (f" (see {options.out / FAILURES})" if without else "")
        report(f"{options.out}: {scored.done} scored by {scored.name}, {scored.skipped} scored before, {failed}")
        if scored.tenths:
            low, middle, high = scored.tenths
            report(f"quality: {middle:g} in the middle, a tenth of the clips up to {low:g}, a tenth from {high:g} on")
        if scored.strangers:
            report(f"{options.quality}: {scored.strangers} of its clips are not in {options.out}")
    return scored


def _remind(options: argparse.Namespace) -> None:
    """Say so if clips that were prepared now lack the score that the others have."""
    from dubbench.datamodules.clip import read_manifest
    from dubbench.datamodules.quality import QUALITY, quality_record

    record = quality_record(options.out)
    if record is None or options.json:
        return
    if without := int(read_manifest(options.out)[QUALITY].isna().sum()):
        whose = record.get("file", record["name"])
        note(f"{options.out}: {without} clips have no quality score; the same command with --quality {whose} adds it")
