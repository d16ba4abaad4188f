"""The command ``dubbench``: one line a verb, and the place where errors become sentences."""

import argparse
import errno
import sys
from collections.abc import Sequence

from dubbench import __version__, commands
from dubbench.errors import DubbenchError

# Every verb is the module of its name in `dubbench.commands`: `add_arguments(parser)` and `run(options) -> status`.
VERBS = {
    "corpus": "how a corpus is obtained and laid out; check a folder of it",
    "prepare": "turn a folder of talking video into aligned clips",
    "fit": "train a method on prepared clips",
    "validate": "measure a checkpoint's losses on held-out windows",
    "eval": "score a checkpoint, or anybody's videos, under a protocol",
    "protocol": "show a protocol: its choices, hash, clips and pairings",
    "score": "compare any two videos or folders of videos, prepared or not",
    "dub": "give a video other speech, at its own resolution",
    "speed": "time a method's dubbing on this machine, part by part",
    "export": "write a trained renderer as ONNX, checked with onnxruntime",
    "leaderboard": "put results side by side",
    "ablate": "train and score a method's ablations, beside the paper's table",
    "figure": "draw attention, robustness, frame strips, styles",
    "study": "a page for opinion scores, and means over its answers",
    "compare": "check results against a baseline; exit 1 unless all are as they were",
    "assets": "pretrained files: list, pull, verify",
    "demo": "all of the above on a corpus made on the spot",
}
INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0 well, 1 a told error, 2 a usage error, 130 interrupted."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        return _run(words)
    except DubbenchError as error:
        return _say(str(error))
    except KeyboardInterrupt as interrupt:
        return _say(str(interrupt) or "interrupted; the same command goes on where it was", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        return _say(
            f"the disk is full{where}; free some space and give the same command again: it goes on where it was"
        )
    except ValueError as error:
        # jsonargparse wraps what a model's constructor says of settings that do not go together.
        told = _told(error)
        if told is None:
            raise
        return _say(str(told))
    except SystemExit as stop:
        return _say(stop.code) if isinstance(stop.code, str) else int(stop.code or 0)


def _run(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dubbench", description="Benchmark suite for audio-driven visual dubbing.")
    parser.add_argument("--version", action="version", version=f"dubbench {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        verbs.add_parser(name, help=summary, add_help=False)
    verb = parser.parse_args(words[:1]).verb
    return commands.call(verb, VERBS[verb], words[1:])


def _told(error: BaseException | None) -> DubbenchError | None:
    """The told error at the bottom of another."""
    while error is not None and not isinstance(error, DubbenchError):
        error = error.__cause__ or error.__context__
    return error


def _say(sentence: str, status: int = 1) -> int:
    print(f"dubbench: {sentence}", file=sys.stderr)
    return status


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())
