"""``dubbench figure``: attention maps, robustness to the reference, frame strips, styles."""

import argparse
from collections.abc import Sequence
from importlib import import_module

from dubbench.errors import DubbenchError

KINDS = {
    "attention": "where patches of RADIO's lower half look in the reference (its Figure 5)",
    "robustness": "one clip dubbed with several references, and the spread of each metric (RADIO's Figure 4)",
    "strip": "frames of several methods on one clip, a row a method",
    "styles": "speaking styles in the plane by t-SNE (PersonaTalk's Figure 5)",
}


def main(args: Sequence[str]) -> int:
    """Draw what the command line says and return the exit status.

    Raises:
        DubbenchError: as the figures do, and if ``--out`` does not end in .png.
    """
    parser = argparse.ArgumentParser(prog="dubbench figure", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    for name, summary in KINDS.items():
        kinds.add_parser(name, help=summary, add_help=False)
    kind = parser.parse_args(args[:1]).kind
    module = import_module(f"dubbench.figures.{kind}")
    options = argparse.ArgumentParser(prog=f"dubbench figure {kind}", description=KINDS[kind])
    module.add_arguments(options)
    given = options.parse_args(args[1:])
    if given.out.suffix.lower() != ".png":
        raise DubbenchError(f"{given.out} does not end in .png, which is what figures are written as")
    module.run(given)
    print(given.out)
    return 0
