"""``dubbench corpus``: how each corpus is obtained and laid out, and whether a folder holds it."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from dubbench.commands import add_json
from dubbench.core.console import announce, command, ending, print_json, show, widened
from dubbench.datamodules.corpus_check import SAMPLE, CorpusReport, about_corpus, check, layout
from dubbench.datamodules.sources import MODULES
from dubbench.datamodules.sources.about import About
from dubbench.errors import DubbenchError

NARROWEST = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a corpus; without it all are listed")
    parser.add_argument("--root", type=Path, metavar="DIR", help="check this folder; exit 1 if it cannot be used")
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, metavar="N", help="clips of it to open, 0 for none (%(default)s)"
    )
    add_json(parser, "what is known of a corpus, of all, or of the folder")


def run(options: argparse.Namespace) -> int:
    """List the corpora, describe one, or check a folder.

    Raises:
        DubbenchError: if no such corpus is known, a folder is given without a corpus, or it cannot be used.
    """
    if options.name is None:
        if options.root is not None:
            raise DubbenchError("name the corpus that --root holds; `dubbench corpus` lists them")
        if options.json:
            print_json({name: _document(name) for name in sorted(MODULES)})
        else:
            _list()
        ending(following=[command(["corpus", "NAME"]), command(["corpus", "NAME", "--root", "DIR"])])
        return 0
    if options.root is None:
        if options.json:
            print_json({options.name: _document(options.name)})
        else:
            _describe(options.name, about_corpus(options.name))
        ending(following=command(["corpus", options.name, "--root", "DIR"]))
        return 0
    if options.sample < 0:
        raise DubbenchError(f"--sample {options.sample} is too small; give 0 or more")
    announce(f"corpus {options.name} in {options.root}")
    try:
        report = check(options.name, options.root, options.sample)
    except OSError as error:
        raise DubbenchError(f"{error.filename} cannot be looked at ({error.strerror})") from error
    _show(report, document=options.json)
    clips = Path("prepared") / options.name
    ending(following=command(["prepare", "--dataset", options.name, "--root", options.root, "--out", clips]))
    return 0


def _document(name: str) -> dict[str, object]:
    """What ``--json`` prints of a corpus."""
    return {**asdict(about_corpus(name)), "layout": layout(name)}


def _list() -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for header in ("corpus", "size", "fps", "frames", "speech"):
        table.add_column(header, no_wrap=header == "corpus")
    for name in sorted(MODULES):
        about = about_corpus(name)
        table.add_row(*map(Text, (name, about.size, rates(about), pixels(about), about.speech)))
    widened(NARROWEST).print(table)


def _describe(name: str, about: About) -> None:
    from rich.table import Table
    from rich.text import Text

    rows = {
        "paper": about.paper,
        "to obtain": about.obtain,
        "licence": about.licence,
        "size": about.size,
        "layout": layout(name),
        "frame rate": rates(about),
        "frames": f"{pixels(about)}; {about.crop}",
        "speech": about.speech,
        "speaker": about.speaker,
        "split": about.split,
        "labels": about.labels,
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for key, value in rows.items():
        table.add_row(Text(key, "bold"), Text(value))
    console = widened(NARROWEST)
    console.print(Text(about.title, "bold"))
    console.print(table)


def rates(about: About) -> str:
    """Frame rates in words."""
    return " or ".join(f"{rate:g} fps" for rate in about.fps) or "differs"


def pixels(about: About) -> str:
    """Frame sizes in words."""
    return " or ".join(f"{width} x {height}" for width, height in about.frames) or "differ"


def _show(report: CorpusReport, *, document: bool) -> None:
    if document:
        print_json(asdict(report))
    for line in () if document else report.facts:
        show(line)
    for line in () if document else report.warnings:
        show(f"warning: {line}")
    sys.stdout.flush()
    if report.fault:
        raise DubbenchError(report.fault)
    if not document:
        show("usable, with the warnings above" if report.warnings else "usable")
