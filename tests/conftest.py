"""Fixtures that every part's tests share."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real clips and golden numbers that lies beside a development checkout."""
    if not (SHARED / "goldens").is_dir():
        pytest.skip("needs the development data in ../shared, which is not here")
    return SHARED
