"""What lies around the methods asks a `DubbingModel` and knows no method."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

METHODS = {path.parent.name for path in (ROOT / "models").glob("*/module.py")}
# Judges of other people's videos: they are asked for by what they are.
JUDGES = {"sync_expert", "style_encoder"}
FILES = [
    path for folder in ("dubbing", "speed", "figures", "commands") for path in (ROOT / "dubbench" / folder).glob("*.py")
]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_verbs_know_no_method(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    methods = {name.split(".")[2] for name in imported(tree) if name.startswith("dubbench.models.")} & METHODS
    assert methods <= JUDGES
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance"]
    assert not [call for call in asked if ast.unparse(call.args[1]).endswith("Model")]
