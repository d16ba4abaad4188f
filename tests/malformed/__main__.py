"""``python -m tests.malformed --files 300 --seed 0``: malformed files through prepare and score, as a table."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.malformed.files import corpus
from tests.malformed.trial import table, tried


def main() -> int:
    """Run, print the table and the faults; 1 where there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.malformed")
    parser.add_argument("--files", type=int, default=300, help="malformed files to make (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which bytes are spoilt (%(default)s)")
    parser.add_argument("--keep", type=Path, help="folder for the files and what came of them (a temporary one)")
    parser.add_argument("--reasons", action="store_true", help="print what was said of every file")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="malformed-")) if options.keep is None else options.keep
    try:
        trial = tried(corpus(folder / "corpus", options.files, options.seed), folder)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    if options.reasons:
        for name, outcome in trial.outcomes.items():
            for step, reason in outcome.steps.items():
                print(f"{name} ({outcome.file.kind}) {step}: {reason}")
    print("\n".join(table(trial.outcomes.values())))
    print(f"{len(trial.faults)} faults", *trial.faults, sep="\n")
    return 1 if trial.faults else 0


if __name__ == "__main__":
    sys.exit(main())
