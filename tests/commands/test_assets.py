"""``dubbench assets`` as a user meets it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dubbench.assets import store
from dubbench.assets.registry import Asset
from dubbench.cli import main
from tests.server import Server, serving

DATA = b"weights"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Two files that can be fetched, one whose server lacks it, and one that may not be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("DUBBENCH_ASSETS", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with serving() as running:
        running.files = {"one.pth": DATA, "two.pth": DATA}
        rows = [
            Asset(name, f"the use of {name}", "MIT", (running.url(name),), hashlib.sha256(DATA).hexdigest(), len(DATA))
            for name in ("one.pth", "lost.pth", "two.pth")
        ]
        rows.append(Asset("own.mat", "the use of own.mat", "by agreement", ()))
        monkeypatch.setattr(store, "ASSETS", {row.name: row for row in rows})
        yield running


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Table rows by their first word."""
    return {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}


def test_list_tells_use_size_licence_and_state(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "dubbench" / "assets"
    folder.mkdir(parents=True)
    (folder / "one.pth").write_bytes(DATA)
    (folder / "two.pth").write_bytes(DATA[1:])
    for words in (["assets"], ["assets", "list"]):
        assert main(words) == 0
        table = lines(capsys)
        assert " ".join(table["one.pth"].split()) == "one.pth the use of one.pth 7 bytes MIT here"
        assert table["lost.pth"].rstrip().endswith("absent")
        assert "damaged, it has 6 bytes, not 7" in table["two.pth"]
        assert "by agreement" in table["own.mat"]
        assert str(folder) in table["Looked"]
    assert server.asked == []


def test_pull_goes_on_after_a_failure_and_lists_it(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assets", "pull", "--all"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{tmp_path}/dubbench/assets/{name} (licence of the weights: MIT)" for name in ("one.pth", "two.pth")
    ]
    assert said.err.count("dubbench: ") == 1
    assert "lost.pth could not be fetched" in said.err
    assert main(["assets", "pull", "one.pth", "two.pth"]) == 0
    assert main(["assets", "pull", "own.mat"]) == 1
    assert "own copy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["pull"], "name the files to pull, or give --all"),
        (["pull", "one.pth", "--all"], "name the files to pull, or give --all"),
        (["pull", "one.pth", "oen.pth"], "no pretrained file is called 'oen.pth'; there are one.pth, lost.pth"),
        (["verify", "oen.pth"], "no pretrained file is called 'oen.pth'"),
    ],
)
def test_wrong_names_fetch_nothing(
    words: list[str], sentence: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assets", *words]) == 1
    assert sentence in capsys.readouterr().err
    assert server.asked == []


def test_verify_reads_every_byte(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assets", "pull", "one.pth", "two.pth"]) == 0
    assert main(["assets", "verify"]) == 0
    damaged = tmp_path / "dubbench" / "assets" / "two.pth"
    damaged.write_bytes(DATA[::-1])
    capsys.readouterr()
    assert main(["assets", "list", "--quiet"]) == 0
    assert main(["assets", "--quiet", "verify", "one.pth"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["assets", "verify"]) == 1
    assert f"dubbench: {damaged} is damaged or another version: its sha256 is" in capsys.readouterr().err
    assert main(["assets", "verify", "lost.pth"]) == 1
    assert "`dubbench assets pull lost.pth`" in capsys.readouterr().err
