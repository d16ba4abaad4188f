"""Downloads end whole and right or say why; stopped ones go on; what is absent or damaged is told."""

import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from dubbench.assets import store
from dubbench.assets.download import part_of
from dubbench.assets.registry import Asset
from dubbench.errors import DubbenchError
from tests.server import Server, serving

DATA = bytes(range(256)) * 5000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no other folder, no list, no proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DUBBENCH_ASSETS", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "dubbench" / "assets"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        running.files["net.pth"] = DATA
        yield running


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def enlist(monkeypatch: pytest.MonkeyPatch, *rows: Asset) -> None:
    monkeypatch.setattr(store, "ASSETS", {row.name: row for row in rows})


def row(*urls: str, data: bytes = DATA, name: str = "net.pth", member: str = "") -> Asset:
    return Asset(name, "a test", "MIT", urls, sha(data), len(data), member)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_pulled_file_is_found_and_pulled_once(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    told: list[tuple[int, int | None]] = []
    assert store.pull("net.pth", lambda here, total: told.append((here, total))) == cache / "net.pth"
    assert store.pull("net.pth") == store.find("net.pth") == cache / "net.pth"
    assert (cache / "net.pth").read_bytes() == DATA
    assert left(cache) == ["net.pth"]
    assert told[-1] == (len(DATA), len(DATA))
    assert sorted(told) == told
    assert len(server.asked) == 1


def test_what_stopped_goes_on_where_it_was(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    cache.mkdir(parents=True)
    (cache / ".net.pth.part").write_bytes(DATA[:1000])
    store.pull("net.pth")
    assert server.asked == [("net.pth", "bytes=1000-")]
    assert (cache / "net.pth").read_bytes() == DATA
    assert left(cache) == ["net.pth"]


def test_interrupt_keeps_what_came(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))

    def interrupt(here: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull("net.pth", interrupt)
    kept = (cache / ".net.pth.part").read_bytes()
    assert kept == DATA[: len(kept)]
    assert 0 < len(kept) < len(DATA)
    with pytest.raises(DubbenchError, match="not here"):
        store.find("net.pth")
    store.pull("net.pth")
    assert server.asked[1:] == [("net.pth", f"bytes={len(kept)}-")]
    assert store.find("net.pth").read_bytes() == DATA


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connection_is_taken_up(
    ranges: bool, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    server.ranges, server.breaks = ranges, [300_000, 70_000]
    assert store.pull("net.pth").read_bytes() == DATA
    assert [asked for _, asked in server.asked] == ["", "bytes=300000-", f"bytes={370_000 if ranges else 70_000}-"]


def test_connection_that_always_breaks_gives_up_and_keeps_what_came(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    server.breaks = [10] * 100
    with pytest.raises(DubbenchError, match=r"net\.pth could not be fetched.*broke after 50 of"):
        store.pull("net.pth")
    assert left(cache) == [".net.pth.part"]


def test_wrong_rest_is_fetched_anew(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    cache.mkdir(parents=True)
    (cache / ".net.pth.part").write_bytes(b"x" * 1000)
    assert store.pull("net.pth").read_bytes() == DATA
    assert [asked for _, asked in server.asked] == ["bytes=1000-", ""]


@pytest.mark.parametrize("rest", [b"y" * len(DATA), b"y" * (len(DATA) + 1)], ids=["whole", "too long"])
def test_damaged_part_of_full_length_is_fetched_anew(
    rest: bytes, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    cache.mkdir(parents=True)
    (cache / ".net.pth.part").write_bytes(rest)
    assert store.pull("net.pth").read_bytes() == DATA


def test_next_address_is_tried_and_each_failure_told(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files |= {"longer.pth": DATA + b"x", "other.pth": b"x" + DATA[1:]}
    bad = [server.url(path) for path in ("absent.pth", "longer.pth", "other.pth")]
    enlist(monkeypatch, row(*bad, server.url("net.pth")))
    assert store.pull("net.pth").read_bytes() == DATA

    enlist(monkeypatch, row(*bad, name="second.pth"))
    with pytest.raises(DubbenchError) as caught:
        store.pull("second.pth")
    said = str(caught.value)
    assert "absent.pth answered 404" in said
    assert f"offers {len(DATA) + 1} bytes where {len(DATA)} belong" in said
    assert "other.pth sent is damaged and was deleted: its sha256 is " + sha(b"x" + DATA[1:])[:12] in said
    assert "DUBBENCH_ASSETS" in said
    assert left(cache) == ["net.pth"]


def test_unreachable_server_is_a_sentence(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    enlist(monkeypatch, row("http://127.0.0.1:1/net.pth"))
    with pytest.raises(DubbenchError, match=r"cannot be reached .*refused"):
        store.pull("net.pth")


def test_redirects_stay_on_permitted_ground(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_bytes(DATA)
    server.redirects = {
        "fine": "/net.pth",
        "ftp": "ftp://127.0.0.1/net.pth",
        "plain": "http://example.org/net.pth",
    }
    for path in ("ftp", "plain"):
        enlist(monkeypatch, row(server.url(path)))
        with pytest.raises(DubbenchError, match=rf"/{path} leads to {server.redirects[path]}, which is not https"):
            store.pull("net.pth")
    enlist(monkeypatch, row(f"file://{tmp_path}/secret", "http://example.org/net.pth"))
    with pytest.raises(DubbenchError, match=r"secret, which is not https.*example.org/net.pth, which is not https"):
        store.pull("net.pth")
    server.redirects["file"] = f"file://{tmp_path}/secret"
    enlist(monkeypatch, row(server.url("file")))
    with pytest.raises(DubbenchError, match="not allowed"):
        store.pull("net.pth")
    enlist(monkeypatch, row(server.url("fine")))
    assert store.pull("net.pth").read_bytes() == DATA


def test_every_published_address_is_https_and_every_row_complete() -> None:
    for asset in store.ASSETS.values():
        assert asset.urls
        assert all(url.startswith("https://") for url in asset.urls)
        assert len(asset.digest) == 64
        assert asset.licence
        assert all(not url.endswith(".zip") or asset.member for url in asset.urls)


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return file.getvalue()


def test_archive_gives_its_files_under_our_names(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = DATA[::-1]
    server.files["pack.zip"] = archive(**{"../../../net.pth": DATA, "pack/second.pth": other, "/third.pth": b"3"})
    url = server.url("pack.zip")
    enlist(
        monkeypatch,
        row(url, member="net.pth"),
        row(url, name="two.pth", data=other, member="second.pth"),
        row(server.url("elsewhere.zip"), name="third.pth", data=b"3", member="third.pth"),
    )
    assert store.pull("net.pth").read_bytes() == DATA
    assert store.find("two.pth").read_bytes() == other
    assert left(cache) == ["net.pth", "two.pth"]
    assert sorted(path.name for path in tmp_path.rglob("*.pth")) == ["net.pth", "two.pth"]
    store.pull("two.pth")
    assert len(server.asked) == 1


def test_archive_resumes(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(**{"net.pth": DATA})
    server.files["pack.zip"] = packed
    enlist(monkeypatch, row(server.url("pack.zip"), member="net.pth"))
    cache.mkdir(parents=True)
    size = len(packed)
    cases = [(packed[:500], [500]), (packed, [size]), (packed + b"more", [size + 4, 0]), (b"y" * 500, [500, 0])]
    for rest, offsets in cases:
        server.asked.clear()
        (cache / ".pack.zip.part").write_bytes(rest)
        assert store.pull("net.pth").read_bytes() == DATA
        assert server.asked == [("pack.zip", f"bytes={offset}-" if offset else "") for offset in offsets]
        assert left(cache) == ["net.pth"]
        (cache / "net.pth").unlink()


def test_an_archive_that_came_whole_before_a_kill_is_used_up(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two of its files: the first is here, and the same command does the rest without the network."""
    url, packed = server.url("pack.zip"), archive(**{"net.pth": DATA, "second.pth": b"2"})
    rows = row(url, member="net.pth"), row(url, name="second.pth", data=b"2", member="second.pth")
    enlist(monkeypatch, *rows)
    for part, after in ((packed, ["net.pth", "second.pth"]), (packed[:-30], [".pack.zip.part", "net.pth"])):
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        (cache / "net.pth").write_bytes(DATA)
        (cache / ".pack.zip.part").write_bytes(part)
        assert store.pull("net.pth") == cache / "net.pth"
        assert left(cache) == after
    assert server.asked == []


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (archive(**{"net.pth": b"x" + DATA[1:]}), "its sha256 is"),
        (archive(**{"net.pth": DATA[1:]}), "no net.pth of the right size"),
        (archive(other=DATA), "no net.pth of the right size"),
        (archive(**{"net.pth": DATA})[:-30], "not a zip file"),
        (b"<html>please log in</html>", "not a zip file"),
    ],
    ids=["other bytes", "other size", "absent", "truncated", "page"],
)
def test_archive_that_does_not_hold_it(
    packed: bytes, reason: str, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["pack.zip"] = packed
    enlist(monkeypatch, row(server.url("pack.zip"), member="net.pth"))
    with pytest.raises(DubbenchError, match=rf"pack\.zip sent is damaged and was deleted: net\.pth .*{reason}"):
        store.pull("net.pth")
    assert left(cache) == []


def test_two_at_once_fetch_once(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    found: list[Path] = []
    threads = [Thread(target=lambda: found.append(store.pull("net.pth"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / "net.pth"] * 4
    assert left(cache) == ["net.pth"]
    assert len(server.asked) == 1


def test_who_waited_for_a_part_file_that_failed_gets_a_new_one(tmp_path: Path) -> None:
    path, seen = tmp_path / "net.pth", list[bool]()

    def wait() -> None:
        with part_of(path) as part:
            seen.append(os.path.samestat(os.fstat(part.fileno()), Path(part.name).stat()))

    with part_of(path):
        thread = Thread(target=wait)
        thread.start()
        thread.join(0.2)
        assert seen == []
    thread.join()
    assert seen == [True]
    assert left(tmp_path) == []


def test_damaged_file_is_refused_named_and_replaced(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    cache.mkdir(parents=True)
    for damage, reason in ((DATA[:-1], "bytes"), (DATA[:-1] + b"x", "sha256")):
        (cache / "net.pth").write_bytes(damage)
        with pytest.raises(DubbenchError, match=rf"{cache / 'net.pth'} is damaged .*{reason}.*assets pull net\.pth"):
            store.find("net.pth")
        assert store.verify("net.pth").state == "damaged"
        assert store.pull("net.pth").read_bytes() == store.find("net.pth").read_bytes() == DATA
        assert store.verify("net.pth").state == "here"


def test_damaged_file_in_the_named_folder_would_hide_the_new_one(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    monkeypatch.setenv("DUBBENCH_ASSETS", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.pth").write_bytes(b"mine")
    with pytest.raises(DubbenchError, match="hide"):
        store.pull("net.pth")
    assert (tmp_path / "mine" / "net.pth").read_bytes() == b"mine"
    assert server.asked == []
    (tmp_path / "mine" / "net.pth").write_bytes(DATA)
    assert store.pull("net.pth") == tmp_path / "mine" / "net.pth"


def test_status_goes_by_size_and_verify_by_bytes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enlist(
        monkeypatch, row("https://a/1", name="one"), row("https://a/2", name="two"), row("https://a/3", name="three")
    )
    cache.mkdir(parents=True)
    (cache / "one").write_bytes(DATA[::-1])
    (cache / "two").write_bytes(DATA[1:])
    assert [status.state for status in store.status()] == ["here", "damaged", "absent"]
    assert [store.verify(name).state for name in ("one", "two", "three")] == ["damaged", "damaged", "absent"]
    assert store.status()[0].path == cache / "one"


def test_file_without_published_digest_is_recorded_once(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    enlist(monkeypatch, Asset("net.pth", "a test", "MIT", (server.url("net.pth"),)))
    cache.mkdir(parents=True)
    (cache / ".net.pth.part").write_bytes(b"x" * 1000)  # of another version, which nothing would tell
    assert store.pull("net.pth").read_bytes() == DATA
    assert f"{sha(DATA)} is recorded" in caplog.text
    caplog.clear()
    assert store.find("net.pth").read_bytes() == DATA
    assert not caplog.text
    (cache / "net.pth").write_bytes(DATA + b"x")
    with pytest.raises(DubbenchError, match="damaged or another version"):
        store.find("net.pth")


def test_own_copies_are_never_fetched(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    enlist(monkeypatch, Asset("face.mat", "a test", "agreement with its makers", ()))
    for ask in (store.find, store.pull):
        with pytest.raises(DubbenchError, match=rf"agreement.*own copy: put it into {cache}.*DUBBENCH_ASSETS"):
            ask("face.mat")


@pytest.mark.parametrize("name", list(store.ASSETS))
def test_absent_file_is_told_with_both_remedies(name: str) -> None:
    with pytest.raises(DubbenchError, match=rf"^{name} for .*`dubbench assets pull {name}`.*DUBBENCH_ASSETS"):
        store.find(name)


def test_unknown_name_lists_the_known() -> None:
    for ask in (store.find, store.pull, store.verify):
        with pytest.raises(DubbenchError, match=r"'sycnet'; there are syncnet_v2\.model, "):
            ask("sycnet")


def test_cache_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enlist(monkeypatch, row(server.url("net.pth")))
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DubbenchError, match="XDG_CACHE_HOME"):
        store.pull("net.pth")
