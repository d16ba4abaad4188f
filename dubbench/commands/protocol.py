"""``dubbench protocol``: what a protocol chooses, its hash, and the clips and pairings it asks for."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from dubbench.commands import add_json
from dubbench.core.config_names import names
from dubbench.core.console import command, console, ending, print_json, report
from dubbench.core.files import output_file, write_text
from dubbench.core.tables import as_csv
from dubbench.errors import DubbenchError
from dubbench.metrics.catalogue import DEFINITIONS
from dubbench.protocols.pairing import pair
from dubbench.protocols.protocol import Protocol, load_all
from dubbench.protocols.selection import listed, published

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = ("protocol", "protocol_hash", "dataset", "clip", "speaker", "driving")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="a protocol's short name or YAML file; without one, all are listed")
    parser.add_argument("--csv", type=output_file, help="write the clips that it asks for, with what drives each")
    add_json(parser, "choices, hashes and clips")


def run(options: argparse.Namespace) -> int:
    """Show one protocol or list all.

    Raises:
        DubbenchError: as `dubbench.protocols.protocol.load_all` does, or if there is no list of clips to write.
    """
    page = console(soft_wrap=True)
    if options.name is None:
        if options.csv:
            raise DubbenchError("--csv writes the clips of one protocol; name it")
        every = {name: load_all(name) for name in names("protocol")}
        if options.json:
            print_json({name: {rule.name: rule.hash for rule in rules} for name, rules in every.items()})
        for name, rules in () if options.json else every.items():
            hashes = ", ".join(f"{rule.name} {rule.hash}" if len(rules) > 1 else rule.hash for rule in rules)
            page.print(f"{name:32}{hashes}")
        ending(following=command(["protocol", "fair"]))
        return 0
    rules = load_all(options.name)
    if options.json:
        print_json([_document(rule) for rule in rules])
    for rule in () if options.json else rules:
        _show(rule, page)
    if options.csv:
        lines = [line for rule in rules for line in clips(rule)]
        if not lines:
            raise DubbenchError(f"{options.name} lists no clip by name, so there is nothing to write")
        write_text(options.csv, as_csv(COLUMNS, lines))
        if not options.json:
            report(f"{options.csv} lists {len(lines)} clips")
    corpora = list(dict.fromkeys(corpus for rule in rules for corpus in rule.clips)) or ["DATASET"]
    words = ["eval", "--videos", "DIR", "--dataset", corpora[0], "--protocol", options.name]
    ending(output=str(options.csv or ""), following=command(words))
    return 0


def _document(rule: Protocol) -> dict[str, object]:
    """What ``--json`` prints of a protocol."""
    return {
        **asdict(rule),
        "hash": rule.hash,
        "listed": [dict(zip(COLUMNS, line, strict=True)) for line in clips(rule)],
    }


def clips(rule: Protocol) -> list[tuple[str, ...]]:
    """A line of `COLUMNS` for every clip that a protocol names by a published list; own speech has no ``driving``."""
    lines: list[tuple[str, ...]] = []
    for corpus, how in rule.clips.items():
        speakers = {clip: published(corpus)[clip] for clip in listed(corpus, how)}
        driving = pair(speakers, rule.pairing_seed) if rule.driving == "cross" and speakers else {}
        lines += [(rule.name, rule.hash, corpus, clip, who, driving.get(clip, "")) for clip, who in speakers.items()]
    return lines


def _show(rule: Protocol, page: "Console") -> None:
    from rich.text import Text

    page.print(Text.assemble((rule.name, "bold"), f"  hash {rule.hash}"))
    for key, value in asdict(rule).items():
        if key not in ("name", "metrics", "clips"):
            page.print(f"  {key:14} {value}")
    for corpus, how in rule.clips.items():
        named = len(listed(corpus, how))
        rest = f"{named} named by its published split" if named else "drawn from the prepared test split"
        page.print(f"  {'clips':14} {how['count']} of {corpus}, seed {how['seed']}: {rest}")
    if not rule.clips:
        page.print(f"  {'clips':14} the whole split that dubbench eval is told")
    for name, version in rule.metrics.items():
        page.print(f"  {name:14} version {version}: {DEFINITIONS[name].text}")
