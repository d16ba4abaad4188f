"""Run every benchmark, then say which were out of their limits: python -m benchmarks."""

import subprocess
import sys
from collections.abc import Sequence

BENCHMARKS = (
    "startup",
    "prepare",
    "loader",
    "training",
    "syncnet",
    "fid",
    "suite",
    "raster",
    "renderer",
    "stream",
    "affine",
)


def main(names: Sequence[str] = BENCHMARKS, package: str = "benchmarks") -> int:
    """Run benchmarks one after the other, whatever one of them gives; status 1 if any was out of its limit."""
    missed = {}
    for name in names:
        print(f"== {name}", flush=True)
        status, last = run(f"{package}.{name}")
        if status:
            missed[name] = last
    print("==")
    for name, last in missed.items():
        print(f"out of its limit: {name}: {last}")
    print(f"{len(names) - len(missed)} of {len(names)} benchmarks are within their limits")
    return int(bool(missed))


def run(module: str) -> tuple[int, str]:
    """Run one and show what it prints; returns its exit status and the last line of that."""
    last = "no figures"
    with subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last = line.strip() or last
    return process.returncode, last


if __name__ == "__main__":
    sys.exit(main())
