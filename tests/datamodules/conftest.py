"""A miniature corpus of one real face, and the same corpus prepared."""

from hashlib import sha256
from pathlib import Path

import pytest

from dubbench.datamodules.prepare.run import prepare
from tests.data import videos

SIZE = 64
FRAMES = 30


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of two speakers in folders and one at the top."""
    root = tmp_path_factory.mktemp("corpus")
    faces = videos.portraits(FRAMES)
    for name in ("anna/one.mp4", "anna/two words.mkv", "bob/ü.mp4", "dora.mp4"):
        videos.write(root / name, faces)
        faces = faces[3:] + faces[:3]
    return root


@pytest.fixture(scope="session")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus, prepared without interruption in this process."""
    out = tmp_path_factory.mktemp("prepared")
    report = prepare("folder", corpus, out, size=SIZE, smooth=1.5)
    assert (report.done, report.skipped, report.failed) == (4, 0, 0)
    return out


def tree(root: Path) -> dict[str, str]:
    """Digest of every file below a folder, hidden ones too."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}
