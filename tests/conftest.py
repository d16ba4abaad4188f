"""Fixtures that every part's tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import talking

SHARED = Path(__file__).resolve().parents[2] / "shared"
SIDE = 128


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real clips and golden numbers that lies beside a development checkout."""
    if not (SHARED / "goldens").is_dir():
        pytest.skip("needs the development data in ../shared, which is not here")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _no_files_of_the_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pretrained files and caches of whoever runs the tests must not change what they see."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("DUBBENCH_")]:
            patch.delenv(name)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _the_same_draws_in_any_order() -> None:
    """Which tests ran before in this process must not change what a test draws."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature talking corpus, as `tests.talking` makes it."""
    return talking.make(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That corpus prepared at `SIDE` pixels, all of it in the split ``test``."""
    from dubbench.datamodules.prepare.run import prepare

    folder = tmp_path_factory.mktemp("prepared")
    (folder / "split.csv").write_text("clip,speaker,split\n,ann,test\n,bob,test\n")
    report = prepare("folder", corpus, folder / "out", size=SIDE, faces="largest", split=str(folder / "split.csv"))
    assert (report.done, report.failed) == (3, 0)
    return folder / "out"
