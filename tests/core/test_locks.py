"""Claims of folders: one run at a time, and none is left behind by a process that was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dubbench.core.locks import claimed
from dubbench.errors import DubbenchError

HOLD = """
import sys, time
from pathlib import Path
from dubbench.core.locks import claimed
with claimed(Path(sys.argv[1]), "prepare"):
    Path(sys.argv[1], ".half.1.tmp.mp4").touch()
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_claim_is_one_process_own_and_dies_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            sentence = f"another dubbench prepare is writing to {folder}; wait for it or give another --out"
            with pytest.raises(DubbenchError, match=sentence), claimed(folder, "prepare"):
                pass
            assert [path.name for path in folder.iterdir()] == [".half.1.tmp.mp4"], "the other's work is left alone"
        finally:
            os.kill(other.pid, signal.SIGKILL)
    with claimed(folder, "prepare"):
        assert not list(folder.iterdir()), "no lock file, and nothing unfinished"
    with claimed(folder, "dub"):
        pass


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sentence = r"cannot make the folder .*; give another with --out"
    with pytest.raises(DubbenchError, match=sentence), claimed(tmp_path / "file" / "out", "prepare"):
        pass
