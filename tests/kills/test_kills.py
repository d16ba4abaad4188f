"""A slice of the kills: two of each verb whose kills are not tested with the verb itself, in one process."""

import subprocess
import sys

import pytest

from tests import ROOT
from tests.kills.verbs import VERBS


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt what its children leave behind")
def test_killed_verbs_leave_what_an_undisturbed_run_leaves() -> None:
    """`fit` is killed in ``tests/test_cli.py``, with the same model."""
    verbs = [name for name in VERBS if name != "fit"]
    words = [word for name in verbs for word in ("--verb", name)]
    run = subprocess.run(
        [sys.executable, "-m", "tests.kills", *words, "--kills", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    told = [line.split(",")[0] for line in run.stdout.splitlines()]
    assert told == [f"{name}: 2 kills" for name in verbs]
