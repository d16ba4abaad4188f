"""What ``make setup`` does, step by step: an environment, pip, and the package with all that it stands on.

``python .ci/install.py FOLDER`` needs nothing but the standard library, and goes on where it was stopped.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REDRAWN, EVERY = 1, 30  # seconds, on a terminal and elsewhere
FAILED = 20  # lines of pip's that are shown where it failed
# What setuptools says of every editable installation of this layout; there is nothing to be done about it.
QUIET = {"PYTHONWARNINGS": "ignore:Editable installation"}


class Installation:
    """What pip is at: read from the lines that it prints, and while it installs from what lies in the environment.

    Args:
        environment: its folder.
    """

    def __init__(self, environment: Path) -> None:
        self._environment = environment
        self._found, self._now = 0, "looking for packages"
        self._wanted = self._before = 0
        self.lines: deque[str] = deque(maxlen=FAILED)

    def read(self, line: str) -> None:
        """Take one line."""
        if step := re.match(r"\s*Progress (\d+) of (\d+)", line):
            here, total = (int(number) / 1e6 for number in step.groups())
            self._now = f"{re.sub(r', [0-9.]+ of [0-9.]+ MB$', '', self._now)}, {here:.0f} of {total:.0f} MB"
            return
        self.lines.append(line)
        if re.match(r"Collecting |Requirement already satisfied", line):
            self._found += 1
        if step := re.match(r"\s*Downloading (?:\S*/)?([\w.]+)-", line):
            self._now = f"fetching {step.group(1)}"
        elif step := re.match(r"Building wheels? for (?!collected)(.*?) ?\(", line.strip()):
            self._now = f"building {step.group(1)}"
        elif line.startswith("Installing collected packages"):
            self._wanted, self._before = line.count(",") + 1, self._installed()

    def now(self) -> str:
        """What it is at, in words."""
        if self._wanted:
            return f"{min(self._installed() - self._before, self._wanted)} of {self._wanted} packages installed"
        return f"{self._found} packages found, {self._now}"

    def _installed(self) -> int:
        return sum(1 for _ in self._environment.glob("lib/python*/site-packages/*.dist-info"))


def install(environment: Path) -> int:
    """Install the package as it lies here, with its tools, and show how that goes; returns pip's status."""
    words = ["install", "--progress-bar", "raw", "--constraint", "constraints.txt", "--editable", ".[demo,dev]"]
    process = subprocess.Popen(
        [environment / "bin" / "pip", *words],
        cwd=ROOT,
        env={**os.environ, **QUIET},
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    seen = Installation(environment)

    def follow() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            seen.read(line.rstrip())

    reader = threading.Thread(target=follow)
    reader.start()
    start = told = time.monotonic()
    terminal = sys.stdout.isatty()
    while reader.is_alive():
        reader.join(REDRAWN)
        now = time.monotonic()
        if terminal or now >= told + EVERY:
            told = now
            line = f"  {now - start:.0f} s: {seen.now()}"
            print(f"\r\x1b[K{line[:79]}" if terminal else line, end="" if terminal else "\n", flush=True)
    status = process.wait()
    if terminal:
        print("\r\x1b[K", end="")
    if status:
        print("\n".join([*seen.lines, "pip could not install all of it, see above; the same command goes on"]))
    return status


def main(folder: Path) -> int:
    """Make an environment in a folder, or complete it."""
    start = time.monotonic()
    print(f"setup 1 of 3: an environment in {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    print("setup 2 of 3: pip", flush=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
    print("setup 3 of 3: dubbench and about 150 packages, which are gigabytes to fetch the first time", flush=True)
    status = install(folder.absolute())
    if not status:
        print(f"set up in {time.monotonic() - start:.0f} s; next: {folder / 'bin' / 'dubbench'} doctor")
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")
