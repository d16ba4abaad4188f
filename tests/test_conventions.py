"""What the code of all folders keeps to, read from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

FOLDERS = ("dubbench", "models", "datamodules", "metrics", "benchmarks")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
# Library calls whose arguments are one list, such as sizes or modules, or whose order is torch's own.
LISTS = {"nn.Sequential", "expand", "view", "torch.rand", "format", "pool.submit"}
ORDERED = {"nn.Conv1d", "nn.Conv2d", "nn.ConvTranspose2d", "torch.ops.aten.grid_sampler_2d_backward"}
ORDERED |= {"F.conv2d", "nn.TransformerEncoderLayer", "nn.TransformerDecoderLayer"}
# OpenCV's and C functions take no keywords, nor may a method of the standard library that is overridden ask for them.
ORDERED |= {
    "cv2.putText",
    "cv2.fillConvexPoly",
    "cv2.pointPolygonTest",
    "espeak.espeak_Synth",
    "super().redirect_request",
}
# Kernels that numba compiles: they are called from compiled code, where a wrapper object would cost what it saves.
ORDERED |= {"_draw", "_nearest", "_colour", "_identify", "bare", "barest"}
# Library methods whose name says what their only argument switches.
SWITCHES = {"requires_grad_", "set_visible", "set_fastpath_enabled", "train", "getattr"}


def called(node: ast.Call) -> str:
    """Name of what is called, as it stands in the source."""
    return ast.unparse(node.func)


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def is_boolean(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def constructors(path: Path) -> Iterator[tuple[str, int]]:
    """Classes of a file with the number of arguments that each one's constructor takes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                    yield node.name, len([*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs]) - 1


# What prints for another program, or lets native code's own lines through.
PRINTING = {
    "dubbench/core/console.py",
    "dubbench/demo/child.py",
    "datamodules/demo/espeak.py",
    "dubbench/face/landmarks.py",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_all_that_is_said_goes_through_one_place(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name.startswith("benchmarks/") or name in PRINTING:
        return
    said = [
        call for call in calls(path) if called(call) in ("print", "Console", "sys.stdout.write", "sys.stderr.write")
    ]
    assert [f"{name}:{call.lineno}" for call in said if call.args] == []


def crowded(source: Path) -> list[str]:
    """Calls with more than four arguments by position, or a boolean by position."""
    found = []
    for node in calls(source):
        name = called(node)
        method = name.rpartition(".")[2]
        if {name, method} & ORDERED:
            continue
        many = len(node.args) > 4 and not {name, method} & LISTS
        if many or (any(map(is_boolean, node.args)) and method not in SWITCHES):
            found.append(f"{source.relative_to(ROOT)}:{node.lineno} {name}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_constructors_take_at_most_25_arguments(path: Path) -> None:
    assert [(name, count) for name, count in constructors(path) if count > 25] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_calls_name_what_an_order_does_not_tell(path: Path) -> None:
    assert crowded(path) == []
