"""HDTF (Zhang et al. 2021): ``<name>_<counter>.mp4``, flat or in sub-folders."""

import re
from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, videos, without_suffix

LAYOUT = "<name>_<counter>.mp4, for instance WDA_KatieHill_000.mp4"


def find(root: Path) -> Iterator[RawClip]:
    """Yield the videos below ``root``; clips that differ in their counter only are of one speaker."""
    for path in videos(root):
        yield RawClip(without_suffix(path, root), speaker(path.stem), path)


def speaker(name: str) -> str:
    """``WDA_KatieHill_000`` is a clip of ``WDA_KatieHill``."""
    return re.sub(r"(_\d+)+$", "", name) or name
