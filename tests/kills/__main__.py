"""Kill verbs at random moments and compare what they leave with what an undisturbed run leaves."""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from dubbench.cli import main
from tests.kills.process import adopt_orphans, attempt, emptied, left, served
from tests.kills.verbs import VERBS, State, Verb
from tests.server import serving

# What verbs import when they run, and what takes longest of that: kills shall hit their work.
IMPORTED = (
    "dubbench.board.screen",
    "dubbench.commands",
    "dubbench.training.lightning_cli",
    "dubbench.training.build",
    "jsonargparse",
    "librosa.filters",
    "mediapipe",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "torch.utils.tensorboard",
)
OTHER_DISK = Path("/dev/shm")
MOST_FAULTS = 5


class Count(NamedTuple):
    """What came of a verb: kills, runs that ended, ends for want of the server, and what was wrong."""

    kills: int
    ends: int
    given_up: int
    faults: list[str]


@contextmanager
def _address(verb: Verb) -> Iterator[tuple[str, list[int]]]:
    """The address of a verb's server, empty if it needs none, and the server's process."""
    if verb.serve is None:
        yield "", []
        return
    ours, theirs = os.pipe()

    def serve() -> None:
        with serving() as server:
            if verb.serve is not None:
                verb.serve(server)
            os.write(theirs, server.url("").encode())
            time.sleep(1e9)

    with served(serve) as process:
        yield os.read(ours, 100).decode(), [process]


def _make(verb: Verb, folder: Path) -> int:
    verb.make(folder / "in")
    return 0


def _run(verb: Verb, address: str) -> int:
    verb.patch(address)
    return main(verb.words)


def _whole(verb: Verb, folder: Path) -> None:
    """Make a verb's inputs and what an undisturbed run makes of them; keep its state."""
    emptied(folder / "in")
    if attempt(partial(_make, verb, folder), folder):
        sys.exit(f"no inputs of {verb.words[0]} could be made:\n{(folder / 'said').read_text()}")
    emptied(folder / "run")
    seconds = _finish(verb, folder)
    (folder / "whole.json").write_text(json.dumps([seconds, verb.state(folder / "run")], indent=1))


def _finish(verb: Verb, folder: Path) -> float:
    """Let a verb end; returns the seconds that it took."""
    with _address(verb) as (address, _):
        start = time.monotonic()
        while status := attempt(partial(_run, verb, address), folder):
            if not (verb.given_up and status == 1):
                sys.exit(f"undisturbed, {verb.words[0]} ended with status {status}:\n{(folder / 'said').read_text()}")
        return time.monotonic() - start


def kill(verb: Verb, folder: Path, kills: int, moments: random.Random) -> Count:
    """Begin a verb again and again, kill it at random moments, and compare what it leaves whenever it ends.

    A kill comes after a random share of the time that an undisturbed run takes; after so many kills the last run ends.

    Args:
        verb: has its inputs, and what an undisturbed run left, in the folder.
        folder: of the verb.
        kills: how many.
        moments: draws the moments.
    """
    whole: State
    seconds, whole = json.loads((folder / "whole.json").read_text())
    faults: list[str] = []
    made = ends = given_up = 0
    with _address(verb) as (address, known):
        while made < kills and len(faults) < MOST_FAULTS:
            emptied(folder / "run")
            (folder / "said").unlink(missing_ok=True)
            since, status = made, None
            while status is None:
                after = moments.uniform(0, seconds) if made < kills else None
                status = attempt(partial(_run, verb, address), folder, after)
                if orphans := left(known):
                    sys.exit(f"processes {orphans} outlived {verb.words[0]}")
                made += status is None
                if status == 1 and verb.given_up:
                    given_up, status = given_up + 1, None
            ends += 1
            if status:
                faults.append(f"it ended with status {status}:\n{(folder / 'said').read_text()[-3000:]}")
            else:
                found = _differences(whole, verb.state(folder / "run"))
                faults += [f"after {made - since} kills: {each}" for each in found]
            print(f"{verb.words[0]}: {made} of {kills} kills, {len(faults)} faults so far", file=sys.stderr, flush=True)
    return Count(made, ends, given_up, faults)


def _differences(whole: State, found: State) -> list[str]:
    names = sorted(name for name in whole.keys() | found.keys() if whole.get(name) != found.get(name))
    more = [name for name in names if name not in whole]
    lacking = [name for name in names if name not in found]
    other = [name for name in names if name in whole and name in found]
    told = [("left behind", more), ("lacking", lacking), ("another", other)]
    sentences = [f"{what}: {', '.join(which[:5])} ({len(which)} in all)" for what, which in told if which]
    return ["; ".join(sentences)] if sentences else []


@contextmanager
def _temporary_files() -> Iterator[None]:
    """Let temporary files lie on another file system than results, where there is one, as on clusters."""
    place = tempfile.mkdtemp(prefix="kills-", dir=OTHER_DISK if os.access(OTHER_DISK, os.W_OK) else None)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = place
    try:
        yield
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before


def command(args: Sequence[str] | None = None) -> int:
    """Run as the command line says; returns the exit status: 1 if anything was not as after an undisturbed run."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--verb", choices=list(VERBS), action="append", help="which (default: all)")
    parser.add_argument("--kills", type=int, default=100, help="of each verb (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    parser.add_argument("--work", type=Path, help="folder to work in, which is kept (default: a temporary one)")
    parser.add_argument("--whole", action="store_true", help="only make inputs and undisturbed runs there")
    given = parser.parse_args(args)
    verbs = given.verb or list(VERBS)
    if given.whole:
        _import()
        for name in verbs:
            _whole(VERBS[name], given.work / name)
        return 0
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, _temporary_files():
        work = (given.work or Path(folder)).resolve()
        # In an interpreter of its own, so that what hangs on the order of a set differs.
        words = [word for name in verbs for word in ("--verb", name)]
        subprocess.run([sys.executable, "-m", "tests.kills", *words, "--whole", "--work", str(work)], check=True)
        _import()
        return max([_told(name, work / name, given.kills, given.seed) for name in verbs])


def _import() -> None:
    for name in IMPORTED:
        import_module(name)


def _told(name: str, folder: Path, kills: int, seed: int) -> int:
    start = time.monotonic()
    count = kill(VERBS[name], folder, kills, random.Random(f"{seed} {name}"))
    broken = f", {count.given_up} given up since the server broke off" if count.given_up else ""
    print(
        f"{name}: {count.kills} kills, {count.ends} runs ended{broken}, {len(count.faults)} faults, no process left, "
        f"{time.monotonic() - start:.0f} s",
        flush=True,
    )
    for fault in count.faults:
        print(f"  {fault}", flush=True)
    return 1 if count.faults else 0


if __name__ == "__main__":
    sys.exit(command())
