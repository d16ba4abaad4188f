"""Outputs to what is no plain file, and places that refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dubbench.cli import main
from dubbench.core.files import atomic, output_file, output_folder, write_text
from dubbench.errors import DubbenchError

FAIR = [sys.executable, "-m", "dubbench", "protocol", "realtalk_table2_cross", "--quiet", "--csv"]


def test_a_pipe_and_a_device_are_written_through(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        write_text(tmp_path / "pipe", "through\n")
        said, _ = reader.communicate()
    assert said == b"through\n"
    assert (tmp_path / "pipe").is_fifo()
    write_text(output_file("/dev/null"), "nowhere\n")
    assert Path("/dev/null").is_char_device()


def test_the_standard_output_by_its_name(tmp_path: Path) -> None:
    plain = tmp_path / "clips.csv"
    assert main(["protocol", "realtalk_table2_cross", "--quiet", "--csv", str(plain)]) == 0
    piped = subprocess.run([*FAIR, "/dev/stdout", "--json"], capture_output=True, check=True).stdout
    # The document goes on after the clips, which are written first only into a file that is no plain one.
    assert plain.read_bytes() in piped
    with (tmp_path / "shell.txt").open("wb") as file:
        file.write(b"before\n")
        file.flush()
        subprocess.run([*FAIR, "/dev/fd/1", "--json"], stdout=file, check=True)
    written = (tmp_path / "shell.txt").read_bytes()
    assert written.startswith(b"before\n")
    assert plain.read_bytes() in written
    assert json.loads(written.removeprefix(b"before\n").replace(plain.read_bytes(), b""))


def test_a_link_stays_and_leads_on(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real.csv")
    (tmp_path / "real.csv").write_text("old")
    assert main(["protocol", "realtalk_table2_cross", "--csv", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("protocol,")


def test_a_link_that_a_folder_brings_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept")
    (tmp_path / "summary.csv").symlink_to("outside")
    with atomic(tmp_path / "summary.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "outside").read_text() == "kept"
    assert (tmp_path / "summary.csv").read_text() == "new"


def test_places_that_refuse_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file/x", "/proc/x/y", tmp_path):
        with pytest.raises(DubbenchError):
            output_file(str(wrong))
    for wrong in (tmp_path / "file", tmp_path / "file/x", "/proc/x"):
        with pytest.raises(DubbenchError):
            output_folder(str(wrong))
    output_folder(str(tmp_path / "new/deep"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
