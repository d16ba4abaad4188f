"""``dubbench doctor``: what is installed here, what is missing, what that costs and how to get it."""

import argparse

from dubbench.commands import add_json
from dubbench.core.console import ending, print_json, show
from dubbench.doctor import report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "The text fits one screen and is meant to be pasted into an issue; it names no file of yours."
    add_json(parser, "what was found")


def run(options: argparse.Namespace) -> int:
    """Look and tell; 1 if something is missing or broken that verbs cannot do without."""
    found = report.examine()
    if options.json:
        print_json(report.document(found))
    else:
        show(report.text(found))
    remedies = [finding.remedy for finding in sorted(found, key=lambda each: not each.stops_work) if finding.remedy]
    ending(following=remedies[:1])
    return int(any(finding.stops_work for finding in found))
