"""Time how long ``--help`` of every verb takes, and ``import dubbench.metrics`` beside ``import torch``.

python -m benchmarks.startup [--rounds N]

Every program is a process of its own, and they are run in turns after one round that fills the caches of the disk.
Compared are medians of processor time, which other programs disturb little: of a verb's help with an interpreter that
does nothing, of importing the metrics with importing torch alone. Exit status 1 above a limit.
"""

import argparse
import os
import sys
import time
from statistics import median

from dubbench.cli import VERBS

# An interpreter that does nothing takes some 20 ms, importing numpy or pandas alone four or fifteen times as long.
LIMIT, METRICS_LIMIT = 8.0, 1.15
BARE, TORCH, METRICS = "pass", "import torch", "import dubbench.metrics"


def seconds(words: list[str]) -> tuple[float, float]:
    """Processor time and time by the clock of one process with its output thrown away."""
    start = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, *words],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{' '.join(words)} failed")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def main() -> int:
    """Print times and ratios; status 1 if one is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    programs = {name: ["-c", name] for name in (BARE, TORCH, METRICS)}
    programs |= {f"{verb} --help": ["-m", "dubbench", verb, "--help"] for verb in VERBS}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for turn in range(options.rounds + 1):
        for name, words in programs.items():
            times = seconds(words)
            if turn:
                taken[name].append(times)
    busy = {name: median(times[0] for times in each) for name, each in taken.items()}
    clock = {name: median(times[1] for times in each) for name, each in taken.items()}
    missed = 0
    for name in programs:
        base, limit = (TORCH, METRICS_LIMIT) if name == METRICS else (BARE, LIMIT)
        ratio = busy[name] / busy[base]
        told = "" if name in (BARE, TORCH) else f"  {ratio:6.2f} x {base}  (at most {limit:g})"
        missed += bool(told) and ratio > limit
        print(f"{name:24}{busy[name]:7.3f} s busy {clock[name]:7.3f} s by the clock{told}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
