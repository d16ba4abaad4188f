"""``dubbench prepare``: turn a folder of talking video into aligned clips."""

import argparse
from pathlib import Path

from dubbench.core.locks import claimed
from dubbench.datamodules.sources import MODULES
from dubbench.errors import DubbenchError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--dataset", required=True, metavar="NAME", help=f"corpus: {', '.join(sorted(MODULES))}")
    parser.add_argument("--root", required=True, type=Path, metavar="DIR", help="where the corpus lies")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="prepared folder to make or go on with")
    parser.add_argument("--size", type=int, default=512, help="side of the aligned frames in pixels (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument(
        "--smooth", type=float, default=0.0, metavar="S", help="smooth the alignment by a Gaussian of S frames (off)"
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


def run(options: argparse.Namespace) -> int:
    """Prepare, fit face geometry if asked for, and say what came of it.

    Returns:
        Exit status: 0 if the folder holds clips (with geometry, if asked for), 1 if nothing could be made.

    Raises:
        DubbenchError: if an option or the corpus cannot be used.
        KeyboardInterrupt: if it was interrupted, with what that means.
    """
    from dubbench.datamodules.prepare.run import prepare

    settings = {name: getattr(options, name) for name in ("size", "workers", "smooth", "faces", "split", "limit")}
    try:
        _check_geometry(options)
        report = prepare(options.dataset, options.root, options.out, **settings)
        failed = f"{report.failed} failed" + (f" (see {options.out / 'failures.csv'})" if report.failed else "")
        print(f"{options.out}: {report.done} prepared, {report.skipped} finished before, {failed}", flush=True)
        there = report.done + report.skipped > 0
        if there and options.geometry:
            there = _fit(options)
    except KeyboardInterrupt as stop:
        sentence = "stopped; finished clips are kept, the same command goes on from here"
        raise KeyboardInterrupt(sentence) from stop
    return 0 if there else 1


def _check_geometry(options: argparse.Namespace) -> None:
    """Find out before hours of preparing whether the geometry asked for can be had."""
    if options.geometry:
        from dubbench.datamodules.prepare.geometry import given_model
        from dubbench.datamodules.prepare.guess import settled_guess

        given_model(options.out, options.geometry, options.geometry_file)
        settled_guess(options.out, options.geometry, options.geometry_file)
    elif options.geometry_file:
        raise DubbenchError("--geometry_file wants --geometry beside it: mesh, ict or bfm")


def _fit(options: argparse.Namespace) -> bool:
    """Fit the face model to every clip; returns whether any clip has geometry now."""
    from dubbench.datamodules.prepare.geometry import FAILURES, prepare_geometry

    with claimed(options.out, "prepare"):
        report = prepare_geometry(options.out, options.geometry, options.workers, options.geometry_file)
    failed = f"{len(report.failures)} failed" + (f" (see {options.out / FAILURES})" if report.failures else "")
    how = f"{options.geometry} (first guess: {report.guess})" if report.guess else options.geometry
    print(f"{options.out}: {report.done} fitted with {how}, {report.skipped} finished before, {failed}")
    return report.done + report.skipped > 0
