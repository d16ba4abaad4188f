"""Benchmarks run to the end and then tell which are out of their limits."""

from pathlib import Path

import pytest

from benchmarks.__main__ import main


def test_all_run_and_the_misses_are_named_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "timed").mkdir()
    for name, status in (("fast", 0), ("slow", 1), ("broken", 3), ("late", 0)):
        code = f"import sys\nprint('{name} is measured')\nprint('ratio {status} (at most 0)')\nsys.exit({status})\n"
        (tmp_path / "timed" / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert main(("fast", "slow", "broken", "late"), "timed") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith("is measured")] == [
        f"{name} is measured" for name in ("fast", "slow", "broken", "late")
    ]
    assert lines[-3:] == [
        "out of its limit: slow: ratio 1 (at most 0)",
        "out of its limit: broken: ratio 3 (at most 0)",
        "2 of 4 benchmarks are within their limits",
    ]
    assert main(("fast", "late"), "timed") == 0
