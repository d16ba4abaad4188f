"""Run every benchmark: python -m benchmarks."""

import subprocess
import sys

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

if __name__ == "__main__":
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
