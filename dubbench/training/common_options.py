"""What ``dubbench fit`` and ``validate`` have in common on the command line, without Lightning.

These options are declared for ``--help``; `dubbench.training.lightning_cli` reads the words.
"""

import argparse
from collections.abc import Sequence
from itertools import chain

from dubbench.errors import DubbenchError

# What decides how long and how fast a model learns, but not what it is.
OF_TRAINING = ("--model.iterations", "--model.batch_size", "--model.optim.")
CONSTRUCTORS = ("--model.", "--data.", "--dataset.", "--trainer.")


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Declare the model, the data, the seed, and what has to do with configs."""
    parser.epilog = (
        "The constructors of the method, the data and Lightning's Trainer have options of their own, such as "
        "--model.optim.lr, --dataset.root and --trainer.max_epochs: "
        f"`{parser.prog} --model radio --help_all` lists them."
    )
    add = parser.add_argument
    add("--model", metavar="NAME", help="a method's short name or YAML file, or the class of one of yours")
    add("--dataset", "--data", metavar="NAME", help="a dataset's short name or YAML file")
    add("--seed_everything", metavar="N", help="of weights, batches and references (default: 0)")
    add("--trainer", metavar="FILE", help="YAML file of the trainer's options")
    add("--config", "-c", metavar="FILE", help="YAML file of all options, such as a run's config.yaml")
    add(
        "--print_config",
        nargs="?",
        const="",
        metavar="skip_default",
        help="print what all options are as YAML, and stop",
    )
    add("--help_all", action="store_true", help="list the options of --model NAME, the data and the trainer, and stop")


def check_given(options: argparse.Namespace, *names: str) -> bool:
    """See that options that no run can do without are on the command line, unless a config may hold them.

    Returns:
        Whether the words only ask for help, or for what the options are.

    Raises:
        DubbenchError: if one is not.
    """
    missing = [f"--{name}" for name in names if getattr(options, name) is None]
    asked = any(word.endswith(".help") for word in options.words)
    asks = bool(options.help_all) or options.print_config is not None or asked
    if missing and not (options.config or asks):
        raise DubbenchError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; see --help")
    return asks


def for_scoring(options: argparse.Namespace) -> list[str]:
    """Those words of a training that `dubbench eval` needs to build the same model and to find the same clips."""
    given = options.constructors
    data = _each([*given["--data."], *given["--dataset."]])
    roots = (each for each in data if each[0].partition("=")[0].endswith(".root"))
    return ["--model", options.model, *network_words(given["--model."]), "--dataset", options.dataset, *chain(*roots)]


def network_words(words: Sequence[str]) -> list[str]:
    """Those of a training's words that say what the model is; `dubbench eval` needs them, too."""
    model = (each for each in _each(words) if each[0].startswith("--model."))
    return [*chain(*(each for each in model if not each[0].startswith(OF_TRAINING)))]


def _each(words: Sequence[str]) -> list[list[str]]:
    """Options with their values."""
    found: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            found.append([])
        found[-1].append(word)
    return found
