"""VoxCeleb2 (Chung et al. 2018): ``mp4/<speaker>/<video>/<utterance>.mp4``."""

from collections.abc import Iterator
from pathlib import Path

from dubbench.datamodules.sources import RawClip, videos, without_suffix

LAYOUT = "mp4/<speaker>/<video>/<utterance>.mp4, dev/mp4/... and test/mp4/..., or the folder mp4 itself"


def find(root: Path) -> Iterator[RawClip]:
    """Yield the utterances; ``root`` holds ``mp4``, or ``dev/mp4`` and ``test/mp4``, or is ``mp4`` itself."""
    parts = [folder for name in ("mp4", "dev/mp4", "test/mp4") if (folder := root / name).is_dir()]
    for folder in parts or [root]:
        for path in videos(folder):
            relative = path.relative_to(folder).parts
            if len(relative) == 3:
                yield RawClip(without_suffix(path, folder), relative[0], path)
