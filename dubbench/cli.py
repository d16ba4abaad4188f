"""The command ``dubbench``: one line a verb, and the place where errors become sentences."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from types import FrameType

from dubbench import __version__
from dubbench.core.console import say, show
from dubbench.errors import UsageError, beneath, sentence

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
    "figure": "draw attention, robustness, frame strips, styles, openings of mouths",
    "study": "a page for opinion scores, and means over its answers",
    "compare": "check results against a baseline; exit 1 unless all are as they were",
    "assets": "pretrained files: list, pull, verify",
    "demo": "all of the above on a corpus made on the spot",
    "doctor": "what is installed, what is missing, what that costs; to paste into an issue",
}
FIRST = {
    "score two videos of yours": "dubbench score --pred dubbed.mp4 --target source.mp4",
    "see everything at work, on a corpus made on the spot": "dubbench demo",
    "prepare a corpus and train a method on it": (
        "dubbench prepare --dataset grid --root GRID --align upper --out prepared/grid && "
        "dubbench fit --model radio_tiny --dataset grid"
    ),
    "score a method, or a folder of videos (--videos DIR), under a protocol": (
        "dubbench eval --model radio_tiny --ckpt_path runs/radio_tiny/checkpoints/last.ckpt --dataset grid "
        "--protocol fair --out results/radio_tiny"
    ),
    "rank results on a page": "dubbench leaderboard results/radio_tiny --html leaderboard.html",
    "see what is missing here, and how to get it": "dubbench doctor",
}
USAGE = 2
INTERRUPTED = 130
AGAIN = 0.05  # seconds until a Ctrl-C that got lost is repeated
STOPPED = "interrupted; the same command goes on where it was"


class Interrupt(KeyboardInterrupt):
    """Ctrl-C. A plain KeyboardInterrupt that passes through C code kills the interpreter in the end, told or not."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status: 0 well, 1 a told error, 2 a usage error, 130 interrupted."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        return _run(words) if words else _first()
    except BaseException as error:
        status = _answer(error)
        if status is None:
            raise
        return status


def _first() -> int:
    """Say what one does first. The status is that of wrong usage, for a script whose verb went missing."""
    show("dubbench trains, scores and ranks methods that give a video other speech. What one does first:\n")
    for wish, line in FIRST.items():
        show(f"  {wish}\n    {line}")
    show("\n`dubbench --help` lists all verbs, `dubbench VERB --help` what each takes.")
    return USAGE


def _run(words: list[str]) -> int:
    import argparse

    from dubbench import commands

    parser = argparse.ArgumentParser(prog="dubbench", description="Benchmark suite for audio-driven visual dubbing.")
    parser.add_argument("--version", action="version", version=f"dubbench {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, summary in VERBS.items():
        verbs.add_parser(name, help=summary, add_help=False)
    verb = parser.parse_args(words[:1]).verb
    return commands.call(verb, words[1:], VERBS[verb])


def _answer(error: BaseException) -> int | None:
    """Say what ended a verb and return the exit status; None for a fault of this package, which needs its traceback."""
    # Modules written in C make ImportErrors of a Ctrl-C while they are loaded, and Lightning a plain exit.
    interrupt = beneath(error, KeyboardInterrupt)
    if interrupt is not None:
        return _say(str(interrupt) or STOPPED, INTERRUPTED)
    if isinstance(error, SystemExit):
        return _say(error.code) if isinstance(error.code, str) else int(error.code or 0)
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 1
    told = sentence(error)
    usage = beneath(error, UsageError) is not None
    return None if told is None else _say(told, USAGE if usage else 1)


def _say(sentence: str, status: int = 1) -> int:
    say(sentence)
    return status


def run() -> None:
    """Entry point of the console script.

    Ctrl-C in the hundredths of a second before it, while the interpreter starts, is the interpreter's to answer.
    """
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # and not ignored, as in the background
    if ours:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _lost
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a console's encoding lacks is written out
    status = main()
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is left to do is not worth a traceback
    sys.exit(status)


def _lost(what: "sys.UnraisableHookArgs") -> None:
    """Repeat a Ctrl-C that came while C code was calling Python, which can only print and forget what is raised."""
    if what.exc_type is not None and issubclass(what.exc_type, KeyboardInterrupt):
        # To the main thread, so that it wakes up where it waits.
        main = threading.main_thread().ident or 0
        repeated = False
        while not repeated:
            # On a busy machine it comes while its thread is still being started, and would be lost once more.
            with suppress(KeyboardInterrupt):
                threading.Timer(AGAIN, signal.pthread_kill, (main, signal.SIGINT)).start()
                repeated = True
    else:
        sys.__unraisablehook__(what)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Answer Ctrl-C.

    While a verb loads what it drives, nothing is there to be tidied up, and an exception could get lost: libraries
    catch whatever goes wrong in their imports.
    """
    if not _loading(frame):
        raise Interrupt
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(_say(STOPPED, INTERRUPTED))


def _loading(frame: FrameType | None) -> bool:
    """Whether the program is at an import of this module's or a verb's own, rather than of what it drives."""
    importer, machinery = "", False
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if machinery and not name.startswith("importlib"):
            importer = name
        machinery = name.startswith("importlib")
        frame = frame.f_back
    return importer.startswith((__name__, "dubbench.commands"))
