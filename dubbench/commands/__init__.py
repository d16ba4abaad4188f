"""The verbs of the command line, one file each: ``add_arguments`` declares the options, ``run`` does the work.

A verb that builds models or data from the command line takes their constructors' options, too (``--model.size 96``):
it declares ``CONSTRUCTORS``, the prefixes of such options, and finds the words in ``options.constructors``.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module


def call(verb: str, summary: str, words: Sequence[str]) -> int:
    """Parse the words after a verb and run it.

    Args:
        verb: name of its module here.
        summary: what it does, for ``--help``.
        words: of the command line.

    Returns:
        The exit status.
    """
    module = import_module(f"dubbench.commands.{verb}")
    if hasattr(module, "main"):
        return int(module.main(words))
    prefixes: tuple[str, ...] = getattr(module, "CONSTRUCTORS", ())
    parser = argparse.ArgumentParser(prog=f"dubbench {verb}", description=summary, allow_abbrev=not prefixes)
    module.add_arguments(parser)
    options, others = parser.parse_known_args(words)
    options.words = list(words)
    options.constructors = _constructors(others, prefixes, parser)
    return int(module.run(options))


def _constructors(words: Sequence[str], prefixes: tuple[str, ...], parser: argparse.ArgumentParser) -> list[str]:
    """The words for constructors; any other is a usage error."""
    option = ""
    for word in words:
        if word.startswith("--"):
            option = word
        if not prefixes or not option.startswith(prefixes):
            parser.error(f"unrecognized arguments: {word}")
        if "=" in option:
            option = ""
    return list(words)
