"""Imports go one way, whoever makes them and wherever in a file they stand, and never in a circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests import ROOT

# Each folder imports from itself and from those before it. ``errors`` and the version stand before all.
ORDER = [
    "errors",
    "core",
    "assets",
    "media",
    "face",
    "face3d",
    "metrics",
    "datamodules",
    "models",
    "papers",
    "protocols",
    "results",
    "evaluation",
    "training",
    "speed",
    "dubbing",
    "board",
    "figures",
    "study",
    "ablations",
    "doctor",
    "demo",
    "commands",
    "cli",
    "__main__",
]
# What stands beside the order: any folder may ask for the version, and configs hold no code.
FREE = {"__init__", "configs"}
FOLDERS_OF_ONE_FILE_EACH = {"commands": "a verb", "metrics": "a metric", "datamodules/sources": "a corpus"}
MOST = 16


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below ``dubbench``."""
    found = {}
    for path in (ROOT / "dubbench").rglob("*.py"):
        parts = path.relative_to(ROOT / "dubbench").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    for folder in ("models", "datamodules", "metrics", "configs"):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """Line and module of every import of this package, also those within functions and of names that are modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("dubbench.") in known else str(node.module) for name in names]
        else:
            continue
        for name in names:
            if name == "dubbench" or name.startswith("dubbench."):
                yield node.lineno, name.removeprefix("dubbench").removeprefix(".") or "__init__"


def wrong_way(source: str, text: str, known: dict[str, Path]) -> list[str]:
    """Imports of a module that point up the order."""
    place = source.partition(".")[0]
    if place in FREE:
        return []
    return [
        f"dubbench.{source}, line {line}, imports dubbench.{target}"
        for line, target in imported(ast.parse(text), known)
        if target.partition(".")[0] not in FREE and ORDER.index(target.partition(".")[0]) > ORDER.index(place)
    ]


def test_imports_go_one_way() -> None:
    known = modules()
    assert {name.partition(".")[0] for name in known} <= {*ORDER, *FREE}
    wrong = [line for name, path in sorted(known.items()) for line in wrong_way(name, path.read_text(), known)]
    assert not wrong, "\n".join(wrong)


def test_an_import_that_is_turned_round_is_found() -> None:
    known = modules()
    for text in (
        "import dubbench.models.base",
        "from dubbench.models import base",
        "from dubbench.models.base import DubbingModel",
        "def f():\n    from dubbench.models.base import DubbingModel",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dubbench.models.base import DubbingModel",
    ):
        assert len(wrong_way("metrics.psnr", text, known)) == 1, text
    assert not wrong_way("dubbing.render", "from dubbench.models.base import DubbingModel", known)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circles() -> None:
    known = modules()
    graph = {
        name: {target for _, target in imported(ast.parse(path.read_text()), known) if target in known} - {name}
        for name, path in known.items()
    }
    assert not circle(graph)
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_the_root_holds_the_door_alone() -> None:
    assert {path.stem for path in (ROOT / "dubbench").glob("*.py")} == {"__init__", "__main__", "cli", "errors"}


def test_no_folder_is_a_heap() -> None:
    sizes: dict[str, int] = {}
    for path in modules().values():
        folder = path.parent.relative_to(ROOT).as_posix().removeprefix("dubbench/")
        sizes[folder] = sizes.get(folder, 0) + (path.stem != "__init__")
    assert {name: size for name, size in sizes.items() if size > MOST and name not in FOLDERS_OF_ONE_FILE_EACH} == {}


def test_no_module_is_the_prefix_of_another() -> None:
    for folder in {path.parent for path in modules().values()}:
        stems = sorted(
            {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
        )
        pairs = [(a, b) for a in stems for b in stems if b.startswith(a + "_")]
        assert not pairs, f"{folder.relative_to(ROOT)}: {pairs}"
