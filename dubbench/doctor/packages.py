"""Packages: which are here, which do not fit, and whether torch's libraries load."""

import ast
import ctypes
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from dubbench.doctor.finding import Finding

SHOWN = ("torch", "lightning", "mediapipe", "av", "onnxruntime", "insightface", "numpy")
COSTS = {
    "torch": "nothing can be trained, scored or dubbed",
    "lightning": "no fit, validate, eval, speed, ablate",
    "mediapipe": "no face is found: no prepare, eval, score, dub",
    "av": "no video can be read or written",
    "rich": "no tables, no progress",
    "platformdirs": "no pretrained file can be found",
    "onnxruntime": "no CSIM, no export",
}
EXTRAS = {"demo": "dubbench demo cannot make its corpus"}
TOPIC = "packages"


def packages() -> Iterator[Finding]:
    """Versions of what we stand on, and what of it is missing or does not fit."""
    versions = {name: version for name in SHOWN if (version := _version(name))}
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield Finding(topic=TOPIC, text=shown or "none of those that dubbench stands on", facts={"versions": versions})
    missing = []
    for name, wanted in _required():
        here = _version(name)
        if here is None:
            missing.append(name)
        elif not _fits(here, wanted):
            yield Finding(
                topic=TOPIC,
                text=f"{name} {here} does not fit {name}{wanted}",
                state="broken",
                name=name,
                remedy=f"pip install '{name}{wanted}'",
                cost="what needs its other versions may stop or give other numbers",
            )
    yield from _missing(missing)
    if "torch" not in missing:
        yield from _torch()


def extras() -> Iterator[Finding]:
    """What the package's extras bring."""
    for extra, cost in EXTRAS.items():
        missing = [name for name, _ in _required(extra) if _version(name) is None]
        if missing:
            yield Finding(
                topic="extras",
                text=f"{extra} lacks {', '.join(missing)}",
                state="missing",
                name=extra,
                cost=cost,
                remedy=f"pip install 'dubbench[{extra}]'",
            )
        else:
            yield Finding(topic="extras", text=f"{extra} is here", facts={"extra": extra})


def torch_build() -> dict[str, str]:
    """What torch was built for: ``cuda`` and ``hip`` with their versions, read from its file of versions."""
    spec = find_spec("torch")
    path = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if path is None or not path.is_file():
        return {}
    found = {}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value)))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(value)))
            ):
                found[name] = value
    return {name: found[name] for name in ("cuda", "hip") if name in found}


def imported(code: str) -> tuple[bool, str]:
    """Run a line of Python in a process of its own; whether it went well, and the last line that it said."""
    try:
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return False, "it did not answer for two minutes"
    said = (run.stdout if run.returncode == 0 else run.stderr).strip().splitlines()
    return run.returncode == 0, said[-1] if said else f"it ended with status {run.returncode}"


def _missing(names: list[str]) -> Iterator[Finding]:
    """Packages that are not here: those with a cost of their own, then the others together."""
    for name in COSTS:
        if name in names:
            yield Finding(
                topic=TOPIC,
                text=f"{name} is missing",
                state="missing",
                name=name,
                cost=COSTS[name],
                remedy="pip install dubbench",
                essential=True,
            )
    others = [name for name in names if name not in COSTS]
    if others:
        yield Finding(
            topic=TOPIC,
            text=f"missing: {', '.join(others)}",
            state="missing",
            name=f"{len(others)} more packages" if len(others) > 2 else " and ".join(others),
            cost="verbs that need them stop",
            remedy="pip install dubbench",
            essential=True,
        )


def _torch() -> Iterator[Finding]:
    """Whether torch's libraries load: in a third of the time that its import takes, which is asked only in doubt."""
    spec = find_spec("torch")
    extensions = list(Path(spec.origin).parent.glob("_C.*.so")) if spec and spec.origin else []
    try:
        if extensions:
            ctypes.CDLL(str(extensions[0]))
            return
    except OSError:
        pass  # torch itself looks in more places for the libraries it stands on
    good, said = imported("import torch")
    if not good:
        yield Finding(
            topic=TOPIC,
            text=f"torch cannot be imported: {said}",
            state="broken",
            name="torch",
            cost=COSTS["torch"],
            remedy="pip install --force-reinstall torch",
            essential=True,
        )


def _required(extra: str = "") -> Iterator[tuple[str, str]]:
    """Name and versions of each package that dubbench, or an extra of it, asks for.

    A checkout that was never installed does not say; then it is those whose cost is known.
    """
    try:
        lines = metadata.requires("dubbench") or []
    except metadata.PackageNotFoundError:
        lines = list(COSTS)
    for line in lines:
        needed, _, condition = line.partition(";")
        of_extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", condition)
        if (of_extra.group(1) if of_extra else "") == extra:
            name = re.match(r"[\w.-]+", needed)
            if name:
                yield name.group(), re.sub(r"^[\w.-]+(\[[^]]*\])?\s*", "", needed).strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(version: str, wanted: str) -> bool:
    """Whether a version is one of those wanted; where nothing here can tell, it is taken for one."""
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True
    return SpecifierSet(wanted).contains(version, prereleases=True)
