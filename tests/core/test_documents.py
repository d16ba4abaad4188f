"""YAML files of users: every key once, no end of values, and the same protocol whoever wrote the file."""

from pathlib import Path

import pytest

from dubbench.core.documents import read_yaml
from dubbench.errors import DubbenchError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size: 96\nborder: black\nsize: 128\n", "gives size twice, in lines 1 and 3"),
        ("clips:\n  grid: {count: 3, seed: 0, count: 4}\n", "gives count twice"),
        ("a: [1, 2\n", "is no YAML file"),
        ("a: &a [*a]\n", "stands for more than"),
        ("!!python/name:os.system\n", "is no YAML file of plain values"),
        ("{" * 1000, "nested too deeply"),
        ("- " * 2000, "nested too deeply"),
        ("x0: &x0 [1]\n" + "".join(f"x{n}: &x{n} [{f'*x{n - 1},' * 9}]\n" for n in range(1, 9)), "by its aliases"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(DubbenchError, match=message):
        read_yaml(tmp_path / "a.yaml")


def test_a_mark_and_aliases_in_measure_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: &a {x: 1}\r\nb: *a\r\nc: {<<: *a, x: 2}\r\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 2}}
