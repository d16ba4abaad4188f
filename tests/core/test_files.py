"""Files are whole or absent, fingerprints right, paths kept in their folder, assets verified."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dubbench.assets import store
from dubbench.core.files import atomic, atomic_folder, inside, sha256, sweep, sweep_abandoned, write_json
from dubbench.errors import DubbenchError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [2]})
    before = path.read_bytes()

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def make(text: str) -> None:
        with atomic_folder(tmp_path / "out") as temporary:
            (temporary / "a").write_text(text)
            if text == "half":
                raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        make("half")
    assert not list(tmp_path.iterdir())
    make("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/a").read_text() == "whole"


def test_unfinished_files_go_where_nobody_writes_them(tmp_path: Path) -> None:
    gone, other = ".b.4194305.tmp.mp4", ".a.x.tmp.mp4"
    (tmp_path / "deep").mkdir()
    folders = (tmp_path, tmp_path / "deep")
    left = {"a.mp4", ".hidden", "a.1.tmp.mp4"}
    for name in (gone, other, *left):
        for folder in folders:
            (folder / name).touch()
    with atomic(tmp_path / "own.mp4") as own, atomic(tmp_path / "deep/own.mp4") as deep:
        sweep_abandoned(tmp_path)
        for folder in folders:
            assert {path.name for path in folder.iterdir()} - {"deep"} == {own.name, other, *left}
        sweep(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {*left, "deep"}
        assert deep.exists(), "a claim is of one folder"
        own.touch()


KILLED = """
import os, signal, sys
from pathlib import Path
from dubbench.core.files import atomic
with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("the longer half of a file")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        (unfinished,) = tmp_path.iterdir()
    with atomic(path) as temporary:
        assert temporary == unfinished
        assert temporary.read_bytes() == b""
        with atomic(path) as second:
            second.write_text("of another process")
            temporary.write_text("short")
    assert path.read_text() == "short"
    assert list(tmp_path.iterdir()) == [path]


def test_names_of_unfinished_files_lead_nowhere(tmp_path: Path) -> None:
    """A folder that was handed over may hold links where unfinished files are going to lie."""
    (tmp_path / "theirs").write_text("private")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.a.0.tmp.json").symlink_to(tmp_path / "theirs")
    (tmp_path / "out/.a.1.tmp.json").hardlink_to(tmp_path / "theirs")
    os.mkfifo(tmp_path / "out/.a.2.tmp.json")
    write_json(tmp_path / "out/a.json", {})
    sweep_abandoned(tmp_path / "out")
    assert (tmp_path / "theirs").read_text() == "private"
    assert (tmp_path / "out/a.json").read_text() == "{}\n"
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "y": "ü"})
    write_json(tmp_path / "b", {"y": "ü", "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_sha256_of_more_than_a_block(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["../b", "/etc/passwd", "a/../../b"])
def test_names_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DubbenchError, match="outside"):
        inside(tmp_path / "root", name)
    assert inside(tmp_path / "root", "a/../b") == tmp_path / "root" / "b"


def test_an_asset_is_found_verified_and_missed_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DUBBENCH_ASSETS", raising=False)
    with pytest.raises(DubbenchError, match=r"(?s)vgg19-dcbb9e9d.pth.*download it from.*DUBBENCH_ASSETS"):
        store.find("vgg19-dcbb9e9d.pth")
    monkeypatch.setenv("DUBBENCH_ASSETS", str(tmp_path))
    (tmp_path / "face_landmarker.task").write_bytes(b"truncated")
    with pytest.raises(DubbenchError, match="damaged"):
        store.find("face_landmarker.task")


def test_the_real_landmarker_passes(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUBBENCH_ASSETS", str(shared / "assets"))
    assert store.find("face_landmarker.task") == shared / "assets" / "face_landmarker.task"
