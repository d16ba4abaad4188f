"""Where caches lie: one folder for all that can be had again."""

import sys
from pathlib import Path

import pytest

from dubbench.assets import store
from dubbench.core.folders import cache_folder
from dubbench.evaluation import landmark_cache


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other places")
@pytest.mark.parametrize(("named", "expected"), [("there", "there/dubbench"), ("", "home/.cache/dubbench")])
def test_caches_lie_where_linux_has_them(
    named: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / named) if named else "")
    assert cache_folder() == tmp_path / expected
    assert store.folders() == [tmp_path / expected / "assets"]
    assert landmark_cache.folder() == tmp_path / expected / "landmarks"
    monkeypatch.setenv("DUBBENCH_CACHE", str(tmp_path / "elsewhere"))
    assert landmark_cache.folder() == tmp_path / "elsewhere/landmarks"
    assert not list(tmp_path.iterdir())
