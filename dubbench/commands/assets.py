"""``dubbench assets``: which pretrained files are here; fetch and verify them."""

import argparse
from collections.abc import Sequence

from dubbench.assets import store
from dubbench.commands import add_json
from dubbench.core.console import command, ending, print_json, report, say, widened
from dubbench.errors import DubbenchError

NARROWEST = 132
STYLES = {"here": "green", "absent": "dim", "damaged": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions, each with its options."""
    add_json(parser, "the list")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="which files are here, by name and size (also without any ACTION)")
    add_json(listing, "the list", default=argparse.SUPPRESS)
    pull = actions.add_parser("pull", help="download and verify; a stopped download goes on where it was")
    pull.add_argument("names", nargs="*", metavar="NAME", help="of a file, as `dubbench assets` lists it")
    pull.add_argument("--all", action="store_true", help="every file that may be fetched")
    verify = actions.add_parser("verify", help="read every byte and compare sha256; exit 1 if a file is damaged")
    verify.add_argument("names", nargs="*", metavar="NAME", help="of a file; all that are here by default")
    add_json(verify, "the list", default=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Do what was asked; 1 if a file is damaged, could not be fetched, or is absent though named."""
    if options.action == "pull":
        return _pull(options.names, options.all)
    if options.action == "verify":
        return _verify(options.names, options.json)
    found = store.status()
    _show(found, options.json)
    absent = [status.asset for status in found if status.state == "absent" and not status.asset.manual]
    ending(following=command(["assets", "pull", absent[0].name]) if absent else "")
    return 0


def _show(found: Sequence[store.Status], document: bool) -> None:
    if document:
        print_json([_document(status) for status in found])
        return
    from rich import box
    from rich.filesize import decimal
    from rich.table import Table
    from rich.text import Text

    console = widened(NARROWEST)
    table = Table(box=box.SIMPLE)
    for header in ("file", "needed by", "size", "licence of the weights", "state"):
        table.add_column(header, justify="right" if header == "size" else "left", no_wrap=header == "file")
    for status in found:
        asset = status.asset
        state = f"{status.state}, {status.fault}" if status.fault else status.state
        # As text, since a path or a name in brackets would be read as markup.
        cells = (asset.name, asset.needed_by, decimal(asset.size) if asset.size else "", asset.licence)
        table.add_row(*map(Text, cells), Text(state, STYLES[status.state]))
    console.print(table)
    places = " then ".join(map(str, store.folders()))
    console.print(f"Looked for in {places}.", style="dim", markup=False, highlight=False, soft_wrap=True)


def _document(status: store.Status) -> dict[str, object]:
    """What ``--json`` prints of a file."""
    asset = status.asset
    facts = {"name": asset.name, "needed_by": asset.needed_by, "licence": asset.licence, "size": asset.size or None}
    return {**facts, "state": status.state, "path": status.path, "fault": status.fault, "pulled": not asset.manual}


def _verify(names: Sequence[str], document: bool) -> int:
    found = [store.verify(name) for name in names or store.ASSETS]
    _show(found, document)
    wrong = [store.damaged(s.asset, s.path, s.fault) for s in found if s.state == "damaged" and s.path is not None]
    missing = [store.absent(status.asset) for status in found if names and status.state == "absent"]
    return _told([*wrong, *missing])


def _pull(names: Sequence[str], everything: bool) -> int:
    if bool(names) == everything:
        raise DubbenchError("name the files to pull, or give --all; `dubbench assets` lists them")
    from dubbench.core.progress import downloading

    wanted = [asset.name for asset in store.ASSETS.values() if not asset.manual] if everything else list(names)
    for name in wanted:
        store.get(name)
    failures = []
    for name in wanted:
        try:
            with downloading(name) as tell:
                path = store.pull(name, tell)
        except DubbenchError as error:
            failures.append(str(error))
        else:
            report(f"{path} (licence of the weights: {store.get(name).licence})")
    if not failures:
        ending(output=str(store.folders()[-1]), following=command(["doctor"]))
    return _told(failures)


def _told(sentences: Sequence[str]) -> int:
    for sentence in sentences:
        say(sentence)
    return 1 if sentences else 0
