"""What runs in a process of its own: verbs one after the other, with a line when each file begins and ends.

``python -m tests.malformed.child LOG WORDS...``: a verb's words; several verbs are divided by ``+``.
"""

import functools
import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak() -> int:
    """The most memory of this process since it was forgotten last, in bytes; 0 where the system does not say."""
    if not STATUS.is_file():
        return 0
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def forget() -> None:
    """Begin to measure the most memory anew."""
    if CLEAR.exists():
        CLEAR.write_text("5")


def _watch(module: ModuleType, function: str, name: Callable[..., str], log: TextIO) -> None:
    """Let a module's function write to ``log`` when it begins with a file and when it ends."""
    work = vars(module)[function]

    @functools.wraps(work)
    def told(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        forget()
        begun = time.process_time()
        print(json.dumps(["begin", name(*args)]), file=log, flush=True)
        try:
            return work(*args, **options)
        finally:
            print(json.dumps(["end", name(*args), time.process_time() - begun, peak()]), file=log, flush=True)

    vars(module)[function] = told


def main(log: TextIO, words: list[str]) -> None:
    """Run the verbs."""
    from dubbench import cli

    if words[0] == "prepare":
        from dubbench.datamodules.prepare import run

        _watch(run, "prepare_clip", lambda job, tell: job.raw.clip, log)
    elif words[0] == "dub":
        from dubbench.commands import dub

        _watch(dub, "run", lambda options: options.out.stem, log)
    else:
        from dubbench.evaluation import score_pairs
        from dubbench.media import audio

        _watch(score_pairs, "_scored", lambda pair, *rest: pair.name, log)
        _watch(audio, "read_speech", lambda path: Path(path).name, log)
    while words:
        end = words.index("+") if "+" in words else len(words)
        with redirect_stderr(StringIO()) as said:
            status = cli.main(words[:end])
        sys.stderr.write(said.getvalue())
        print(json.dumps(["verb", words[:end], status, said.getvalue()]), file=log, flush=True)
        words = words[end + 1 :]


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", encoding="utf-8") as told:
        main(told, sys.argv[2:])
