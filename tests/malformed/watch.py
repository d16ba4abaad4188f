"""Verbs in a child process that may take a minute a file and two gigabytes, and what became of every file.

The minute is of the processor, so that a busy machine makes no hang of what is not; what waits has longer by the clock.
The gigabytes are a process' own: pages of libraries' files, of which torch alone has 0.7 GB, the system can drop.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import ROOT

SECONDS, BYTES = 60, 2_000_000_000
CLOCK = 600
PAUSE = 0.05


@dataclass
class Seen:
    """What was seen of the verbs' processes.

    Attributes:
        seconds: by file, the longest that it took, of the processor.
        peaks: by file, the most memory in bytes.
        deaths: by file, how a process ended with it; under "" what ended between files.
        verbs: words, status and what was said, of each verb that ended.
        said: all that was written to standard error.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    deaths: dict[str, str] = field(default_factory=dict)
    verbs: list[tuple[list[str], int, str]] = field(default_factory=list)
    said: str = ""


def watch(words: Sequence[str], log: Path) -> Seen:
    """Run verbs, divided by ``+``, in a child process; it is killed when a file takes too long or too much."""
    log.unlink(missing_ok=True)
    log.touch()
    errors = log.with_suffix(".err")
    call = [sys.executable, "-m", "tests.malformed.child", str(log), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    with errors.open("w") as said:
        child = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=said, env=environment, cwd=ROOT)
        seen, name, killed = Seen(), "", ""
        begun, used, read = time.monotonic(), 0.0, 0
        while child.poll() is None and not killed:
            time.sleep(PAUSE)
            text = log.read_text(encoding="utf-8")
            whole = text.rfind("\n") + 1
            for line in text[read:whole].splitlines():
                name, begun, used = _note(json.loads(line), seen), time.monotonic(), _processor(child.pid)
            read = whole
            if time.monotonic() - begun > CLOCK or _processor(child.pid) - used > SECONDS:
                killed = f"took more than {SECONDS} s"
            elif _own_memory(child.pid) > BYTES:
                killed = f"took more than {BYTES / 1e6:.0f} MB"
        if killed:
            child.kill()
        status = child.wait()
    for line in log.read_text(encoding="utf-8")[read:].splitlines():
        name = _note(json.loads(line), seen)
    seen.said = errors.read_text(errors="replace")
    if status:
        seen.deaths[name] = killed or f"ended with status {status}: {seen.said[-2000:]}"
    return seen


def _note(told: list[Any], seen: Seen) -> str:
    """Keep a line of the child's; gives the file that it is at."""
    kind, *rest = told
    if kind == "begin":
        return str(rest[0])
    if kind == "end":
        name, seconds, peak = rest
        seen.seconds[name] = max(seconds, seen.seconds.get(name, 0))
        seen.peaks[name] = max(peak, seen.peaks.get(name, 0))
    else:
        seen.verbs.append((rest[0], rest[1], rest[2]))
    return ""


def _processor(process: int) -> float:
    """Seconds of the processor that a process has used; 0 where the system does not say."""
    try:
        user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    except (OSError, ValueError):
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _own_memory(process: int) -> int:
    """Memory that a process holds but for pages of files, in bytes; 0 where the system does not say."""
    try:
        resident, of_files = (int(pages) for pages in Path(f"/proc/{process}/statm").read_text().split()[1:3])
    except (OSError, ValueError):
        return 0
    return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")
