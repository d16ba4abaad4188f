"""The machine: system, GPU, cores, memory, disk."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from dubbench import __version__
from dubbench.core.devices import CGROUP, allowed_cores, limit, quota
from dubbench.doctor.finding import Finding
from dubbench.doctor.packages import imported, torch_build

GB = 1e9
SCARCE = 5 * GB


def system() -> Iterator[Finding]:
    """Versions of this package, Python and the operating system."""
    python, where = platform.python_version(), platform.platform()
    facts = {"dubbench": __version__, "python": python, "platform": where}
    yield Finding(topic="system", text=f"dubbench {__version__}, Python {python}, {where}", facts=facts)


def gpu() -> Iterator[Finding]:
    """The GPUs, and whether the installed torch can use them; only where there is one is torch asked itself."""
    found, build = _nvidia(), torch_build()
    built = " ".join(f"{name} {version}" for name, version in build.items()) or "the CPU alone"
    here = find_spec("torch") is not None
    facts = {"gpus": found, "torch_built_for": build}
    if not found and not Path("/dev/nvidiactl").exists():
        yield Finding(
            topic="GPU",
            text=f"none; torch is built for {built}" if here else "none",
            state="limited",
            cost="full-size methods take weeks to train; tiny ones, scores and dubbing do well",
            facts=facts,
        )
        return
    text = "; ".join(found) or "an NVIDIA driver without nvidia-smi"
    if not here:
        yield Finding(topic="GPU", text=text, facts=facts)
        return
    usable, said = imported("import torch; print(torch.cuda.device_count())") if build else (True, "0")
    if usable and said != "0":
        yield Finding(topic="GPU", text=f"{text}; torch (built for {built}) uses {said}", facts=facts)
        return
    why = "cannot be imported" if not usable else "cannot use it; its driver may be older than that asks for"
    yield Finding(
        topic="GPU",
        text=f"{text}; torch, built for {built}, {why}",
        state="limited",
        name="GPU",
        cost="everything runs on the CPU",
        remedy="install the torch that pytorch.org/get-started names for this driver",
        facts=facts,
    )


def cores() -> Iterator[Finding]:
    """Cores that this process may use."""
    here, allowed, granted = os.cpu_count() or 1, allowed_cores(), quota(CGROUP)
    facts = {"cores": here, "allowed": allowed, "quota": granted}
    limit = f", and a quota of {granted:g}" if granted and granted < allowed else ""
    yield Finding(topic="cores", text=f"{allowed} of {here} may be used{limit}", facts=facts)


def memory() -> Iterator[Finding]:
    """Memory of the machine, or of what this process is confined to."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = limit(CGROUP / "memory.max") or limit(CGROUP / "memory" / "memory.limit_in_bytes")
    free = _available()
    most = most if most and most < total else None
    text = f"{total / GB:.1f} GB"
    text += f", {most / GB:.1f} GB of it for this process" if most else ""
    text += f", {free / GB:.1f} GB free" if free is not None else ""
    yield Finding(topic="memory", text=text, facts={"bytes": total, "limit": most, "free": free})


def disk(cache: Path | None) -> Iterator[Finding]:
    """Room where pretrained files are kept, and here."""
    places = {"here": Path.cwd(), **({f"in {shown(cache)}": cache} if cache else {})}
    free = {name: shutil.disk_usage(_existing(path)).free for name, path in places.items()}
    text = ", ".join(f"{room / GB:.1f} GB free {name}" for name, room in free.items())
    scarce = min(free.values()) < SCARCE
    yield Finding(
        topic="disk",
        text=text,
        state="limited" if scarce else "fine",
        cost="all pretrained files take 2 GB, prepared corpora tens" if scarce else "",
        facts={"free": free},
    )


def shown(path: Path) -> str:
    """A path for others to read: the home folder as ``~``."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def _nvidia() -> list[str]:
    """Name, memory and driver of each NVIDIA GPU, as the driver's own program says."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        run = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in run.stdout.splitlines() if line.strip()] if run.returncode == 0 else []


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())
